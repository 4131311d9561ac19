// The only file that knows which compiler runs: NVRTC/nvcc for the GPU, any C++17 compiler for the host.
#pragma once

#ifdef __CUDACC_RTC__  // NVRTC has no standard headers
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

// KERNEL(fate)(int64_t n, ...) { FOR_EACH (i, n) { ... } }
// FOR_EACH_SITE (p, n, first, ny, nx, idle) { ... } visits the n sites from `first` on (whole rows) as Place p
// (lattice.cuh). The host leaves out the eight sites from p on where `idle` holds; `idle` clears their outputs.
// The prefix keeps exported names away from libc symbols such as step().
#ifdef __CUDACC__
#define KERNEL(name) extern "C" __global__ void abm_##name
#define DEVICE static __device__ inline
#define FOR_EACH(i, n)                                                                                              \
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < (n); i += int64_t(gridDim.x) * blockDim.x)
#define FOR_EACH_SITE(p, n, first, ny, nx, idle)            \
    FOR_EACH (i_, n)                                        \
        if (Place p = place_at((first) + i_, ny, nx); true)
#else
#define KERNEL(name) extern "C" void abm_##name
#define DEVICE static inline
#define FOR_EACH(i, n) _Pragma("omp parallel for schedule(static)") for (int64_t i = 0; i < (n); ++i)
// Row by row: no division per site.
#define FOR_EACH_SITE(p, n, first, ny, nx, idle)                                                    \
    FOR_EACH (row_, (n) / (nx))                                                                     \
        for (Place p = row_start((first) / (nx) + row_, ny, nx); p.x < (nx); step_in_row(p, 1, nx)) \
            if (p.x % 8 == 0 && p.x + 8 <= (nx) && (idle))                                          \
                step_in_row(p, 7, nx);                                                              \
            else
#endif
