// NormalFloat4, arXiv 2305.14314.
#include "common/quant/codes.h"
#include "common/quant/scheme.h"

namespace qsweep {
namespace {

const RegisterScheme registered({"nf4", "nf4", kNf4Values, &Nf4Code, &AbsMax});

}  // namespace
}  // namespace qsweep
