#include "worker/engine/model/matmul.h"

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/status.h"
#include "worker/engine/base/allocator.h"
#include "worker/engine/base/cpu.h"
#include "worker/engine/base/threads.h"
#include "worker/engine/model/tensor_ops.h"
#include "worker/engine/model/tile_matmul.h"

namespace qsweep::engine {
namespace {

namespace dn = dnnl;

const dn::engine& Cpu() {
  static const dn::engine engine(dn::engine::kind::cpu, 0);
  return engine;
}

dn::memory::data_type TypeIn(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return dn::memory::data_type::f32;
    case at::kChar:
      return dn::memory::data_type::s8;
    case at::kInt:
      return dn::memory::data_type::s32;
    default:
      QSWEEP_CHECK(type == at::kBFloat16);
      return dn::memory::data_type::bf16;
  }
}

dn::memory::desc Describe(const at::Tensor& t) {
  return {t.sizes().vec(), TypeIn(t.scalar_type()), t.strides().vec()};
}

dn::memory::desc DescribeBias(const at::Tensor& bias) {
  return {{1, bias.size(0)}, dn::memory::data_type::f32, dn::memory::format_tag::ab};
}

dn::memory Wrap(const dn::memory::desc& desc, const at::Tensor& t) {
  return {desc, Cpu(), t.data_ptr()};
}

bool IsSame(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && a.data_ptr() == b.data_ptr();
}

dn::primitive_attr Attributes(const at::Tensor& c, const Epilogue& e) {
  dn::post_ops ops;
  if (IsSame(e.add, c)) {
    ops.append_sum(1.0f);
  } else if (e.add.defined()) {
    ops.append_binary(dn::algorithm::binary_add, Describe(e.add));
  }
  if (e.multiply.defined()) ops.append_binary(dn::algorithm::binary_mul, Describe(e.multiply));
  dn::primitive_attr attributes;
  attributes.set_post_ops(ops);
  // Ours, so that threads can execute one primitive at once and its memory is accounted for.
  attributes.set_scratchpad_mode(dn::scratchpad_mode::user);
  return attributes;
}

struct Product {
  dn::matmul primitive;
  dn::memory::desc scratchpad;
};

Product MakeProduct(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                    const Epilogue& e) {
  const dn::memory::desc bias = e.bias.defined() ? DescribeBias(e.bias) : dn::memory::desc();
#if DNNL_VERSION_MAJOR >= 3
  const dn::matmul::primitive_desc described(Cpu(), Describe(a), Describe(b), bias, Describe(c),
                                             Attributes(c, e));
#else
  const dn::matmul::primitive_desc described(
      dn::matmul::desc(Describe(a), Describe(b), bias, Describe(c)), Attributes(c, e), Cpu());
#endif
  return {dn::matmul(described), described.scratchpad_desc()};
}

// Everything that a primitive depends on. A training step repeats a few dozen of them.
using Key = std::array<int64_t, 17>;

int64_t TypeOf(const at::Tensor& t) {
  return t.defined() ? 1 + static_cast<int64_t>(t.scalar_type()) : 0;
}

Key KeyOf(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& e) {
  const auto stride = [](const at::Tensor& t) { return t.defined() ? t.stride(0) : 0; };
  return {a.size(0),          a.size(1),     b.size(1),     TypeOf(a),        a.stride(0),
          a.stride(1),        b.stride(0),   b.stride(1),   TypeOf(c),        c.stride(0),
          TypeOf(e.bias),     TypeOf(e.add), stride(e.add), IsSame(e.add, c), TypeOf(e.multiply),
          stride(e.multiply), ThreadsHere()};
}

// Null: this processor has no such product (bf16 without AVX-512).
const Product* FindProduct(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                           const Epilogue& e) {
  static std::mutex mutex;
  static std::map<Key, std::optional<Product>>& cache =
      *new std::map<Key, std::optional<Product>>();
  const Key key = KeyOf(a, b, c, e);
  std::lock_guard<std::mutex> lock(mutex);
  auto found = cache.find(key);
  if (found == cache.end()) {
    std::optional<Product> product;
    try {
      product = MakeProduct(a, b, c, e);
    } catch (const dn::error& error) {
      if (error.status != dnnl_unimplemented) throw;
    }
    found = cache.emplace(key, std::move(product)).first;
  }
  return found->second ? &*found->second : nullptr;
}

// For processors that lack the product asked for: to or from bf16 without AVX-512.
void MatmulInFloat(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                   const Epilogue& e) {
  QSWEEP_CHECK(a.scalar_type() != at::kFloat || c.scalar_type() != at::kFloat);
  const at::Tensor product = at::empty(c.sizes(), at::kFloat);
  Matmul(a.to(at::kFloat), b.to(at::kFloat), product);
  tensor_ops::FinishProduct(product, e, c);
}

}  // namespace

void Matmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& epilogue,
            const Factors& more) {
  QSWEEP_CHECK(a.dim() == 2 && b.dim() == 2 && c.dim() == 2);
  QSWEEP_CHECK(a.size(1) == b.size(0) && a.size(0) == c.size(0) && b.size(1) == c.size(1));
  if (!c.is_cpu()) return tensor_ops::Matmul(a, b, c, epilogue, more);
  if (TileMatmul(a, b, c, epilogue, more)) return;
  if (more.left.defined()) {
    Matmul(a, b, c, {epilogue.bias, epilogue.add, {}});
    return Matmul(more.left, more.right, c, {{}, c, epilogue.multiply});
  }
  const Product* product = FindProduct(a, b, c, epilogue);
  if (product == nullptr) return MatmulInFloat(a, b, c, epilogue);

  std::unordered_map<int, dn::memory> arguments = {{DNNL_ARG_SRC, Wrap(Describe(a), a)},
                                                   {DNNL_ARG_WEIGHTS, Wrap(Describe(b), b)},
                                                   {DNNL_ARG_DST, Wrap(Describe(c), c)}};
  if (epilogue.bias.defined()) {
    arguments.emplace(DNNL_ARG_BIAS, Wrap(DescribeBias(epilogue.bias), epilogue.bias));
  }
  const bool adds_other = epilogue.add.defined() && !IsSame(epilogue.add, c);
  if (adds_other) {
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                      Wrap(Describe(epilogue.add), epilogue.add));
  }
  if (epilogue.multiply.defined()) {
    const int index = epilogue.add.defined() ? 1 : 0;
    arguments.emplace(DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1,
                      Wrap(Describe(epilogue.multiply), epilogue.multiply));
  }
  at::Tensor scratchpad;
  if (product->scratchpad.get_size() > 0) {
    const AccountScope scope(Account::kWorkspace);
    scratchpad = at::empty({static_cast<int64_t>(product->scratchpad.get_size())}, at::kByte);
    arguments.emplace(DNNL_ARG_SCRATCHPAD, Wrap(product->scratchpad, scratchpad));
  }
  static thread_local dn::stream stream(Cpu());
  product->primitive.execute(stream, arguments);
  stream.wait();
}

}  // namespace qsweep::engine
