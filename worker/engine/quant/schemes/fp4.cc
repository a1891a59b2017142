// bitsandbytes' 4-bit float.
#include "worker/engine/quant/codes.h"
#include "worker/engine/quant/scheme.h"

namespace qsweep::engine {
namespace {

const RegisterScheme registered({"fp4", "fp4", kFp4Values, &Fp4Code, &AbsMax});

}  // namespace
}  // namespace qsweep::engine
