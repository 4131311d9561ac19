// Philox4x32-10 (Salmon et al., SC 2011), bit-identical to abm/philox.py.
#pragma once
#include "portable.cuh"

// Four random words for the counter (site low, site high, step, word) under the key `seed`.
DEVICE void philox(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, uint32_t out[4]) {
    uint32_t c0 = uint32_t(site), c1 = uint32_t(site >> 32), c2 = step, c3 = word;
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

// The random words of several sites of a block, out[k][j] for site number j of the list; site = global site of the
// block. The list is filled up with zeros to whole groups of LANES, which the host's compiler makes vectors of: hence
// words of 64 bits, whose upper halves do not matter.
DEVICE void philox_listed(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, const uint8_t* list, int n,
                          uint32_t out[4][BLOCK]) {
    uint32_t lanes[LANES];
    for (int start = 0; start < n; start += LANES) {
        for (int j = 0; j < LANES; ++j) lanes[j] = list[start + j];
        for (int j = 0; j < LANES; ++j) {
            const uint32_t low = uint32_t(site) + lanes[j];
            uint64_t c0 = low, c1 = uint32_t(site >> 32) + uint32_t(low < lanes[j]), c2 = step, c3 = word;
            uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
            UNROLL_10 for (int round = 0; round < 10; ++round) {
                const uint64_t p0 = uint64_t(0xD2511F53u) * uint32_t(c0);
                const uint64_t p1 = uint64_t(0xCD9E8D57u) * uint32_t(c2);
                c0 = (p1 >> 32) ^ c1 ^ k0;
                c1 = p1;
                c2 = (p0 >> 32) ^ c3 ^ k1;
                c3 = p0;
                k0 += 0x9E3779B9u;
                k1 += 0xBB67AE85u;
            }
            out[0][start + j] = uint32_t(c0);
            out[1][start + j] = uint32_t(c1);
            out[2][start + j] = uint32_t(c2);
            out[3][start + j] = uint32_t(c3);
        }
    }
}
