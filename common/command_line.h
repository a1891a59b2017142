// The command line of every program. A thin wall around CLI11: its headers alone cost each file
// that includes them seconds to compile.
#ifndef QSWEEP_COMMON_COMMAND_LINE_H_
#define QSWEEP_COMMON_COMMAND_LINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace qsweep {

// The exit code after wrong arguments, or a bad file that they name: nothing was begun.
inline constexpr int kExitUsage = 2;

// Where a value goes; it must live until the line is parsed. What it holds before is the default,
// shown in the help unless it is empty or 0.
using OptionValue = std::variant<std::string*, std::vector<std::string>*, int*, uint32_t*, int64_t*,
                                 uint64_t*, double*>;

// What was just added to a command, to say more of it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option& Required();
  // Taken from the variable if it is not on the line.
  Option& Environment(const std::string& variable);
  // For int, int64_t and double.
  template <typename Number>
  Option& Between(Number least, Number most);
  Option& OneOf(const std::vector<std::string>& values);
  Option& CommaSeparated();

 private:
  CLI::Option* option_;
};

class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  // A command below this one, which knows the options of this one, too. `work` is called while the
  // line is parsed, if none below is named; without it one below must be.
  Command AddCommand(const std::string& name, const std::string& description,
                     std::function<void()> work = nullptr);
  // `name` as in "-o,--output"; without dashes it is an argument known by its place.
  Option AddOption(const std::string& name, OptionValue value, const std::string& help);
  // A number of bytes, as in 512M or 4G (powers of 1024).
  Option AddBytes(const std::string& name, int64_t* value, const std::string& help);
  Option AddFlag(const std::string& name, bool* value, const std::string& help);
  // One of the commands below must be named.
  void RequireCommand();

 protected:
  CLI::App* app_;
};

// The program itself; it has --help and --version.
class Program : public Command {
 public:
  // `footer` stands below the help.
  Program(const std::string& name, const std::string& description, const std::string& footer = "");
  ~Program();

  // With an exit code the program is to end: 0 after --help or --version; kExitUsage after a
  // line that is wrong, and what is wrong has been said on standard error.
  std::optional<int> Parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> owned_;
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_COMMAND_LINE_H_
