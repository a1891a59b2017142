#include "analysis/testing.h"

#include <google/protobuf/descriptor.h>

#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"

namespace qsweep::testing {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Repeatable noise in -1..1.
double Noise(int64_t n) {
  return std::sin(static_cast<double>(n) * 12.9898) * std::cos(static_cast<double>(n) * 4.1414);
}

v1::ExperimentSpec Spec(int rank, int kind, int64_t seed) {
  v1::ExperimentSpec spec;
  spec.mutable_model()->set_name("deit_tiny_patch16_224");
  spec.mutable_dataset()->set_name("cifar10");
  spec.mutable_training()->set_method("lora");
  spec.mutable_lora()->set_rank(rank);
  spec.mutable_lora()->set_alpha(2 * rank);
  spec.mutable_lora()->add_target_modules("qkv");
  v1::Quantization& quantization = *spec.mutable_quantization();
  quantization.set_bits(kind == 0 ? 0 : kind == 1 ? 8 : 4);
  quantization.set_quant_type("nf4");
  quantization.set_double_quant(kind == 3);
  quantization.set_blocksize(64);
  quantization.set_compute_dtype("bfloat16");
  spec.set_seed(seed);
  return spec;
}

void AddCurve(const std::string& name, int points, double from, double to, int64_t salt,
              RunRecord* record) {
  v1::Curve& curve = record->curves.emplace_back();
  curve.set_name(name);
  for (int i = 1; i <= points; ++i) {
    curve.add_steps(10 * i);
    const double t = static_cast<double>(i) / points;
    curve.add_values(to + (from - to) * std::exp(-4 * t) + 0.01 * Noise(salt + i));
  }
}

v1::RunResult Result(int rank, int kind, int64_t seed) {
  v1::RunResult result;
  result.set_epochs(5);
  result.set_steps(500);
  result.set_best_epoch(4);
  result.set_total_parameters(5'600'000);
  result.set_trainable_parameters(9'000 * rank);
  result.set_adapted_modules(12);
  result.set_train_seconds(120);
  result.set_images_per_s(40 + 2 * kind + Noise(seed));
  v1::Evaluation& best = *result.mutable_best();
  best.set_epoch(4);
  best.set_top1(0.9 - 0.004 * kind + 0.002 * Noise(seed * 7 + kind * 31 + rank));
  best.set_top5(0.995);
  best.set_loss(0.3 + 0.01 * kind);
  best.set_macro_f1(best.top1() - 0.001);
  best.set_images(1000);
  for (int i = 0; i < 100; ++i) best.add_confusion(i % 11 == 0 ? 90 : 1);
  *result.mutable_final() = best;
  if (kind > 0) *result.mutable_merged() = *result.mutable_requantized() = best;
  result.mutable_convergence()->set_epochs_to_1_percent(3);
  v1::QuantizationFacts& facts = *result.mutable_quantization();
  facts.set_bits(kind == 0 ? 0 : kind == 1 ? 8 : 4);
  facts.set_quant_type(kind == 0 ? "none" : kind == 1 ? "int8" : "nf4");
  facts.set_bytes_before(22'100'000);
  facts.set_bytes_after(kind == 0   ? 11'600'000
                        : kind == 1 ? 6'260'000
                        : kind == 2 ? 3'850'000
                                    : 3'600'000);
  facts.set_bits_per_weight(kind == 0 ? 16 : kind == 1 ? 8.17 : kind == 2 ? 4.5 : 4.127);
  facts.set_weights_quantized(kind == 0 ? 0 : 5'300'000);
  facts.set_layers_quantized(kind == 0 ? 0 : 48);
  for (int block = 0; kind > 0 && block < 12; ++block) {
    for (const char* part : {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"}) {
      v1::LayerError& error = *facts.add_layer_errors();
      error.set_quant_type(facts.quant_type());
      error.set_layer(absl::StrCat("blocks.", block, ".", part));
      error.set_relative_mse(0.008 + 0.0005 * block);
      error.set_sqnr_db(21 - 0.1 * block);
    }
  }
  v1::MemoryAccount& memory = *result.mutable_memory();
  memory.set_weights_bytes(facts.bytes_after());
  memory.set_adapter_bytes(300'000);
  memory.set_gradient_bytes(300'000);
  memory.set_optimizer_bytes(600'000);
  memory.set_activation_bytes(200'000'000);
  memory.set_peak_bytes(201'000'000 + facts.bytes_after());
  v1::GradientSummary& gradients = *result.mutable_gradients();
  gradients.set_norm_mean(0.5);
  gradients.set_norm_std(0.1 + 0.005 * kind + 0.001 * Noise(seed + kind));
  gradients.set_stability(0.9 - 0.004 * kind - 0.001 * Noise(seed + kind));
  result.mutable_provenance()->set_cpu("A CPU");
  return result;
}

RunRecord Record(int rank, int kind, int64_t seed, int points) {
  static constexpr const char* kWeights[] = {"none", "int8", "nf4", "nf4dq"};
  RunRecord record;
  record.detail.mutable_run()->set_name(
      absl::StrCat("deit_tiny_patch16_224-cifar10-r", rank, "-", kWeights[kind], "-s", seed));
  record.detail.mutable_run()->set_state(v1::RUN_STATE_SUCCEEDED);
  *record.detail.mutable_spec() = Spec(rank, kind, seed);
  *record.detail.mutable_result() = Result(rank, kind, seed);
  v1::AttemptRecord& attempt = *record.detail.add_attempts();
  attempt.set_number(1);
  attempt.set_worker("machine");
  attempt.set_outcome("succeeded");
  AddCurve("eval/loss", 5, 1.2, 0.3, seed, &record);
  AddCurve("eval/top1", 5, 0.4, 0.9, seed + kind, &record);
  AddCurve("gradient_norm", points, 1.0, 0.4, seed + 2 * kind, &record);
  AddCurve("gradient_norm/blocks.0/mean", points, 0.2, 0.1, seed, &record);
  AddCurve("gradient_norm/blocks.1/mean", points, 0.4, 0.2, seed, &record);
  AddCurve("loss", points, 2.3, 0.25, seed + 3 * kind, &record);
  v1::LogRecord& line = record.logs.emplace_back();
  line.set_unix_us(1'700'000'000'000'000);
  line.set_attempt(1);
  line.set_level("info");
  line.set_text("500 steps in epochs of 100");
  return record;
}

// ---- schemas: every message type once, under $defs.

std::string TypeOf(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return absl::StrCat(R"({"$ref": "#/$defs/)", field.message_type()->name(), R"("})");
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_ENUM:
      return R"({"type": "string"})";
    case FieldDescriptor::CPPTYPE_BOOL:
      return R"({"type": "boolean"})";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return R"({"type": ["number", "null"]})";
    default:
      return R"({"type": "integer"})";
  }
}

void Collect(const Descriptor& type, std::map<std::string, const Descriptor*>* types) {
  if (!types->emplace(type.name(), &type).second) return;
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->message_type() != nullptr) Collect(*type.field(i)->message_type(), types);
  }
}

std::string SchemaOf(const Descriptor& type) {
  std::string properties, required;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    absl::StrAppend(&properties, i > 0 ? ",\n" : "", "        \"", field.name(), "\": ",
                    field.is_repeated()
                        ? absl::StrCat(R"({"type": "array", "items": )", TypeOf(field), "}")
                        : TypeOf(field));
    if (!field.has_presence()) {
      absl::StrAppend(&required, required.empty() ? "" : ", ", "\"", field.name(), "\"");
    }
  }
  return absl::StrCat("{\n      \"type\": \"object\",\n      \"properties\": {\n", properties,
                      "\n      },\n      \"required\": [", required,
                      "],\n      \"additionalProperties\": false\n    }");
}

}  // namespace

std::vector<v1::Run> TestSweep::Runs() const {
  std::vector<v1::Run> runs;
  for (const RunRecord& record : records) runs.push_back(record.detail.run());
  return runs;
}

RunReader TestSweep::Reader() const {
  return [this](const v1::Run& run) -> absl::StatusOr<RunRecord> {
    return records.at(static_cast<size_t>(run.id() - 1));
  };
}

TestSweep MakeSweep(const std::vector<int>& ranks, int seeds, int points) {
  TestSweep test;
  test.sweep.set_id(1);
  test.sweep.set_name("study");
  for (const int rank : ranks) {
    for (int kind = 0; kind < 4; ++kind) {
      for (int64_t seed = 1; seed <= seeds; ++seed) {
        RunRecord& record = test.records.emplace_back(Record(rank, kind, seed, points));
        record.detail.mutable_run()->set_id(static_cast<int64_t>(test.records.size()));
      }
    }
  }
  return test;
}

void AddSensitivityRun(TestSweep* test) {
  RunRecord& record = test->records.emplace_back();
  v1::Run& run = *record.detail.mutable_run();
  run.set_id(static_cast<int64_t>(test->records.size()));
  run.set_name("deit_tiny_patch16_224-cifar10-sensitivity-nf4-s1");
  run.set_state(v1::RUN_STATE_SUCCEEDED);
  *record.detail.mutable_spec() = Spec(/*rank=*/8, /*kind=*/2, /*seed=*/1);
  record.detail.mutable_spec()->mutable_training()->set_method("sensitivity");
  v1::RunResult& result = *record.detail.mutable_result();
  result.set_method("sensitivity");
  v1::Sensitivity& sensitivity = *result.mutable_sensitivity();
  sensitivity.mutable_unquantized()->set_top1(0.7);
  for (int block = 0; block < 12; ++block) {
    for (const char* type : {"int8", "nf4"}) {
      v1::LayerMeasurement& layer = *sensitivity.add_layers();
      layer.set_layer(absl::StrCat("blocks.", block, ".mlp.fc2"));
      layer.set_quant_type(type);
      layer.set_relative_mse(type[0] == 'i' ? 1e-4 : 1e-2);
      layer.set_loss_change((block + 1) * layer.relative_mse());
      layer.set_top1_change(-0.1 * layer.loss_change());
    }
  }
}

TestSweep MakeUnfinishedSweep() {
  TestSweep test = MakeSweep({8}, 2, 20);
  RunRecord& failed = test.records.back();
  failed.detail.clear_result();
  failed.detail.mutable_run()->set_state(v1::RUN_STATE_FAILED);
  failed.detail.mutable_run()->set_blame(v1::BLAME_CONFIG);
  failed.detail.mutable_run()->set_error("step 3: the loss is nan");
  failed.curves.clear();
  RunRecord& pending = test.records[test.records.size() - 2];
  pending.detail.clear_result();
  pending.detail.clear_attempts();
  pending.detail.mutable_run()->set_state(v1::RUN_STATE_PENDING);
  pending.curves.clear();
  pending.logs.clear();
  return test;
}

std::string JsonSchema(const Descriptor& type, const std::string& title) {
  std::map<std::string, const Descriptor*> types;
  Collect(type, &types);
  std::string defs;
  for (const auto& [name, descriptor] : types) {
    absl::StrAppend(&defs, defs.empty() ? "" : ",\n", "    \"", name,
                    "\": ", SchemaOf(*descriptor));
  }
  return absl::StrCat(
      "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
      "  \"title\": \"",
      title, "\",\n  \"$ref\": \"#/$defs/", type.name(), "\",\n  \"$defs\": {\n", defs,
      "\n  }\n}\n");
}

}  // namespace qsweep::testing
