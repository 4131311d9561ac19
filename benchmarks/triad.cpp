// STREAM triad: the memory bandwidth a kernel on this machine can hope for.
#include <stdint.h>

extern "C" void triad(int64_t n, double* a, const double* b, const double* c) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; ++i) a[i] = b[i] + 3.0 * c[i];
}
