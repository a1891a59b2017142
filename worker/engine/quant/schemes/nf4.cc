// NormalFloat4, arXiv 2305.14314.
#include "worker/engine/quant/codes.h"
#include "worker/engine/quant/scheme.h"

namespace qsweep::engine {
namespace {

const RegisterScheme registered({"nf4", "nf4", kNf4Values, &Nf4Code, &AbsMax});

}  // namespace
}  // namespace qsweep::engine
