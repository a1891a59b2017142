#include "worker/engine/train/memory_account.h"

#include "common/proc.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/train/process.h"
#include "worker/engine/train/reporter.h"

namespace qsweep::engine {
namespace {

v1::MemoryAccount AllocatorAccount() {
  const MemoryUse use = CurrentMemory();
  v1::MemoryAccount account;
  account.set_weights_bytes(use[Account::kWeights]);
  account.set_scales_bytes(use[Account::kScales]);
  account.set_adapter_bytes(use[Account::kAdapter]);
  account.set_gradient_bytes(use[Account::kGradients]);
  account.set_optimizer_bytes(use[Account::kOptimizer]);
  account.set_activation_bytes(use.peak_bytes[static_cast<int>(Account::kActivations)]);
  account.set_workspace_bytes(use.peak_bytes[static_cast<int>(Account::kWorkspace)]);
  account.set_data_bytes(use.peak_bytes[static_cast<int>(Account::kOther)]);
  account.set_peak_bytes(use.total_peak_bytes);
  account.set_held_bytes(use.held_peak_bytes);
  return account;
}

}  // namespace

v1::MemoryAccount CurrentMemoryAccount(int64_t batch_size, const v1::StepPlan& plan) {
  v1::MemoryAccount account = AllocatorAccount();
  account.set_rss_peak_bytes(PeakResidentBytes());
  account.set_limit_bytes(plan.limit_bytes());
  account.set_predicted_peak_bytes(plan.predicted_peak_bytes());
  account.set_micro_batch(plan.micro_batch());
  account.set_accumulation_steps((batch_size + plan.micro_batch() - 1) / plan.micro_batch());
  account.set_gradient_checkpointing(plan.gradient_checkpointing());
  return account;
}

void AddMemoryPoints(v1::Metrics* metrics) {
  const v1::MemoryAccount account = AllocatorAccount();
  const auto add = [metrics](const char* name, int64_t bytes) {
    AddPoint(name, static_cast<double>(bytes), metrics);
  };
  add("memory/weights_bytes", account.weights_bytes());
  add("memory/scales_bytes", account.scales_bytes());
  add("memory/adapter_bytes", account.adapter_bytes());
  add("memory/gradient_bytes", account.gradient_bytes());
  add("memory/optimizer_bytes", account.optimizer_bytes());
  add("memory/activation_bytes", account.activation_bytes());
  add("memory/workspace_bytes", account.workspace_bytes());
  add("memory/data_bytes", account.data_bytes());
  add("memory/peak_bytes", account.peak_bytes());
  add("memory/held_bytes", account.held_bytes());
  add("memory/rss_bytes", ResidentBytes());
}

}  // namespace qsweep::engine
