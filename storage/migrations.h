#ifndef QSWEEP_STORAGE_MIGRATIONS_H_
#define QSWEEP_STORAGE_MIGRATIONS_H_

#include <vector>

namespace qsweep::storage {

// The schema, as steps: number i + 1 brings a database of version i to version i + 1.
const std::vector<const char*>& Migrations();

}  // namespace qsweep::storage

#endif  // QSWEEP_STORAGE_MIGRATIONS_H_
