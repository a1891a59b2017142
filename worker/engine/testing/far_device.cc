#include "worker/engine/testing/far_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/engine/base/torch_compat.h"

namespace qsweep::engine {
namespace {

// A far address is the host's with this bit flipped. No program's memory has it set: on x86-64 such
// an address is not canonical, on AArch64 it is the kernel's (and not in the ignored top byte).
constexpr uintptr_t kFarBit = uintptr_t{1} << 55;

void* Flip(const void* address) {
  if (address == nullptr) return nullptr;
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(address) ^ kFarBit);
}

std::atomic<int64_t> live_bytes = 0;
std::atomic<int64_t> peak_bytes = 0;
std::atomic<int64_t> limit_bytes = 0;

struct Block {
  void* host;
  int64_t bytes;
};

void Free(void* context) {
  auto* block = static_cast<Block*>(context);
  std::free(block->host);
  live_bytes -= block->bytes;
  delete block;
}

class FarAllocator : public TorchAllocator {
 protected:
  c10::DataPtr Allocate(size_t size) const override {
    if (size == 0) return {nullptr, FarDevice()};
    const int64_t bytes = static_cast<int64_t>(size);
    const int64_t live = live_bytes += bytes;
    const int64_t limit = limit_bytes;
    void* host = nullptr;
    if (limit == 0 || live <= limit) host = std::aligned_alloc(64, (size + 63) / 64 * 64);
    if (host == nullptr) {
      live_bytes -= bytes;
      TORCH_CHECK_WITH(OutOfMemoryError, false, "far device out of memory: tried to allocate ",
                       bytes, " bytes, ", live - bytes, " in use, limit ", limit);
    }
    int64_t peak = peak_bytes;
    while (peak < live && !peak_bytes.compare_exchange_weak(peak, live)) {
    }
    std::memset(host, 0xff, size);
    return {Flip(host), new Block{host, bytes}, &Free, FarDevice()};
  }
};

// Never destroyed: storages hold on to it, those of static tensors too.
FarAllocator* Allocator() {
  static FarAllocator& allocator = *new FarAllocator;
  return &allocator;
}

constexpr c10::DispatchKeySet kFarKeys(c10::DispatchKey::PrivateUse1);

void CopyShape(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() == to.sizes() && from.strides() == to.strides() &&
      from.storage_offset() == to.storage_offset()) {
    return;
  }
  to.unsafeGetTensorImpl()->set_sizes_and_strides(from.sizes(), from.strides(),
                                                  from.storage_offset());
}

at::Tensor OnStorage(c10::Storage storage, c10::DispatchKey key, const at::Tensor& like) {
  at::Tensor tensor = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(key), like.dtype());
  CopyShape(like, tensor);
  return tensor;
}

// `value` with each of its defined tensors replaced by `map` of it.
template <typename Map>
void MapTensors(c10::IValue* value, const Map& map) {
  if (value->isTensor()) {
    if (value->toTensor().defined()) *value = map(value->toTensor());
  } else if (value->isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& t : value->toTensorVector()) list.push_back(t.defined() ? map(t) : t);
    *value = std::move(list);
  } else if (value->isOptionalTensorList()) {
    c10::List<c10::optional<at::Tensor>> list;
    for (const auto& t : value->toOptionalTensorVector()) {
      list.push_back(t && t->defined() ? c10::optional<at::Tensor>(map(*t)) : t);
    }
    *value = std::move(list);
  } else {
    TORCH_CHECK(!value->isStorage(), "the far device has no operations on a bare storage");
  }
}

bool IsNarrow(const at::Tensor& t) {
  return t.scalar_type() == at::kHalf || t.scalar_type() == at::kBFloat16;
}

// The far tensors of one operation as the CPU sees them: on the same memory, whole storages, so
// that what the operation views, resizes or writes carries over.
class Operands {
 public:
  at::Tensor HostOf(const at::Tensor& far, bool written) {
    c10::Storage storage;
    for (Operand& o : operands_) {
      if (o.far.is_same(far)) {
        o.written |= written;
        return o.host;
      }
      if (o.far.storage().is_alias_of(far.storage())) storage = o.host.storage();
    }
    if (!storage) {
      storage = c10::Storage(c10::Storage::use_byte_size_t(), far.storage().nbytes(),
                             c10::DataPtr(Flip(far.storage().data()), at::kCPU),
                             c10::GetCPUAllocator(), /*resizable=*/true);
    }
    const at::Tensor host = OnStorage(std::move(storage), c10::DispatchKey::CPU, far);
    operands_.push_back({far, host, {}, written});
    return host;
  }

  // The narrow type that all operands share, or fp32. One of another floating-point type is the
  // operation's to judge.
  at::ScalarType NarrowType() const {
    at::ScalarType type = at::kFloat;
    for (const Operand& o : operands_) {
      if (IsNarrow(o.host)) type = o.host.scalar_type();
    }
    for (const Operand& o : operands_) {
      const at::Tensor& t = o.host;
      if (t.is_floating_point() && t.dim() > 0 && t.scalar_type() != type) return at::kFloat;
    }
    return type;
  }

  // The fp32 copy of a narrow `host`, which TakeBack() rounds if the operation wrote it.
  at::Tensor InFloat(const at::Tensor& host) {
    for (Operand& o : operands_) {
      if (!o.host.is_same(host) || !IsNarrow(host)) continue;
      if (!o.single.defined()) o.single = host.to(at::kFloat);
      return o.single;
    }
    return host;
  }

  // After the operation: what it rounds into or resized.
  void TakeBack() const {
    for (const Operand& o : operands_) {
      if (o.single.defined() && o.written) o.host.resize_(o.single.sizes()).copy_(o.single);
      const c10::Storage& host = o.host.storage();
      const c10::Storage& far = o.far.storage();
      if (host.data() != Flip(far.data())) {
        c10::DataPtr grown = Allocator()->allocate(host.nbytes());
        std::memcpy(Flip(grown.get()), host.data(), host.nbytes());
        far.set_data_ptr(std::move(grown));
        far.set_nbytes(host.nbytes());
      }
      CopyShape(o.host, o.far);
    }
  }

  // Of a result: the operand it is, a view of the operand it views, or else a copy; of fp32 as
  // `type`.
  at::Tensor FarOf(const at::Tensor& result, at::ScalarType type) const {
    for (const Operand& o : operands_) {
      if (o.host.is_same(result) || o.single.is_same(result)) return o.far;
    }
    for (const Operand& o : operands_) {
      if (o.host.storage().is_alias_of(result.storage())) {
        return OnStorage(o.far.storage(), c10::DispatchKey::PrivateUse1, result);
      }
    }
    const at::Tensor dense = result.is_non_overlapping_and_dense() ? result : result.contiguous();
    const at::Tensor far = at::detail::empty_strided_generic(
        dense.sizes(), dense.strides(), Allocator(), kFarKeys,
        dense.scalar_type() == at::kFloat ? type : dense.scalar_type());
    Operands().HostOf(far, true).copy_(dense);
    return far;
  }

 private:
  struct Operand {
    at::Tensor far, host, single;
    bool written;
  };
  std::vector<Operand> operands_;
};

void Fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const std::vector<c10::Argument>& arguments = op.schema().arguments();
  const auto begin = stack->end() - static_cast<std::ptrdiff_t>(arguments.size());
  torch::jit::Stack call(begin, stack->end());
  stack->erase(begin, stack->end());
  Operands operands;
  for (size_t i = 0; i < call.size(); ++i) {
    if (call[i].isDevice()) call[i] = c10::Device(at::kCPU);
    const c10::AliasInfo* alias = arguments[i].alias_info();
    const bool written = alias != nullptr && alias->isWrite();
    MapTensors(&call[i], [&](const at::Tensor& t) {
      // As on CUDA, a number may come as a CPU tensor.
      if (t.is_cpu() && t.dim() == 0 && !written) return t;
      TORCH_CHECK(t.device() == FarDevice(), "Expected all tensors to be on the same device, but ",
                  op.operator_name().name, "() got '", arguments[i].name(), "' on ", t.device(),
                  " and not on ", FarDevice());
      return operands.HostOf(t, written);
    });
  }
  // As on a GPU, Half and BFloat16 are computed in fp32: of much the CPU has no Half at all, and
  // without AVX-512 libtorch's products sum BFloat16 in BFloat16. Results round, unless the caller
  // named another dtype for them. A view is of the operand as it is.
  const auto& results = op.schema().returns();
  const at::ScalarType narrow = operands.NarrowType();
  bool round =
      narrow != at::kFloat && std::none_of(results.begin(), results.end(), [](const auto& r) {
        return r.alias_info() != nullptr && !r.alias_info()->isWrite();
      });
  for (size_t i = 0; round && i < call.size(); ++i) {
    MapTensors(&call[i], [&](const at::Tensor& t) { return operands.InFloat(t); });
  }
  for (size_t i = 0; round && i < call.size(); ++i) {
    if (!std::string_view(arguments[i].name()).ends_with("dtype") || !call[i].isInt()) continue;
    round = call[i].toScalarType() == narrow;
    if (round) call[i] = at::kFloat;
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &call);
  operands.TakeBack();
  for (c10::IValue& result : call) {
    MapTensors(&result,
               [&](const at::Tensor& t) { return operands.FarOf(t, round ? narrow : at::kFloat); });
    stack->push_back(std::move(result));
  }
}

at::Tensor Empty(at::IntArrayRef size, c10::optional<at::ScalarType> dtype,
                 c10::optional<at::Layout>, c10::optional<at::Device>, c10::optional<bool>,
                 c10::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, Allocator(), kFarKeys, c10::dtype_or_default(dtype),
                                   format);
}

at::Tensor EmptyStrided(at::IntArrayRef size, at::IntArrayRef stride,
                        c10::optional<at::ScalarType> dtype, c10::optional<at::Layout>,
                        c10::optional<at::Device>, c10::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, Allocator(), kFarKeys,
                                           c10::dtype_or_default(dtype));
}

// What copy_() and to() come to: the one operation between devices.
at::Tensor CopyFrom(const at::Tensor& from, const at::Tensor& to, bool) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  Operands operands;
  const at::Tensor source = from.is_cpu() ? from : operands.HostOf(from, false);
  (to.is_cpu() ? to : operands.HostOf(to, true)).copy_(source);
  return to;
}

// One device, one stream. (libtorch's own NoOpDeviceGuardImpl lacks what backward() of 2.6 asks.)
class FarGuard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return FarDevice().type(); }
  c10::Device exchangeDevice(c10::Device) const override { return FarDevice(); }
  c10::Device getDevice() const override { return FarDevice(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream_; }
  c10::Stream getDefaultStream(c10::Device) const override { return stream_; }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream_; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }

 private:
  const c10::Stream stream_{c10::Stream::DEFAULT, FarDevice()};
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, FarGuard);

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&Fallback>());
}

// Beyond what must be, the common views: they are the same on every device, and quicker so.
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &Empty);
  m.impl("empty_strided", &EmptyStrided);
  m.impl("_copy_from", &CopyFrom);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
}

}  // namespace

at::Device FarDevice() { return {c10::DeviceType::PrivateUse1, 0}; }

int64_t FarLiveBytes() { return live_bytes; }

int64_t FarPeakBytes() { return peak_bytes; }

void ResetFarPeak() { peak_bytes = live_bytes.load(); }

void SetFarLimit(int64_t bytes) { limit_bytes = bytes; }

}  // namespace qsweep::engine
