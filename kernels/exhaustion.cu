// Lymphocytes tire while they are engaged and recover at rest.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// One level of exhaustion more for effectors that are engaged, one less for lymphocytes that are not; tiring: the
// chance of either in a step, x 2^-32.
KERNEL(exhaust)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
                uint32_t step, uint32_t word, const uint8_t* engaged, const uint32_t* flags, const uint32_t* tiring,
                uint32_t* mot_hot) {
    FOR_EACH_BLOCK_WHERE(mot_hot[l], seen != 0u, , b, width, n, first, ny, nx) {
        uint8_t list[ROOM] = {0};
        uint32_t r[4][BLOCK];
        const int found = list_filled(mot_hot + b.l, width, list);
        int changing = 0;
        for (int i = 0; i < found; ++i) {
            const int64_t l = b.l + list[i];
            const uint32_t level = GET(mot_hot[l], HOT_EXHAUSTION);
            const bool effector = (flags[GET(mot_hot[l], HOT_KIND)] >> FLAG_EFFECTOR) & 1u;
            list[changing] = list[i];
            changing += engaged[l] != 0u ? effector && level < HOT_EXHAUSTION_MASK : level > 0u;
        }
        philox_listed(seed, global_site(b.l, shift, total), step, word, list, changing, r);
        for (int i = 0; i < changing; ++i) {
            const int64_t l = b.l + list[i];
            const bool tires = engaged[l] != 0u;
            const uint32_t level = GET(mot_hot[l], HOT_EXHAUSTION);
            if (happens(r[0][i], tiring[tires ? 0 : 1]))
                mot_hot[l] = PUT(mot_hot[l], HOT_EXHAUSTION, tires ? level + 1u : level - 1u);
        }
    }
}
