#include "qctl/command.h"

#include <utility>

namespace qsweep::qctl {

Command CommandLine::Add(const std::string& name, const std::string& description, Action work,
                         Command* parent) {
  if (parent == nullptr) parent = &program;
  return parent->AddCommand(name, description, [this, work = std::move(work)] { action = work; });
}

}  // namespace qsweep::qctl
