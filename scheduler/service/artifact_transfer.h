// Artifacts between gRPC and files. The bytes never meet the loop.
#ifndef QSWEEP_SCHEDULER_SERVICE_ARTIFACT_TRANSFER_H_
#define QSWEEP_SCHEDULER_SERVICE_ARTIFACT_TRANSFER_H_

#include <grpcpp/grpcpp.h>

#include <string>

#include "common/file.h"
#include "common/hash.h"
#include "qsweep/v1/worker.pb.h"
#include "scheduler/artifact_store.h"
#include "scheduler/disk_watch.h"
#include "scheduler/loop.h"
#include "scheduler/service/door.h"
#include "scheduler/service/work_thread.h"

namespace qsweep {

// Sends a file: a header with its size and hash, then data. DataLoss if these were of another hash.
class FileSender : public grpc::ServerWriteReactor<v1::ArtifactChunk> {
 public:
  void OnWriteDone(bool ok) override;

 protected:
  // Once, unless it returns an error; nothing is sent then.
  absl::Status Send(FileDescriptor fd, const std::string& sha256);
  virtual void OnDamage() {}      // it holds something else
  virtual void OnUnreadable() {}  // the disk has an error there, now at least

 private:
  grpc::Status CheckHash();

  FileDescriptor fd_;
  std::string sha256_;
  Sha256 hash_;  // of what was sent
  v1::ArtifactChunk chunk_;
};

// On behalf of a live attempt, which must be the caller's, while there is room on the disk. The
// reply comes when file and row are on disk; `files` waits for the file.
grpc::ServerReadReactor<v1::ArtifactChunk>* StartUpload(Loop& loop, ArtifactStore& store,
                                                        const DiskWatch& disk, WorkThread& files,
                                                        const WorkerId& worker,
                                                        v1::UploadReply* reply);
// What turns out to be damaged, gone or unreadable is told to the loop (LoseArtifact and
// SkipCheckpoint).
grpc::ServerWriteReactor<v1::ArtifactChunk>* StartDownload(Loop& loop, ArtifactStore& store,
                                                           const std::string& sha256);

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_ARTIFACT_TRANSFER_H_
