#include "worker/engine/model/linear.h"

#include <cmath>

#include "worker/engine/base/allocator.h"
#include "worker/engine/model/adapter_start.h"
#include "worker/engine/model/int8_matmul.h"

namespace qsweep::engine {

// A device's accounts know no tensors (device_accounts.h): one is freed in the scope it was made
// in, or the account would grow with every pass.
Workspace::~Workspace() {
  const AccountScope scope(Account::kWorkspace);
  bytes_.reset();
}

at::Tensor Workspace::Panel(int64_t rows, int64_t columns, at::ScalarType type) {
  const int64_t bytes = rows * columns * static_cast<int64_t>(c10::elementSize(type));
  if (!bytes_.defined() || bytes_.numel() < bytes) {
    AccountScope scope(Account::kWorkspace);
    bytes_ = at::empty({bytes}, at::device(device_).dtype(at::kByte));
  }
  return bytes_.slice(0, 0, bytes).view(type).view({rows, columns});
}

at::Tensor Linear::Weights(Workspace& workspace) const {
  if (dense.defined()) return dense;
  if (weight.value.defined() && compute == at::kFloat) return weight.value;
  const at::Tensor panel = workspace.Panel(out_features(), in_features(), compute);
  if (quantized) {
    quantized->DequantizeInto(panel);
  } else {
    panel.copy_(weight.value);
  }
  return panel;
}

int64_t Linear::in_features() const {
  return quantized ? quantized->in_features() : (dense.defined() ? dense : weight.value).size(1);
}

at::Tensor Linear::Merged() const {
  at::Tensor merged;
  if (weight.value.defined()) return weight.value;
  if (lora && lora->requantized) {
    merged = lora->requantized->base;
  } else {
    merged = quantized ? quantized->Dequantize(at::kFloat) : dense.to(at::kFloat);
  }
  if (!lora) return merged;
  return merged + AdapterProduct({lora->a.value, lora->b.value}, lora->scaling);
}

void Linear::Requantize() {
  if (!lora || !lora->requantized) return;
  const Requantized& from = *lora->requantized;
  const auto merged = QuantizedWeight::Quantize(Merged(), from.spec, from.importance);
  // Only weights that are not finite cannot be quantized; the loss will say so.
  if (merged.ok()) {
    merged->DequantizeInto(dense);
  } else {
    dense.fill_(NAN);
  }
}

DropoutMask Linear::Mask(const Position& position) const {
  return {lora->dropout_key, position.training ? lora->dropout_threshold : 0, position.step,
          position.first_sample, position.rows_per_sample};
}

at::Tensor Linear::ScaledB() const { return (lora->b.value * lora->scaling).to(compute); }

at::Tensor Linear::LoraHidden(const at::Tensor& x, const Position& position) const {
  if (!lora) return {};
  const DropoutMask mask = Mask(position);
  const at::Tensor hidden = at::empty({x.size(0), lora->a.value.size(0)}, x.options());
  Matmul(mask.threshold > 0 ? Dropout(x, mask) : x, lora->a.value.to(compute).t(), hidden);
  return hidden;
}

at::Tensor Linear::Forward(const at::Tensor& x, const Position& position, at::Tensor* lora_hidden,
                           Workspace& workspace) const {
  const at::Tensor y = at::empty({x.size(0), out_features()}, x.options());
  ForwardAdd(x, position, {}, y, lora_hidden, workspace);
  return y;
}

void Linear::ForwardAdd(const at::Tensor& x, const Position& position, const at::Tensor& add,
                        const at::Tensor& y, at::Tensor* lora_hidden, Workspace& workspace) const {
  at::Tensor hidden;
  if (lora_hidden != nullptr) hidden = *lora_hidden;
  if (!hidden.defined()) hidden = LoraHidden(x, position);
  Factors adapter;
  if (hidden.defined() && !lora->requantized) adapter = {hidden, ScaledB().t()};
  if (lora_hidden != nullptr) *lora_hidden = hidden;
  if (!int8_products) return Matmul(x, Weights(workspace).t(), y, {bias.value, add}, adapter);
  Int8Forward(x, *quantized, int8_threshold, {bias.value, add}, adapter, y);
}

// Adds the gradients of A and B and returns that of dropout(x) Aᵀ, s · dy B.
at::Tensor Linear::BackwardLora(const at::Tensor& dy, const at::Tensor& x, const Position& position,
                                const at::Tensor& lora_hidden, Gradients& gradients) const {
  const DropoutMask mask = Mask(position);
  const at::Tensor d_hidden = at::empty_like(lora_hidden);
  Matmul(dy, ScaledB(), d_hidden);
  // Its transpose, as oneDNN is twice as fast at it.
  const at::Tensor db =
      at::empty({lora_hidden.size(1), dy.size(1)}, gradients.Of(lora->b).options());
  Matmul(lora_hidden.t(), dy, db);
  gradients.Of(lora->b).add_(db.t(), lora->scaling);
  const at::Tensor& da = gradients.Of(lora->a);
  Matmul(d_hidden.t(), mask.threshold > 0 ? Dropout(x, mask) : x, da, {{}, da});
  return d_hidden;
}

// dx = (dy W + more) · multiply.
void Linear::BackwardWeight(const at::Tensor& dy, const Factors& more, const at::Tensor& multiply,
                            const at::Tensor& dx, Workspace& workspace) const {
  const Epilogue epilogue = {{}, {}, multiply};
  if (!int8_products) return Matmul(dy, Weights(workspace), dx, epilogue, more);
  Int8Backward(dy, *quantized, epilogue, more, dx);
}

at::Tensor Linear::Backward(const at::Tensor& dy, const at::Tensor& x, const Position& position,
                            const at::Tensor& lora_hidden, bool wants_input,
                            const at::Tensor& multiply, Gradients& gradients,
                            Workspace& workspace) const {
  if (weight.trains()) {
    const at::Tensor& sum = gradients.Of(weight);
    Matmul(dy.t(), x, sum, {{}, sum});
    gradients.Of(bias).add_(dy.sum(0, false, at::kFloat));
  }
  at::Tensor d_hidden;
  if (lora) d_hidden = BackwardLora(dy, x, position, lora_hidden, gradients);
  if (!wants_input) return {};
  const at::Tensor dx = at::empty({dy.size(0), in_features()}, dy.options());
  if (!lora || lora->requantized) {
    BackwardWeight(dy, {}, multiply, dx, workspace);
    return dx;
  }
  const Factors adapter = {d_hidden, lora->a.value.to(compute)};
  const DropoutMask mask = Mask(position);
  if (mask.threshold == 0) {
    BackwardWeight(dy, adapter, multiply, dx, workspace);
    return dx;
  }
  BackwardWeight(dy, {}, {}, dx, workspace);
  const at::Tensor d_dropped = at::empty_like(dx);
  Matmul(adapter.left, adapter.right, d_dropped);
  DropoutAdd(d_dropped, mask, dx);
  if (multiply.defined()) dx.mul_(multiply);
  return dx;
}

}  // namespace qsweep::engine
