// Phase 2: diffusible signals. One Jacobi sweep of the screened Poisson equation on a 10 um lattice.
#include "lattice.cuh"
#include "words.cuh"

// Sum over the six neighbours, in the order -z, +z, -y, +y, -x, +x.
DEVICE float six_neighbours(const Place& p, const float* field) {
    float sum = field[p.l - p.plane] + field[p.l + p.plane];
    sum = sum + field[p.l + p.south];
    sum = sum + field[p.l + p.north];
    sum = sum + field[p.l + p.west];
    return sum + field[p.l + p.east];
}

// CXCL12: secreted by stroma, less so where leukaemia surrounds it. weight = 1 / (6 + (h / length)^2).
KERNEL(sweep_cxcl12)(int64_t n, int64_t first, int64_t ny, int64_t nx, float weight, float source, float half,
                     float floor, const uint8_t* tissue, const uint32_t* histogram, const float* field, float* next) {
    FOR_EACH_SITE (p, n, first, ny, nx, false) {
        const int64_t l = p.l;
        float sum = six_neighbours(p, field);
        if ((tissue[l] >> STROMA_SHIFT) & 1u) {
            const float leukaemic = float((histogram[l] >> LEUKAEMIC_SHIFT) & 31u);
            sum = sum + (source * (half / (half + leukaemic)));
        }
        const float value = sum * weight;
        next[l] = value < floor ? 0.0f : value;
    }
}

// Inflammation: secreted by engaged lymphocytes.
KERNEL(sweep_inflammation)(int64_t n, int64_t first, int64_t ny, int64_t nx, float weight, float source, float floor,
                           const uint8_t* engaged, const float* field, float* next) {
    FOR_EACH_SITE (p, n, first, ny, nx, false) {
        const int64_t l = p.l;
        float sum = six_neighbours(p, field);
        if (engaged[l] != 0u) sum = sum + source;
        const float value = sum * weight;
        next[l] = value < floor ? 0.0f : value;
    }
}
