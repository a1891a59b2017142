#include "analysis/literature.h"

#include "common/proto_json.h"
#include "common/status.h"

namespace qsweep {

extern const char* const kLiteratureJson;

const v1::Literature& PublishedFigures() {
  static const v1::Literature& literature = *[] {
    auto* parsed = new v1::Literature;
    QSWEEP_CHECK(FromJson(kLiteratureJson, parsed).ok());  // our own file; a test reads it too
    return parsed;
  }();
  return literature;
}

}  // namespace qsweep
