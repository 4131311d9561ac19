// Lymphocytes tire while they are engaged and recover at rest.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// One level of exhaustion more for effectors that are engaged, one less for lymphocytes that are not; tiring: the
// chance of either in a step, x 2^-32.
KERNEL(exhaust)(int64_t n, int64_t first, int64_t total, int64_t shift, uint64_t seed, uint32_t step, uint32_t word,
                const uint8_t* engaged, const uint32_t* flags, const uint32_t* tiring, uint32_t* mot_hot) {
    FOR_EACH (i, n) {
        const int64_t l = first + i;
        const uint32_t hot = mot_hot[l], level = GET(hot, HOT_EXHAUSTION);
        const bool effector = (flags[GET(hot, HOT_KIND)] >> FLAG_EFFECTOR) & 1u;
        const bool tires = engaged[l] != 0u && effector && level < HOT_EXHAUSTION_MASK;
        const bool recovers = engaged[l] == 0u && level > 0u;
        if (!tires && !recovers) continue;
        uint32_t r[4];
        philox(seed, global_site(l, shift, total), step, word, r);
        if (happens(r[0], tiring[tires ? 0 : 1]))
            mot_hot[l] = PUT(hot, HOT_EXHAUSTION, tires ? level + 1u : level - 1u);
    }
}
