// QSWEEP_VECTOR_CLONES before a function has its loops compiled for each vector length; which one
// runs is decided when the program starts. Elsewhere than on x86-64 every processor has the same.
#ifndef QSWEEP_WORKER_ENGINE_DATA_VECTOR_CLONES_H_
#define QSWEEP_WORKER_ENGINE_DATA_VECTOR_CLONES_H_

#if defined(__x86_64__)
#define QSWEEP_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define QSWEEP_VECTOR_CLONES
#endif

#endif  // QSWEEP_WORKER_ENGINE_DATA_VECTOR_CLONES_H_
