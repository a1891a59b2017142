#include "scheduler/service/artifact_transfer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "common/attempt_id.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/status.h"
#include "scheduler/core/reactor.h"
#include "scheduler/events.h"

namespace qsweep {
namespace {

constexpr size_t kMaxChunkBytes = 1 << 20;

// Both delete themselves when the call is done.
class Upload : public grpc::ServerReadReactor<v1::ArtifactChunk> {
 public:
  Upload(Loop& loop, ArtifactStore& store, const DiskWatch& disk, WorkThread& files,
         const WorkerId& worker, v1::UploadReply* reply)
      : loop_(loop), store_(store), disk_(disk), files_(files), worker_(worker), reply_(reply) {
    StartRead(&chunk_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return files_.Post([this] { End(); });
    const bool first = artifact_ == nullptr;
    if (const absl::Status status = Take(); !status.ok()) return Finish(ToGrpc(status));
    first ? AskLoop() : StartRead(&chunk_);
  }
  void OnDone() override { delete this; }

 private:
  // Nothing is written for a caller who may not: whose attempt is it?
  void AskLoop() {
    loop_.Post([this](Turn& turn) {
      const absl::Status status = Admit(turn);
      turn.AfterCommit(
          [this, status] { status.ok() ? StartRead(&chunk_) : Finish(ToGrpc(status)); });
    });
  }
  absl::Status Admit(Turn& turn) {
    RETURN_IF_ERROR(CheckUploader(turn, attempt_, worker_));
    const absl::Status room = Begin(chunk_.header());
    if (absl::IsResourceExhausted(room) || absl::IsUnavailable(room)) {
      core::OnUploadPutOff(turn.state, turn.now, attempt_.run);
    }
    return room;
  }
  absl::Status Begin(const v1::ArtifactHeader& header) {
    ASSIGN_OR_RETURN(artifact_, store_.Begin(header.sha256(), header.bytes()));
    RETURN_IF_ERROR(disk_.RoomForUpload(header.bytes()));
    return artifact_->Reserve();
  }

  absl::Status Take() {
    if (chunk_.has_header() != (artifact_ == nullptr)) {
      return absl::InvalidArgumentError("an upload is one header, then data");
    }
    if (chunk_.has_header()) {
      const v1::ArtifactHeader& header = chunk_.header();
      if (!IsSha256Hex(header.sha256())) {
        return absl::InvalidArgumentError("sha256: must be 64 lower-case hexadecimal digits");
      }
      attempt_ = FromProto(header.attempt());
      return absl::OkStatus();
    }
    if (chunk_.data().size() > kMaxChunkBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("a chunk of more than ", kMaxChunkBytes, " bytes"));
    }
    return artifact_->Append(chunk_.data());
  }

  // The client has sent all, or is gone; then something is missing.
  void End() {
    const absl::Status status = artifact_ == nullptr
                                    ? absl::InvalidArgumentError("an upload without a header")
                                    : artifact_->Finish();
    if (!status.ok()) return Finish(ToGrpc(status));
    loop_.Post([this](Turn& turn) {
      const absl::StatusOr<bool> stored = TakeArtifact(turn, attempt_, worker_, *artifact_);
      turn.AfterCommit([this, stored] {
        reply_->set_stored(stored.value_or(false));
        Finish(ToGrpc(stored.status()));
      });
    });
  }

  Loop& loop_;
  ArtifactStore& store_;
  const DiskWatch& disk_;
  WorkThread& files_;
  const WorkerId worker_;
  v1::UploadReply* const reply_;
  v1::ArtifactChunk chunk_;
  AttemptId attempt_;
  std::unique_ptr<IncomingArtifact> artifact_;
};

// An upload may have brought meanwhile what was not there to be sent.
absl::Status LoseIfGone(Turn& turn, const std::string& sha256) {
  const bool gone = absl::IsNotFound(turn.artifacts.Open(sha256).status());
  return gone ? LoseArtifact(turn, sha256) : absl::OkStatus();
}

class Download : public FileSender {
 public:
  Download(Loop& loop, ArtifactStore& store, const std::string& sha256)
      : loop_(loop), sha256_(sha256) {
    if (const absl::Status status = Begin(store); !status.ok()) Finish(ToGrpc(status));
  }
  void OnDone() override { delete this; }

 private:
  absl::Status Begin(ArtifactStore& store) {
    if (!IsSha256Hex(sha256_)) {
      return absl::InvalidArgumentError("sha256: must be 64 lower-case hexadecimal digits");
    }
    absl::StatusOr<FileDescriptor> fd = store.Open(sha256_);
    if (absl::IsNotFound(fd.status())) Tell(LoseIfGone);
    RETURN_IF_ERROR(fd.status());
    return Send(*std::move(fd), sha256_);
  }
  void OnDamage() override { Tell(LoseArtifact); }
  void OnUnreadable() override { Tell(SkipCheckpoint); }
  void Tell(absl::Status (*what)(Turn&, const std::string&)) {
    loop_.Post([what, sha256 = sha256_](Turn& turn) {
      if (const absl::Status status = what(turn, sha256); !status.ok()) LogError(status.message());
    });
  }

  Loop& loop_;
  const std::string sha256_;
};

}  // namespace

absl::Status FileSender::Send(FileDescriptor fd, const std::string& sha256) {
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, sha256, "stat");
  fd_ = std::move(fd);
  sha256_ = sha256;
  chunk_.mutable_header()->set_sha256(sha256);
  chunk_.mutable_header()->set_bytes(info.st_size);
  StartWrite(&chunk_);
  return absl::OkStatus();
}

void FileSender::OnWriteDone(bool ok) {
  if (!ok) return Finish(grpc::Status::CANCELLED);
  std::string* data = chunk_.mutable_data();
  data->resize(kMaxChunkBytes);
  ssize_t n;
  do {
    n = ::read(fd_.get(), data->data(), data->size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    const int error = errno;
    if (error == EIO) OnUnreadable();
    const absl::Status status = ErrnoStatus(error, sha256_, "read");
    return Finish(ToGrpc(error == EIO ? absl::DataLossError(status.message()) : status));
  }
  if (n == 0) return Finish(CheckHash());
  data->resize(static_cast<size_t>(n));
  hash_.Update(*data);
  StartWrite(&chunk_);
}

grpc::Status FileSender::CheckHash() {
  if (hash_.Hex() == sha256_) return grpc::Status::OK;
  OnDamage();
  return {grpc::StatusCode::DATA_LOSS,
          absl::StrCat("artifact ", sha256_, ": the scheduler's file of it is damaged")};
}

grpc::ServerReadReactor<v1::ArtifactChunk>* StartUpload(Loop& loop, ArtifactStore& store,
                                                        const DiskWatch& disk, WorkThread& files,
                                                        const WorkerId& worker,
                                                        v1::UploadReply* reply) {
  return new Upload(loop, store, disk, files, worker, reply);
}

grpc::ServerWriteReactor<v1::ArtifactChunk>* StartDownload(Loop& loop, ArtifactStore& store,
                                                           const std::string& sha256) {
  return new Download(loop, store, sha256);
}

}  // namespace qsweep
