#include "qctl/command.h"

namespace qsweep::qctl {

CLI::App* CommandLine::Add(const std::string& name, const std::string& description, Action work,
                           CLI::App* parent) {
  CLI::App* command = (parent == nullptr ? app : *parent).add_subcommand(name, description);
  command->fallthrough();
  command->callback([this, command, work = std::move(work)] {
    if (command->get_subcommands().empty()) action = work;
  });
  return command;
}

}  // namespace qsweep::qctl
