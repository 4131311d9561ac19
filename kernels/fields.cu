// Phase 2: diffusible signals. One Jacobi sweep of the screened Poisson equation on a 10 um lattice.
#include "lattice.cuh"
#include "words.cuh"

// Sums over the six neighbours of the sites of a block, each in the order -z, +z, -y, +y, -x, +x.
DEVICE void six_neighbours(const Place& b, int width, int64_t ny, int64_t nx, const float* field, float* sum) {
    const float *here = field + b.l, *below = here + b.below, *above = here + b.above;
    const float *south = here + b.south, *north = here + b.north;
    const auto sum_at = [&](int64_t j, int64_t west, int64_t east) {
        return ((((below[j] + above[j]) + south[j]) + north[j]) + here[west]) + here[east];
    };
    const Place last = lane(b, width - 1, ny, nx);
    for (int j = 1; j < width - 1; ++j) sum[j] = sum_at(j, j - 1, j + 1);
    for (int64_t j = nx - b.x; j < width; j += nx) {  // where rows meet: the other end of the row instead
        sum[j - 1] = sum_at(j - 1, j - 2, j - nx);
        sum[j] = sum_at(j, j + nx - 1, j + 1);
    }
    sum[0] = sum_at(0, b.west, b.east);
    sum[width - 1] = sum_at(width - 1, width - 1 + last.west, width - 1 + last.east);
}

// CXCL12: secreted by stroma, less so where leukaemia surrounds it. weight = 1 / (6 + (h / length)^2).
KERNEL(sweep_cxcl12)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, float weight,
                     float source, float half, float floor, const uint8_t* tissue, const uint32_t* histogram,
                     const float* field, float* next) {
    FOR_EACH_EVEN_BLOCK(b, width, n, first, ny, nx) {
        float sum[BLOCK];
        set_z(b, b.floor, low, high);
        six_neighbours(b, width, ny, nx, field, sum);
        for (int j = 0; j < width; ++j) {
            const float leukaemic = float(int32_t((histogram[b.l + j] >> LEUKAEMIC_SHIFT) & 31u));
            const float fed = sum[j] + (source * (half / (half + leukaemic)));
            sum[j] = ((tissue[b.l + j] >> STROMA_SHIFT) & 1u) != 0u ? fed : sum[j];
        }
        for (int j = 0; j < width; ++j) {
            const float value = sum[j] * weight;
            next[b.l + j] = value < floor ? 0.0f : value;
        }
    }
}

// Inflammation: secreted by engaged lymphocytes.
KERNEL(sweep_inflammation)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, float weight,
                           float source, float floor, const uint8_t* engaged, const float* field, float* next) {
    FOR_EACH_EVEN_BLOCK(b, width, n, first, ny, nx) {
        float sum[BLOCK];
        set_z(b, b.floor, low, high);
        six_neighbours(b, width, ny, nx, field, sum);
        for (int j = 0; j < width; ++j) {
            const float fed = sum[j] + source;
            const float value = (engaged[b.l + j] != 0u ? fed : sum[j]) * weight;
            next[b.l + j] = value < floor ? 0.0f : value;
        }
    }
}
