// Products by our own kernel (kernels/matmul.h): those large enough for it to be as fast as
// oneDNN's or faster. It packs weights at a quarter of the price, fetches ahead what an epilogue
// reads, and has bf16 on every instruction set.
#ifndef QSWEEP_WORKER_ENGINE_MODEL_TILE_MATMUL_H_
#define QSWEEP_WORKER_ENGINE_MODEL_TILE_MATMUL_H_

#include "worker/engine/model/matmul.h"
#include "worker/engine/model/ops.h"

namespace qsweep::engine {

// As Matmul. False, and nothing done: the product is another's.
bool TileMatmul(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, const Epilogue& e,
                const Factors& more);

// c = epilogue(rows · codes · columns + more), codes int8 [k, n], columns as in FinishInt8;
// likewise.
bool TileInt8Matmul(const QuantizedRows& rows, const at::Tensor& codes, const at::Tensor& columns,
                    const at::Tensor& c, const Epilogue& e, const Factors& more);

}  // namespace qsweep::engine

#endif  // QSWEEP_WORKER_ENGINE_MODEL_TILE_MATMUL_H_
