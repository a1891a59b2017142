// Where the code has been, for libFuzzer: GCC calls this at every edge, which libFuzzer refuses to
// count itself, but it takes counters that others keep.
#include <cstdint>

namespace {

constexpr int kPlaceBits = 16;
__attribute__((section("__libfuzzer_extra_counters"))) uint8_t counters[1 << kPlaceBits];

}  // namespace

// The linker puts it in place of libFuzzer's (--wrap).
extern "C" __attribute__((no_sanitize_coverage, no_sanitize("address", "undefined"))) void
__wrap___sanitizer_cov_trace_pc() {
  const auto place = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  ++counters[(place ^ place >> kPlaceBits) & ((1 << kPlaceBits) - 1)];
}

// GCC reports comparisons of floating-point numbers, too, which libFuzzer has no use for.
extern "C" void __sanitizer_cov_trace_cmpf(float, float) {}
extern "C" void __sanitizer_cov_trace_cmpd(double, double) {}
