#ifndef QSWEEP_SCHEDULER_SERVICE_WORKER_SERVICE_H_
#define QSWEEP_SCHEDULER_SERVICE_WORKER_SERVICE_H_

#include <atomic>

#include "qsweep/v1/worker.grpc.pb.h"
#include "scheduler/artifact_store.h"
#include "scheduler/disk_watch.h"
#include "scheduler/loop.h"
#include "scheduler/service/artifact_transfer.h"
#include "scheduler/service/worker_session.h"

namespace qsweep {

class WorkerService : public v1::WorkerService::CallbackService {
 public:
  WorkerService(Loop& loop, ArtifactStore& store, const DiskWatch& disk, Door& door)
      : loop_(loop), store_(store), disk_(disk), door_(door) {}

  using Context = grpc::CallbackServerContext;
  grpc::ServerBidiReactor<v1::FromWorker, v1::ToWorker>* Session(Context* context) override {
    return WorkerSession::Start(loop_, door_, CallerOf(door_, *context), context->peer(),
                                ++last_session_);
  }
  grpc::ServerReadReactor<v1::ArtifactChunk>* UploadArtifact(Context* context,
                                                             v1::UploadReply* reply) override {
    return StartUpload(loop_, store_, disk_, files_, door_.WorkerOf(CallerOf(door_, *context)),
                       reply);
  }
  grpc::ServerWriteReactor<v1::ArtifactChunk>* DownloadArtifact(
      Context*, const v1::DownloadRequest* request) override {
    return StartDownload(loop_, store_, request->sha256());
  }

 private:
  Loop& loop_;
  ArtifactStore& store_;
  const DiskWatch& disk_;
  Door& door_;
  WorkThread files_;
  std::atomic<core::SessionNumber> last_session_ = 0;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_WORKER_SERVICE_H_
