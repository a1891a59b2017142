#include "worker/agent/state_directory.h"

#include <sys/random.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/attempt_dir.h"
#include "common/attempt_id.h"
#include "common/data_dir.h"
#include "common/log.h"
#include "common/proto_json.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr int64_t kMaxAssignBytes = 16 << 20;
constexpr char kAttempts[] = "attempts";
constexpr char kJunk[] = "junk-";

std::string AttemptName(const AttemptId& id) {
  return absl::StrCat("run-", id.run.value(), "-attempt-", id.number.value());
}

absl::StatusOr<std::string> ReadOrMakeWorkerId(const std::string& path) {
  if (PathExists(path)) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 256));
    const std::string id(absl::StripSuffix(text, "\n"));
    if (id.empty()) {
      return absl::DataLossError(absl::StrCat(path, ": empty; remove it to become a new worker"));
    }
    return id;
  }
  char bytes[16];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
    return ErrnoStatus(errno, path, "random");
  const std::string id = absl::BytesToHexString(absl::string_view(bytes, sizeof bytes));
  RETURN_IF_ERROR(WriteFileAtomic(path, absl::StrCat(id, "\n")));
  return id;
}

}  // namespace

absl::StatusOr<StateDirectory> StateDirectory::Open(const std::string& path) {
  const std::string attempts = JoinPath(path, kAttempts);
  RETURN_IF_ERROR(MakeDirectories(attempts));
  absl::StatusOr<FileLock> lock = FileLock::Acquire(JoinPath(path, kDaemonLockFile));
  if (absl::IsUnavailable(lock.status())) {
    return Annotate(lock.status(), "another qworker uses this state directory");
  }
  RETURN_IF_ERROR(lock.status());
  StateDirectory state(*std::move(lock), path);
  ASSIGN_OR_RETURN(state.worker_id_, ReadOrMakeWorkerId(JoinPath(path, "worker-id")));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(attempts));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kJunk)) RETURN_IF_ERROR(RemoveTree(JoinPath(attempts, name)));
  }
  return state;
}

absl::StatusOr<std::vector<v1::Assign>> StateDirectory::Attempts() const {
  const std::string attempts = JoinPath(path_, kAttempts);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(attempts));
  std::vector<v1::Assign> found;
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kJunk)) continue;
    const std::string path = JoinPath(JoinPath(attempts, name), kAssignFile);
    const absl::StatusOr<std::string> text = ReadFile(path, kMaxAssignBytes);
    v1::Assign assign;
    absl::Status status = text.ok() ? FromJson(*text, &assign) : text.status();
    if (status.ok() && name != AttemptName(FromProto(assign.attempt()))) {
      status = absl::DataLossError("names another attempt");
    }
    if (status.ok()) {
      found.push_back(std::move(assign));
    } else {
      LogError(absl::StrCat(path, ": ", status.message(), "; left alone, remove its directory"));
    }
  }
  return found;
}

std::string StateDirectory::AttemptPath(const AttemptId& id) const {
  return absl::StrCat(path_, "/", kAttempts, "/", AttemptName(id));
}

std::string StateDirectory::JunkPath(const AttemptId& id) const {
  return absl::StrCat(path_, "/", kAttempts, "/", kJunk, AttemptName(id));
}

absl::StatusOr<std::string> StateDirectory::Prepare(const v1::Assign& assign) const {
  const std::string path = JunkPath(FromProto(assign.attempt()));
  RETURN_IF_ERROR(RemoveTree(path));
  RETURN_IF_ERROR(MakeDirectories(path));
  RETURN_IF_ERROR(WriteFileAtomic(JoinPath(path, kAssignFile), ToJson(assign, JsonStyle::kPretty)));
  RETURN_IF_ERROR(WriteFileAtomic(JoinPath(path, kSpecFile), assign.spec_json()));
  return path;
}

absl::Status StateDirectory::Commit(const AttemptId& id) const {
  return Rename(JunkPath(id), AttemptPath(id));
}

absl::Status StateDirectory::Remove(const AttemptId& id) const {
  if (PathExists(AttemptPath(id))) {
    RETURN_IF_ERROR(RemoveTree(JunkPath(id)));
    RETURN_IF_ERROR(Rename(AttemptPath(id), JunkPath(id)));
  }
  return RemoveTree(JunkPath(id));
}

}  // namespace qsweep
