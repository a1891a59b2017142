// Whether a file is what its name says, for weights that come without a checksum.
#ifndef QSWEEP_QCTL_FETCH_SAFETENSORS_H_
#define QSWEEP_QCTL_FETCH_SAFETENSORS_H_

#include <string>

#include "absl/status/status.h"

namespace qsweep::qctl {

// https://huggingface.co/docs/safetensors: a header of JSON whose tensors' bytes end where the file
// does. DataLoss if it is none. What the tensors are is qtrain's to say.
absl::Status CheckSafetensors(const std::string& path);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FETCH_SAFETENSORS_H_
