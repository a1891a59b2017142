// What a client or a worker may send, past the parser of messages: a scheduler takes it or says why
// not, and its database stays whole. The first byte chooses the message.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "common/clock.h"
#include "common/data_dir.h"
#include "common/file.h"
#include "common/status.h"
#include "common/testing/temporary_directory.h"
#include "scheduler/loop.h"
#include "scheduler/recovery.h"
#include "scheduler/requests.h"
#include "scheduler/service/submission.h"
#include "scheduler/worker_messages.h"

namespace qsweep {
namespace {

class NoOutbox : public Outbox {
 public:
  void Send(v1::ToWorker) override {}
  void Close(const absl::Status&) override {}
};

// One for the whole life of the process, so that messages meet what others left.
class Target {
 public:
  Target() {
    database_ = *storage::Database::Open(directory_.Path(kDatabaseFile));
    artifacts_ = *ArtifactStore::Create(directory_.Path(kArtifactsDirectory));
    loop_ = std::make_unique<Loop>(*database_, *artifacts_, SystemClock(),
                                   *Recover(*database_, *artifacts_, SystemClock(), core::Policy()),
                                   1000);
  }
  ~Target() {
    QSWEEP_CHECK(loop_->status().ok());
    loop_.reset();
    QSWEEP_CHECK(database_->Check().ok());
    database_.reset();
  }

  void Take(char kind, const std::string& bytes) {
    switch (kind % 4) {
      case 0:
        return Submit(bytes);
      case 1:
        return Speak(bytes);
      case 2: {
        v1::Hello hello;
        if (hello.ParseFromString(bytes)) (void)CheckHello(hello);
        return;
      }
      default:
        (void)PageStart(bytes, 0);
        (void)CheckName("name", bytes);
    }
  }

 private:
  void Submit(const std::string& bytes) {
    v1::SubmitSweepRequest request;
    if (!request.ParseFromString(bytes)) return;
    const auto cells = PrepareSubmission(*loop_, request);
    if (!cells.ok()) return;
    v1::SubmitSweepReply reply;
    const absl::Status status =
        loop_->Do([&](Turn& turn) { return StoreSubmission(turn, request, *cells, &reply); });
    QSWEEP_CHECK(status.ok() || absl::IsAlreadyExists(status));  // a request id seen before
  }
  // A worker's stream of one message.
  void Speak(const std::string& bytes) {
    v1::FromWorker message;
    if (!message.ParseFromString(bytes)) return;
    const core::SessionNumber session = ++session_;
    (void)loop_->Do([&](Turn& turn) {
      return message.has_hello()
                 ? TakeHello(turn, session, message.hello(), std::make_shared<NoOutbox>())
                 : TakeMessage(turn, last_greeted_, message, StoredResults(message));
    });
    if (message.has_hello()) last_greeted_ = session;
    QSWEEP_CHECK(loop_->status().ok());
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<Loop> loop_;
  core::SessionNumber session_ = 0, last_greeted_ = 0;
};

}  // namespace
}  // namespace qsweep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static qsweep::Target target;
  if (size == 0) return 0;
  target.Take(static_cast<char>(data[0]),
              std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
