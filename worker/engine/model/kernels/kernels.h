// The hot loops that are not matrix products, on plain memory, for one thread. Their text is
// compiled once per instruction set (instruction_set.cc) and the best that the processor has is
// picked at run time, so one binary runs on any x86-64. Sets differ from one another by rounding;
// none differs from itself.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_KERNELS_KERNELS_H_
#define QSWEEP_WORKER_ENGINE_MODEL_KERNELS_KERNELS_H_

#include <cstdint>

namespace qsweep::engine {

// bfloat16 as bits: the high half of a float.
struct Bf16 {
  uint16_t bits;
};

// Widths of rows and of attention heads are multiples of this.
inline constexpr int64_t kKernelMultiple = 16;

// One head of one image. Rows lie `stride` elements apart; `d` elements each.
struct HeadShape {
  int64_t tokens = 0;   // rows of k and v
  int64_t queries = 0;  // rows of q, o, dO: the first of the tokens
  int64_t d = 0;
  int64_t qkv_stride = 0;  // of q, k, v and their gradients
  int64_t o_stride = 0;    // of o and dO
};

template <typename T>
struct HeadGradients {
  T *dq, *dk, *dv;
};

// Mask of rows of one sample; see DropoutMask in ops.h.
struct MaskSource {
  uint32_t key0, key1;
  uint32_t sample;
  uint32_t step_low, step_high;
  uint32_t threshold;
  float scale;
};

// From sums of products of codes to numbers: ((sum · row scale · column) + bias + add) · multiply.
// Null pointers: nothing.
template <typename T>
struct Int8Finish {
  const float* columns = nullptr;  // [dim]
  const float* bias = nullptr;     // [dim]
  const float* add = nullptr;      // [rows, dim], may be `y`
  const T* multiply = nullptr;     // [rows, dim]
  T* y = nullptr;                  // [rows, dim]
};

// a [m, k] · b [k, n], or b [n, k] transposed; rows lie `stride` elements apart. k and the strides
// are even, of int8 multiples of 4.
template <typename T>
struct MatmulOperands {
  int64_t k = 0;
  const T* a = nullptr;
  int64_t a_stride = 0;
  const T* b = nullptr;
  int64_t b_stride = 0;
  bool b_transposed = false;
};

// The sum of one product or two. n is a multiple of kKernelMultiple.
template <typename T, typename A = T>
struct MatmulShape {
  int64_t m = 0, n = 0;
  MatmulOperands<A> first;
  MatmulOperands<T> second;  // its k may be 0
  // Of int8 codes alone: the first product is times both.
  const float* row_scales = nullptr;     // [m]
  const float* column_scales = nullptr;  // [n]; null: 1
};

// How a product is best divided, and the scratch memory for a part.
struct MatmulDivision {
  int64_t columns, floats;
};

// c [m, n] = (sum + bias + add) · multiply. Null pointers: nothing. `add` may be `c`.
template <typename C>
struct MatmulResult {
  C* c = nullptr;
  int64_t c_stride = 0;
  const float* bias = nullptr;  // [n]
  const C* add = nullptr;       // [m, n]
  int64_t add_stride = 0;
  const C* multiply = nullptr;  // [m, n]
  int64_t multiply_stride = 0;
};

// T is the compute type: float or Bf16.
template <typename T>
struct Kernels {
  const char* instruction_set;

  // layer_norm.h. `xhat` and `rstd` may be null.
  void (*layer_norm)(int64_t rows, int64_t dim, const float* x, const float* gamma,
                     const float* beta, float eps, T* xhat, float* rstd, T* y);
  void (*layer_norm_output)(int64_t rows, int64_t dim, const T* xhat, const float* gamma,
                            const float* beta, T* y);
  // `add` and `narrow` may be null.
  void (*layer_norm_backward)(int64_t rows, int64_t dim, const T* dy, const T* xhat,
                              const float* rstd, const float* gamma, const float* add, float* dx,
                              T* narrow);
  // Adds the rows' sums of dy · x̂ and dy.
  void (*layer_norm_parameters)(int64_t rows, int64_t dim, const T* dy, const T* xhat,
                                float* d_gamma, float* d_beta);

  // gelu.h. In place for the derivative; `keep_derivative` false leaves u as it was.
  void (*gelu)(int64_t n, T* u, T* g, bool keep_derivative);

  // attention.h. `scratch`: attention_scratch(shape) floats, aligned to 64 bytes. `saved`, what
  // backward needs of forward: attention_saved(shape) floats, or null where none will come.
  int64_t (*attention_scratch)(const HeadShape& shape);
  int64_t (*attention_saved)(const HeadShape& shape);
  void (*attention)(const HeadShape& shape, const T* q, const T* k, const T* v, T* o, float* saved,
                    float* scratch);
  void (*attention_backward)(const HeadShape& shape, const T* q, const T* k, const T* v, const T* o,
                             const float* saved, const T* d_o, const HeadGradients<T>& gradients,
                             float* scratch);

  // dropout.h. Elements first .. first + n of the sample; first is a multiple of 128. y = or +=
  // mask · x.
  void (*dropout)(const MaskSource& source, int64_t first, int64_t n, const T* x, T* y);
  void (*dropout_add)(const MaskSource& source, int64_t first, int64_t n, const T* x, T* y);

  // int8.h. Codes of x · columns (null: 1), and scales: a row's largest magnitude / 127. Elements
  // of at least `threshold` (0: none) in magnitude count as zero. A row with one that is not finite
  // has NaN for its scale; one with nothing above 127 / 2^128 has zeros for codes.
  void (*quantize_rows)(int64_t rows, int64_t dim, const T* x, const float* columns,
                        float threshold, int8_t* codes, float* scales);
  void (*finish_int8)(int64_t rows, int64_t dim, const int32_t* sums, const float* row_scales,
                      const Int8Finish<T>& finish);

  // matmul.h. Columns begin .. end, multiples of kKernelMultiple: a thread's part, best a multiple
  // of the division's. `scratch` is aligned to 64 bytes. Sums are fp32, in the order of k; of codes
  // int32.
  MatmulDivision (*matmul_division)(const MatmulShape<T>& shape);
  void (*matmul_to_float)(const MatmulShape<T>& shape, const MatmulResult<float>& result,
                          int64_t begin, int64_t end, float* scratch);
  void (*matmul)(const MatmulShape<T>& shape, const MatmulResult<T>& result, int64_t begin,
                 int64_t end, float* scratch);
  MatmulDivision (*int8_matmul_division)(const MatmulShape<T, int8_t>& shape);
  void (*int8_matmul_to_float)(const MatmulShape<T, int8_t>& shape,
                               const MatmulResult<float>& result, int64_t begin, int64_t end,
                               float* scratch);
  void (*int8_matmul)(const MatmulShape<T, int8_t>& shape, const MatmulResult<T>& result,
                      int64_t begin, int64_t end, float* scratch);
};

// The best set this processor has.
template <typename T>
const Kernels<T>& BestKernels();

// Every set it has, best last: for tests.
template <typename T>
const Kernels<T>* const* AllKernels(int* count);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_KERNELS_KERNELS_H_
