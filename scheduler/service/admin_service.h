#ifndef QSWEEP_SCHEDULER_SERVICE_ADMIN_SERVICE_H_
#define QSWEEP_SCHEDULER_SERVICE_ADMIN_SERVICE_H_

#include <atomic>
#include <optional>
#include <string>

#include "qsweep/v1/admin.grpc.pb.h"
#include "scheduler/loop.h"
#include "scheduler/security.h"
#include "scheduler/service/door.h"
#include "scheduler/service/work_thread.h"

namespace qsweep {

struct AdminOptions {
  std::string data_directory;
  std::optional<Security> security;
  int64_t disk_reserve_bytes = 0;
};

// For those who run the scheduler.
class AdminService : public v1::AdminService::CallbackService {
 public:
  AdminService(Loop& loop, Door& door, const Clock& clock, AdminOptions options);

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;
  Unary* CreateToken(Context*, const v1::CreateTokenRequest*, v1::CreateTokenReply*) override;
  Unary* ListTokens(Context*, const v1::ListTokensRequest*, v1::ListTokensReply*) override;
  Unary* RevokeToken(Context*, const v1::RevokeTokenRequest*, v1::RevokeTokenReply*) override;
  grpc::ServerWriteReactor<v1::ArtifactChunk>* BackupDatabase(
      Context*, const v1::BackupDatabaseRequest*) override;
  Unary* CheckDatabase(Context*, const v1::CheckDatabaseRequest*, v1::CheckDatabaseReply*) override;
  Unary* GetHealth(Context*, const v1::GetHealthRequest*, v1::Health*) override;

  // Ends copies under way.
  void Stop() { stop_ = true; }
  // Makes a checked copy of the database in the data directory; then calls `done` with its path on
  // a thread of its own. The file is the caller's to remove.
  void Copy(std::function<void(absl::StatusOr<std::string>)> done);

 private:
  Loop& loop_;
  Door& door_;
  const Clock& clock_;
  const AdminOptions options_;
  const absl::Duration started_;
  std::atomic<int64_t> last_copy_ = 0;
  std::atomic<bool> stop_ = false;
  WorkThread files_;
};

}  // namespace qsweep

#endif  // QSWEEP_SCHEDULER_SERVICE_ADMIN_SERVICE_H_
