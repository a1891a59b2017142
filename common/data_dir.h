// A scheduler's data directory:
//
//   lock             flock held by the daemon for as long as it lives, as in a worker's directory
//   qsweep.db        and its -wal and -shm
//   artifacts/       scheduler/artifact_store.h
//   security/        scheduler/security.h
//   address          where it listens, while it does; one address a line
//   scheduler.sock   where it listens if qctl has started it (qctl/embedded.h)
#ifndef QSWEEP_COMMON_DATA_DIR_H_
#define QSWEEP_COMMON_DATA_DIR_H_

namespace qsweep {

inline constexpr char kDaemonLockFile[] = "lock";
inline constexpr char kDatabaseFile[] = "qsweep.db";
inline constexpr char kArtifactsDirectory[] = "artifacts";
inline constexpr char kSecurityDirectory[] = "security";
inline constexpr char kAddressFile[] = "address";
inline constexpr char kSocketFile[] = "scheduler.sock";

}  // namespace qsweep

#endif  // QSWEEP_COMMON_DATA_DIR_H_
