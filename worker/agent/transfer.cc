#include "worker/agent/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/attempt_id.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status.h"

namespace qsweep {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
// What sockets hold when all is written takes a slow line minutes.
constexpr absl::Duration kLongestStandstill = absl::Minutes(5);

TransferResult LocalError(const absl::Status& status) {
  return {TransferResult::kLocalError, std::string(status.message()),
          static_cast<grpc::StatusCode>(status.code())};
}

// What is there and cannot be read now may be readable later: it took hours to compute.
TransferResult ReadError(const absl::Status& status) {
  TransferResult result = LocalError(status);
  if (!absl::IsNotFound(status)) result.code = TransferResult::kTryAgain;
  return result;
}

TransferResult PeerResult(const grpc::Status& status) {
  if (status.ok()) return {};
  TransferResult result{TransferResult::kTryAgain, status.error_message(), status.error_code()};
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::DATA_LOSS:
      result.code = TransferResult::kRefused;
      break;
    default:
      break;
  }
  return result;
}

absl::StatusOr<size_t> ReadSome(int fd, std::string* buffer, const std::string& path) {
  ssize_t n;
  do {
    n = ::read(fd, buffer->data(), buffer->size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoStatus(errno, path, "read");
  return static_cast<size_t>(n);
}

}  // namespace

Courier::Courier(std::shared_ptr<grpc::Channel> channel, Done done)
    : stub_(v1::WorkerService::NewStub(std::move(channel))),
      done_(std::move(done)),
      thread_([this] { Run(); }) {}

Courier::~Courier() {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    closing_ = true;
    if (current_ != nullptr) current_->TryCancel();
  }
  changed_.notify_all();
  thread_.join();
}

void Courier::Enqueue(Transfer transfer) {
  {
    std::lock_guard<std::mutex> hold(mutex_);
    queue_.push_back(std::move(transfer));
  }
  changed_.notify_all();
}

bool Courier::Moved() {
  std::lock_guard<std::mutex> hold(mutex_);
  if (current_ != nullptr && SystemClock().Monotonic() - moved_at_ > kLongestStandstill) {
    current_->TryCancel();
  }
  return std::exchange(moved_, false);
}

void Courier::OnBytes() {
  std::lock_guard<std::mutex> hold(mutex_);
  moved_at_ = SystemClock().Monotonic();
  moved_ = true;
}

void Courier::Run() {
  while (true) {
    Transfer transfer;
    grpc::ClientContext context;
    {
      std::unique_lock<std::mutex> hold(mutex_);
      changed_.wait(hold, [this] { return closing_ || !queue_.empty(); });
      if (closing_) return;
      transfer = std::move(queue_.front());
      queue_.pop_front();
      current_ = &context;
      moved_at_ = SystemClock().Monotonic();
    }
    const TransferResult result = transfer.direction == Direction::kUpload
                                      ? Upload(transfer, &context)
                                      : Download(transfer, &context);
    {
      std::lock_guard<std::mutex> hold(mutex_);
      current_ = nullptr;
      if (closing_) return;
    }
    done_(transfer, result);
  }
}

TransferResult Courier::Upload(const Transfer& transfer, grpc::ClientContext* context) {
  const FileDescriptor fd(::open(transfer.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ReadError(ErrnoStatus(errno, transfer.path, "open"));
  v1::UploadReply reply;
  const auto writer = stub_->UploadArtifact(context, &reply);
  v1::ArtifactChunk chunk;
  chunk.mutable_header()->set_sha256(transfer.sha256);
  chunk.mutable_header()->set_bytes(transfer.bytes);
  *chunk.mutable_header()->mutable_attempt() = ToProto(transfer.attempt);
  bool open = writer->Write(chunk);
  absl::Status local;
  std::string buffer(kChunkBytes, '\0');
  // A false Write means that the scheduler has answered early: it refuses the artifact.
  while (open) {
    const absl::StatusOr<size_t> n = ReadSome(fd.get(), &buffer, transfer.path);
    local = n.status();
    if (!n.ok() || *n == 0) break;
    chunk.set_data(buffer.data(), *n);
    open = writer->Write(chunk);
    if (open) OnBytes();
  }
  if (!local.ok()) context->TryCancel();
  if (open) writer->WritesDone();
  const grpc::Status status = writer->Finish();
  return local.ok() ? PeerResult(status) : ReadError(local);
}

TransferResult Courier::Download(const Transfer& transfer, grpc::ClientContext* context) {
  absl::StatusOr<AtomicFile> file = AtomicFile::Create(transfer.path);
  if (!file.ok()) return LocalError(file.status());
  v1::DownloadRequest request;
  request.set_sha256(transfer.sha256);
  const auto reader = stub_->DownloadArtifact(context, request);
  Sha256 hash;
  int64_t received = 0;
  absl::Status local;
  v1::ArtifactChunk chunk;
  while (local.ok() && reader->Read(&chunk)) {
    received += static_cast<int64_t>(chunk.data().size());
    hash.Update(chunk.data());
    OnBytes();
    if (received > transfer.bytes) continue;  // damaged: the scheduler finds it at the end
    local = file->Append(chunk.data());
  }
  if (!local.ok()) context->TryCancel();
  const grpc::Status status = reader->Finish();
  if (!local.ok()) return LocalError(local);
  if (!status.ok()) return PeerResult(status);
  if (received != transfer.bytes || hash.Hex() != transfer.sha256) {
    return {TransferResult::kTryAgain,
            absl::StrCat("artifact ", transfer.sha256, " did not arrive as it was named"),
            grpc::StatusCode::DATA_LOSS};
  }
  local = file->Commit();
  return local.ok() ? TransferResult() : LocalError(local);
}

}  // namespace qsweep
