// Philox4x32-10 (Salmon et al., SC 2011), bit-identical to abm/philox.py.
#pragma once
#include "portable.cuh"

// Four random words for the counter (site low, site high, step, word) under the key `seed`.
DEVICE void philox(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, uint32_t out[4]) {
    uint32_t c0 = uint32_t(site), c1 = uint32_t(site >> 32), c2 = NOW(step), c3 = word;
    uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = uint64_t(0xD2511F53u) * c0;
        const uint64_t p1 = uint64_t(0xCD9E8D57u) * c2;
        c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
        c1 = uint32_t(p1);
        c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
        c3 = uint32_t(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
