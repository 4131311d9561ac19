// Lists of the sites of a block that matter, and their random numbers: where a host spends most of its time. The plain
// forms serve every compiler; those for AVX-512 do the same in a few instructions.
#pragma once
#include "lattice.cuh"
#include "portable.cuh"

#ifdef __AVX512VBMI2__
#include <immintrin.h>

DEVICE uint64_t lanes_of(int width) { return width >= 64 ? ~uint64_t(0) : (uint64_t(1) << width) - 1u; }

// Write the numbers of the set bits, zeros after them.
DEVICE int store_list(uint64_t set, uint8_t* list) {
    alignas(64) static const uint8_t numbers[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                                    32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                                    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    _mm512_storeu_si512(list, _mm512_maskz_compress_epi8(set, _mm512_load_si512(numbers)));
    return __builtin_popcountll(set);
}

DEVICE int list_filled(const uint8_t* bytes, int width, uint8_t* list) {
    const __m512i values = _mm512_maskz_loadu_epi8(lanes_of(width), bytes);
    return store_list(_mm512_test_epi8_mask(values, values), list);
}

DEVICE int list_filled(const uint32_t* words, int width, uint8_t* list) {
    const uint64_t lanes = lanes_of(width);
    uint64_t set = 0;
    for (int j = 0; j < width; j += 16) {
        const __m512i values = _mm512_maskz_loadu_epi32(__mmask16(lanes >> j), words + j);
        set |= uint64_t(_mm512_test_epi32_mask(values, values)) << j;
    }
    return store_list(set, list);
}

DEVICE int list_below(int n, const uint32_t* draw, uint32_t limit, uint8_t* list) {
    const uint64_t lanes = lanes_of(n);
    uint64_t set = 0;
    for (int j = 0; j < n; j += 16)
        set |= uint64_t(_mm512_mask_cmplt_epu32_mask(__mmask16(lanes >> j), _mm512_loadu_si512(draw + j),
                                                     _mm512_set1_epi32(int(limit))))
               << j;
    return store_list(set, list);
}

// Words of 64 bits whose upper halves do not matter: the multiplication ignores them.
DEVICE void philox_listed(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, const uint8_t* list, int n,
                          uint32_t out[4][BLOCK]) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53u), m1 = _mm512_set1_epi64(0xCD9E8D57u);
    for (int j = 0; j < n; j += 8) {
        const __m512i at = _mm512_add_epi64(_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i*)(list + j))),
                                            _mm512_set1_epi64(int64_t(site)));
        __m512i c0 = at, c1 = _mm512_srli_epi64(at, 32), c2 = _mm512_set1_epi64(step), c3 = _mm512_set1_epi64(word);
        uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
        UNROLL_10 for (int round = 0; round < 10; ++round) {
            const __m512i p0 = _mm512_mul_epu32(c0, m0), p1 = _mm512_mul_epu32(c2, m1);
            c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1, _mm512_set1_epi64(k0), 0x96);
            c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3, _mm512_set1_epi64(k1), 0x96);
            c1 = p1;
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        const __m512i words[4] = {c0, c1, c2, c3};
        for (int k = 0; k < 4; ++k) _mm256_storeu_si256((__m256i*)(out[k] + j), _mm512_cvtepi64_epi32(words[k]));
    }
}

#else

// List the sites of a block whose byte is not zero; returns their number. Eight zeros in a row are passed over at once.
DEVICE int list_filled(const uint8_t* bytes, int width, uint8_t* list) {
    int found = 0, j = 0;
    for (; j + 8 <= width; j += 8) {
        if (eight_zeros(bytes + j)) continue;
        for (int k = 0; k < 8; ++k) {  // without branches: which ones are filled cannot be foreseen
            list[found] = uint8_t(j + k);
            found += bytes[j + k] != 0u;
        }
    }
    for (; j < width; ++j) {
        list[found] = uint8_t(j);
        found += bytes[j] != 0u;
    }
    return found;
}

// The same for words.
DEVICE int list_filled(const uint32_t* words, int width, uint8_t* list) {
    uint8_t filled[BLOCK];
    for (int j = 0; j < width; ++j) filled[j] = words[j] != 0u;
    return list_filled(filled, width, list);
}

// List the numbers below n whose draw is below the limit.
DEVICE int list_below(int n, const uint32_t* draw, uint32_t limit, uint8_t* list) {
    int found = 0;
    for (int k = 0; k < n; ++k) {
        list[found] = uint8_t(k);
        found += draw[k] < limit;
    }
    return found;
}

// The random words of several sites of a block (philox.cuh), out[k][j] for site number j of the list; site = global
// site of the block. Groups of LANES become vectors; what lies beyond the end of the list is drawn too and means
// nothing.
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

#endif
