// bitsandbytes' 4-bit float.
#include "common/quant/codes.h"
#include "common/quant/scheme.h"

namespace qsweep {
namespace {

const RegisterScheme registered({"fp4", "fp4", kFp4Values, &Fp4Code, &AbsMax});

}  // namespace
}  // namespace qsweep
