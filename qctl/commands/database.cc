// qctl db backup, qctl db check: the scheduler's database, while it works.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status.h"
#include "qctl/command.h"
#include "qctl/format.h"

namespace qsweep::qctl {
namespace {

absl::StatusOr<int> Backup(const GlobalOptions& options, const std::string& path) {
  if (PathExists(path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is there already; name a new file"));
  }
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, 0600));
  int64_t bytes = 0;
  RETURN_IF_ERROR(connection->client().BackupDatabase([&](absl::string_view piece) {
    bytes += static_cast<int64_t>(piece.size());
    return file.Append(piece);
  }));
  RETURN_IF_ERROR(file.Commit());
  PrintLine(absl::StrCat(path, ": ", FormatBytes(bytes),
                         ", opened and checked by the scheduler, its hash checked here"));
  return kExitGood;
}

absl::StatusOr<int> Check(const GlobalOptions& options) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(options));
  ASSIGN_OR_RETURN(const v1::CheckDatabaseReply reply, connection->client().CheckDatabase());
  if (options.json) {
    PrintJson(reply);
  } else {
    PrintLine(absl::StrCat("whole: ", FormatBytes(reply.bytes()),
                           ", every page and every reference read"));
  }
  return kExitGood;
}

}  // namespace

void AddDatabase(CommandLine& line) {
  Command db = line.program.AddCommand("db", "the scheduler's database");
  auto path = std::make_shared<std::string>();
  line.Add(
          "backup", "copy it to a file here while the scheduler works, and check the copy",
          [&options = line.options, path] { return Backup(options, *path); }, &db)
      .AddOption("FILE", path.get(), "a new file")
      .Required();
  line.Add(
      "check", "read all of it and check it, while the scheduler works",
      [&options = line.options] { return Check(options); }, &db);
}

}  // namespace qsweep::qctl
