// A run as the analysis keeps it: small enough that ten thousand fit in memory. What is large
// (confusion matrices, whole curves) is written to the run's files and let go.
#ifndef QSWEEP_ANALYSIS_RUN_FACTS_H_
#define QSWEEP_ANALYSIS_RUN_FACTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qsweep/v1/report.pb.h"
#include "qsweep/v1/result.pb.h"
#include "qsweep/v1/spec.pb.h"
#include "qsweep/v1/sweep.pb.h"

namespace qsweep {

// Values over steps, rising.
struct Series {
  std::vector<int64_t> steps;
  std::vector<float> values;
};

struct RunFacts {
  v1::Run run;
  v1::ExperimentSpec spec;              // every default filled in
  std::optional<v1::RunResult> result;  // of a run that succeeded, without confusion matrices
  Series top1;                          // one value an epoch
  Series loss, gradient_norm;           // thinned out
  std::vector<v1::LayerGradient> layers;
  int64_t classes = 0;  // of the confusion matrix; 0: it had none
};

// 8 or 4 bits for every layer. The study expects nothing of a mixture.
bool IsOneKind(const v1::Quantization& quantization);

// Method sensitivity measures layers one by one and trains nothing: it has no accuracy to compare.
bool Trains(const v1::ExperimentSpec& spec);
bool TrainsQuantized(const v1::ExperimentSpec& spec);

// Micro-batch, checkpointing, threads, CPU and device, in words. Whatever they are, the accuracy is
// the same; peak memory and speed of two results can be compared only where this is equal.
std::string HowComputed(const v1::RunResult& result);

// Of the base and of what is trained beside it, as PEFT counts: adapters and the copies of modules
// that are saved with them.
int64_t AllParameters(const v1::ExperimentSpec& spec, const v1::RunResult& result);

// Equal for specs that differ in the seed only.
std::string SeedlessKey(const v1::ExperimentSpec& spec);
// Equal for specs that differ only in how the base is quantized; what it computes in stays part of
// the key.
std::string TwinKey(const v1::ExperimentSpec& spec);

}  // namespace qsweep

#endif  // QSWEEP_ANALYSIS_RUN_FACTS_H_
