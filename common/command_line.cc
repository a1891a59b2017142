#include "common/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/version.h"
#include "common/wording.h"

namespace qsweep {
namespace {

bool IsSet(const std::string& text) { return !text.empty(); }
bool IsSet(const std::vector<std::string>& texts) { return !texts.empty(); }
bool IsSet(double number) { return number != 0; }

// What the line names in place of a command; empty if that is not what is wrong with it.
std::string NoSuchCommand(const CLI::App& program) {
  const CLI::App* command = &program;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  std::vector<std::string> known;
  for (const CLI::App* below : command->get_subcommands(nullptr))
    known.push_back(below->get_name());
  const std::vector<std::string> strangers = program.remaining(/*recurse=*/true);
  if (known.empty() || strangers.empty() || absl::StartsWith(strangers.front(), "-")) return "";
  return absl::StrCat("no command ", Quoted(strangers.front()),
                      DidYouMean(strangers.front(), known));
}

}  // namespace

Option& Option::Required() {
  option_->required();
  return *this;
}

Option& Option::Environment(const std::string& variable) {
  option_->envname(variable);
  return *this;
}

template <typename Number>
Option& Option::Between(Number least, Number most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
template Option& Option::Between(int, int);
template Option& Option::Between(int64_t, int64_t);
template Option& Option::Between(double, double);

Option& Option::OneOf(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

Option& Option::CommaSeparated() {
  option_->delimiter(',');
  return *this;
}

Command Command::AddCommand(const std::string& name, const std::string& description,
                            std::function<void()> work) {
  CLI::App* const command = app_->add_subcommand(name, description);
  command->fallthrough();
  Command added(command);
  if (work == nullptr) {
    added.RequireCommand();
  } else {
    command->callback([command, work = std::move(work)] {
      if (command->get_subcommands().empty()) work();
    });
  }
  return added;
}

Option Command::AddOption(const std::string& name, OptionValue value, const std::string& help) {
  const auto add = [&](auto* target) {
    CLI::Option* const option = app_->add_option(name, *target, help);
    if (IsSet(*target)) option->capture_default_str();
    return Option(option);
  };
  return std::visit(add, value);
}

Option Command::AddBytes(const std::string& name, int64_t* value, const std::string& help) {
  CLI::Option* const option = app_->add_option(name, *value, help);
  option->transform(CLI::AsSizeValue(/*kb_is_1000=*/false).description(""));
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  option->check(CLI::Range(uint64_t{0}, kMost).description(""));  // of -1, too
  option->type_name("BYTES");
  if (*value != 0) option->default_str(absl::StrCat(*value >> 20, "M"));
  return Option(option);
}

Option Command::AddFlag(const std::string& name, bool* value, const std::string& help) {
  return Option(app_->add_flag(name, *value, help));
}

void Command::RequireCommand() {
  app_->callback([app = app_] {
    if (!app->get_subcommands().empty()) return;
    std::vector<std::string> names;
    for (const CLI::App* below : app->get_subcommands(nullptr)) names.push_back(below->get_name());
    throw CLI::RequiredError(absl::StrCat("one of ", absl::StrJoin(names, ", ")));
  });
}

Program::Program(const std::string& name, const std::string& description, const std::string& footer)
    : Command(nullptr), owned_(std::make_unique<CLI::App>(description, name)) {
  app_ = owned_.get();
  app_->set_version_flag("--version", absl::StrCat(name, " ", kVersion));
  app_->footer(footer);
}

Program::~Program() = default;

std::optional<int> Program::Parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app_->exit(error);  // --help, --version
    const std::string& name = app_->get_name();
    std::string problem = NoSuchCommand(*app_);
    if (problem.empty()) problem = absl::StrReplaceAll(error.what(), {{"\n", " "}});
    std::string message = absl::StrCat(name, ": ", problem, "; see ", name, " --help");
    if (!app_->get_subcommands(nullptr).empty()) {
      absl::StrAppend(&message, " or ", name, " COMMAND --help");
    }
    std::fprintf(stderr, "%s\n", message.c_str());
    return kExitUsage;
  }
}

}  // namespace qsweep
