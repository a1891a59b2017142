#include "worker/engine/testing/far_device.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <vector>

#include "worker/engine/testing/distance.h"

namespace qsweep::engine {
namespace {

using In = const std::vector<at::Tensor>&;
using Function = std::function<at::Tensor(In)>;

at::Tensor Far(const at::Tensor& cpu) { return cpu.to(FarDevice()); }
at::Tensor Cpu(const at::Tensor& far) { return far.to(at::kCPU); }

class FarDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    at::manual_seed(1);
  }
  void TearDown() override { SetFarLimit(0); }
};

// `f` gives, and leaves in its inputs, on far tensors what it does on the CPU's.
void ExpectSame(In inputs, const Function& f) {
  std::vector<at::Tensor> near, far;
  for (const at::Tensor& input : inputs) {
    near.push_back(input.clone());
    far.push_back(Far(input));
  }
  const at::Tensor expected = f(near), actual = f(far);
  EXPECT_EQ(actual.device(), FarDevice());
  EXPECT_EQ(actual.scalar_type(), expected.scalar_type());
  EXPECT_TRUE(Cpu(actual).equal(expected)) << Cpu(actual) << "\n" << expected;
  for (size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(Cpu(far[i]).equal(near[i])) << i;
}

TEST_F(FarDeviceTest, ValuesSurviveTheRoundTrip) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kByte, at::kLong}) {
    const at::Tensor cpu = (at::rand({5, 7}) * 100).to(type);
    EXPECT_TRUE(Cpu(Far(cpu)).equal(cpu)) << type;
    EXPECT_TRUE(Cpu(cpu.t().to(FarDevice().type())).equal(cpu.t())) << type;
    EXPECT_TRUE(Cpu(Far(cpu).slice(1, 1, 6, 2)).equal(cpu.slice(1, 1, 6, 2))) << type;
    EXPECT_TRUE(Cpu(Far(cpu).to(at::kDouble)).equal(cpu.to(at::kDouble))) << type;
  }
  EXPECT_EQ(Cpu(at::empty({0, 3}, FarDevice())).numel(), 0);
}

TEST_F(FarDeviceTest, ComputesAsTheCpu) {
  const at::Tensor a = at::randn({4, 6}), b = at::randn({6, 5}), c = at::randn({5});
  ExpectSame({a}, [](In t) { return t[0].add_(1).mul_(t[0]).div_(at::scalar_tensor(3)); });
  ExpectSame({a}, [](In t) { return at::softmax(t[0], -1); });
  ExpectSame({a}, [](In t) { return (t[0] * 99).round().clamp(-127, 127).to(at::kChar); });
  ExpectSame({a}, [](In t) { return at::where(t[0] > 0, t[0], t[0].neg()); });
  ExpectSame({a}, [](In t) { return t[0].masked_fill(t[0] > 0, -1); });
  ExpectSame({a}, [](In t) { return at::cat({t[0], t[0] + 1}, 1); });
  ExpectSame({a}, [](In t) { return at::stack({t[0], t[0] + 1}, 2); });
  ExpectSame({a}, [](In t) { return at::zeros_like(t[0]); });
  ExpectSame({a}, [](In t) { return at::constant_pad_nd(t[0], {1, 2}, 3); });
  ExpectSame({a}, [](In t) { return at::nonzero(t[0] > 0); });
  ExpectSame({a}, [](In t) { return at::isfinite(t[0]).all(); });
  ExpectSame({a}, [](In t) { return std::get<1>(t[0].topk(2)); });
  ExpectSame({a, b}, [](In t) { return t[0].mm(t[1]); });
  ExpectSame({a, b, c}, [](In t) { return at::addmm(t[2], t[0], t[1]); });
  for (const at::Tensor& into : {at::zeros({4, 5}), at::zeros({0})}) {  // the latter grows
    ExpectSame({into, a, b, c}, [](In t) {
      at::Tensor out = t[0];
      return at::addmm_out(out, t[3], t[1], t[2]);
    });
  }
  ExpectSame({at::randn({2, 3, 4, 5}), at::randn({2, 3, 4, 5})}, [](In t) {
    return at::matmul(t[0].transpose(1, 2), t[1].permute({0, 2, 3, 1}));
  });
  const at::Tensor rows = at::tensor({2, 0, 2}, at::kLong);
  ExpectSame({a, rows}, [](In t) { return t[0].index_select(0, t[1]); });
  ExpectSame({a, rows}, [](In t) { return t[0].index({at::indexing::Slice(), t[1]}); });
  for (const at::ScalarType type : {at::kLong, at::kByte}) {
    ExpectSame({at::randint(256, {9}).to(type)},
               [](In t) { return (t[0].__rshift__(3) & 7) ^ t[0].__lshift__(1); });
  }
  EXPECT_EQ(Far(a).sum().dim(), 0);
  EXPECT_EQ(Far(a).sum().item<double>(), a.sum().item<double>());
  EXPECT_FALSE(at::isfinite(at::empty({3}, FarDevice())).any().item<bool>());
}

TEST_F(FarDeviceTest, DifferentiatesAsTheCpu) {
  ExpectSame({at::randn({3, 4}), at::randn({3, 4})}, [](In t) {
    const at::Tensor leaf = t[0].detach().requires_grad_();
    at::softmax(leaf.t().matmul(t[1]), -1).slice(0, 1).square().sum().backward();
    return leaf.grad();
  });
}

TEST_F(FarDeviceTest, ViewsShareTheMemory) {
  const auto shares = [](const Function& view) {
    ExpectSame({at::randn({2, 4, 6})}, [&](In t) { return view(t).fill_(7); });
  };
  shares([](In t) { return t[0].transpose(0, 2); });
  shares([](In t) { return t[0].select(1, 2); });
  shares([](In t) { return t[0].slice(2, 1, 6, 2).narrow(0, 1, 1); });
  shares([](In t) { return t[0].permute({2, 0, 1}).unsqueeze(1); });
  shares([](In t) { return t[0].flatten(1).t(); });
  shares([](In t) { return t[0].reshape({4, 2, 6}).index({1}); });
  shares([](In t) { return t[0].view({-1}).unfold(0, 3, 3); });
  shares([](In t) { return t[0].view({6, 8}).diagonal(); });
  shares([](In t) { return t[0].view(at::kInt); });
  shares([](In t) { return t[0].unsqueeze(0).expand({1, 2, 4, 6}).squeeze(0); });
  shares([](In t) { return at::view_as_complex(t[0].view({-1, 2})); });
}

TEST_F(FarDeviceTest, HalfAndBfloat16AccumulateInFloat) {
  const at::Tensor a = at::randn({2, 8, 3000}), b = at::randn({2, 3000, 8});
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    const at::Tensor x = a.to(type), y = b.to(type);
    const at::Tensor exact = at::bmm(x.to(at::kDouble), y.to(at::kDouble));
    at::Tensor into = at::empty({8, 8}, at::TensorOptions(FarDevice()).dtype(type));
    at::mm_out(into, Far(x)[1], Far(y)[1]);
    const double half_ulp = type == at::kHalf ? kUnitFp16 : kUnitBf16;
    const double of_sums = Fp32Sums(3000) * std::sqrt(3000.);  // which are of that size
    for (const at::Tensor& result :
         {at::bmm(Far(x), Far(y)), at::stack({Far(x)[0].mm(Far(y)[0]), into})}) {
      EXPECT_EQ(result.scalar_type(), type);
      const at::Tensor error = (Cpu(result).to(at::kDouble) - exact).abs();
      EXPECT_TRUE((error <= exact.abs() * half_ulp + of_sums).all().item<bool>()) << error;
    }
  }
  const at::Tensor half = Far(at::randn({3, 4})).to(at::kHalf);
  EXPECT_EQ(at::softmax(half, -1).scalar_type(), at::kHalf);
  EXPECT_EQ(at::softmax(half, -1, at::kFloat).scalar_type(), at::kFloat);
  EXPECT_EQ(half.sum(at::kFloat).scalar_type(), at::kFloat);
  EXPECT_EQ(half.mean().scalar_type(), at::kHalf);
  EXPECT_THROW(half.mm(half.t().to(at::kFloat)), c10::Error);
}

TEST_F(FarDeviceTest, RefusesToMixDevices) {
  const at::Tensor near = at::ones({2, 2}), far = Far(near);
  at::Tensor out = at::empty({2, 2});
  EXPECT_THROW(near.add(far), c10::Error);
  EXPECT_THROW(far.mm(near), c10::Error);
  EXPECT_THROW(at::cat({far, near}), c10::Error);
  EXPECT_THROW(at::mm_out(out, far, far), c10::Error);
  EXPECT_THROW(far.index_select(0, at::tensor({1}, at::kLong)), c10::Error);
  EXPECT_THROW(near.clone().add_(far), c10::Error);
  EXPECT_TRUE(Cpu(far * at::scalar_tensor(2)).equal(near * 2));
}

TEST_F(FarDeviceTest, CountsItsBytesAndKeepsToItsLimit) {
  const int64_t before = FarLiveBytes();
  ResetFarPeak();
  {
    at::Tensor tensor = at::empty({1000}, FarDevice());
    EXPECT_EQ(FarLiveBytes(), before + 4000);
    SetFarLimit(before + 6000);
    EXPECT_THROW(tensor.clone(), c10::OutOfMemoryError);
    EXPECT_THROW(tensor.resize_({2000}), c10::OutOfMemoryError);
    tensor = tensor.slice(0, 0, 10).clone();
    EXPECT_EQ(FarLiveBytes(), before + 40);
  }
  EXPECT_EQ(FarLiveBytes(), before);
  EXPECT_EQ(FarPeakBytes(), before + 4040);
}

TEST_F(FarDeviceTest, TheCpuCannotTouchIt) {
  const at::Tensor far = at::ones({4}, FarDevice());
  // Any death will do: the sanitizers turn the signal into an exit.
  EXPECT_DEATH(std::exit(*static_cast<volatile char*>(far.data_ptr()) * 0), "");
  EXPECT_DEATH(*static_cast<volatile char*>(far.slice(0, 2).data_ptr()) = 1, "");
}

}  // namespace
}  // namespace qsweep::engine
