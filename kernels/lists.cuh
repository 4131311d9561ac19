// Lists of the sites of a block that matter, and their random numbers: where a host spends most of its time. The plain
// forms serve every compiler; those for AVX-512 do the same in a few instructions.
#pragma once
#include "generated.cuh"
#include "lattice.cuh"
#include "portable.cuh"

#ifdef HAS_AVX512

// Number of the k-th set bit, k from 0.
DEVICE uint32_t nth_bit(uint32_t bits, uint32_t k) { return lowest_bit(_pdep_u32(1u << k, bits)); }

// Bit j for each j below the width, at most 64.
DEVICE uint64_t lanes_of(int width) { return width >= 64 ? ~uint64_t(0) : (uint64_t(1) << width) - 1u; }

// The numbers of the bits of a word.
alignas(64) static const uint8_t numbers_[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                                 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                                 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

// Append `start` + the numbers of the set bits; what the list holds beyond them is overwritten.
DEVICE int append(uint64_t set, int start, uint8_t* list, int found) {
    const __m512i numbered = _mm512_add_epi8(_mm512_load_si512(numbers_), _mm512_set1_epi8(char(start)));
    _mm512_storeu_si512(list + found, _mm512_maskz_compress_epi8(set, numbered));
    return found + __builtin_popcountll(set);
}

DEVICE int append(uint64_t set, int start, uint16_t* list, int found) {
    for (int half = 0; half < 64; half += 32) {
        const __mmask32 own = __mmask32(set >> half);
        const __m512i plain = _mm512_cvtepu8_epi16(_mm256_load_si256((const __m256i*)(numbers_ + half)));
        const __m512i numbered = _mm512_add_epi16(plain, _mm512_set1_epi16(int16_t(start)));
        _mm512_storeu_si512(list + found, _mm512_maskz_compress_epi16(own, numbered));
        found += __builtin_popcount(own);
    }
    return found;
}

// Put 16 bytes into a quarter of 64.
DEVICE __m512i insert_quarter(__m512i all, __m128i bytes, int quarter) {
    switch (quarter) {
        case 0: return _mm512_inserti32x4(all, bytes, 0);
        case 1: return _mm512_inserti32x4(all, bytes, 1);
        case 2: return _mm512_inserti32x4(all, bytes, 2);
        default: return _mm512_inserti32x4(all, bytes, 3);
    }
}

// Bit j for each of up to 64 words that is not zero.
DEVICE uint64_t filled_bits(const uint32_t* words, uint64_t lanes) {
    uint64_t set = 0;
    UNROLL_4 for (int j = 0; j < 64; j += 16) {
        const __m512i values = _mm512_maskz_loadu_epi32(__mmask16(lanes >> j), words + j);
        set |= uint64_t(_mm512_test_epi32_mask(values, values)) << j;
    }
    return set;
}

// Bit j for each of up to 64 bytes of which a bit of the mask is set.
DEVICE uint64_t masked_bits(const uint8_t* bytes, uint8_t mask, int width) {
    return _mm512_test_epi8_mask(_mm512_maskz_loadu_epi8(lanes_of(width), bytes), _mm512_set1_epi8(char(mask)));
}

DEVICE int list_filled(const uint8_t* bytes, int width, uint8_t* list) {
    int found = 0;
    for (int start = 0; start < width; start += 64) {
        const __m512i values = _mm512_maskz_loadu_epi8(lanes_of(width - start), bytes + start);
        found = append(_mm512_test_epi8_mask(values, values), start, list, found);
    }
    return found;
}

DEVICE int list_filled(const uint32_t* words, int width, uint8_t* list) {
    int found = 0;
    for (int start = 0; start < width; start += 64)
        found = append(filled_bits(words + start, lanes_of(width - start)), start, list, found);
    return found;
}

DEVICE int list_gated(const uint32_t* words, const uint8_t* touched, const uint8_t* gate, uint8_t limit, int width,
                      uint8_t* list) {
    int found = 0;
    for (int start = 0; start < width; start += 64) {
        const uint64_t lanes = lanes_of(width - start);
        const __m512i touch = _mm512_maskz_loadu_epi8(lanes, touched + start);
        const __m512i gates = _mm512_maskz_loadu_epi8(lanes, gate + start);
        const uint64_t low = _mm512_cmple_epu8_mask(gates, _mm512_set1_epi8(char(limit)));
        const uint64_t set = filled_bits(words + start, lanes) & (low | _mm512_test_epi8_mask(touch, touch));
        found = append(set, start, list, found);
    }
    return found;
}

DEVICE __m512i eight_of(const uint8_t* numbers) {
    return _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i*)numbers));
}
DEVICE __m512i eight_of(const uint16_t* numbers) {
    return _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i*)numbers));
}

// Words of 64 bits whose upper halves do not matter: the multiplication ignores them. Not inlined, or the keys of all
// rounds would be made before the loops around it and kept in memory.
template <typename Number, int ROOM_OF_EACH>
APART void philox_listed(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, const Number* list, int n,
                         uint32_t (*out)[ROOM_OF_EACH]) {
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53u), m1 = _mm512_set1_epi64(0xCD9E8D57u);
    const __m512i w0 = _mm512_set1_epi64(0x9E3779B9u), w1 = _mm512_set1_epi64(0xBB67AE85u);
    for (int j = 0; j < n; j += 8) {
        const __m512i at = _mm512_add_epi64(eight_of(list + j), _mm512_set1_epi64(int64_t(site)));
        __m512i c0 = at, c1 = _mm512_srli_epi64(at, 32), c2 = _mm512_set1_epi64(step), c3 = _mm512_set1_epi64(word);
        __m512i k0 = _mm512_set1_epi64(int64_t(seed)), k1 = _mm512_set1_epi64(int64_t(seed >> 32));
        UNROLL_10 for (int round = 0; round < 10; ++round) {
            const __m512i p0 = _mm512_mul_epu32(c0, m0), p1 = _mm512_mul_epu32(c2, m1);
            c0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c1, k0, 0x96);
            c2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c3, k1, 0x96);
            c1 = p1;
            c3 = p0;
            k0 = _mm512_add_epi32(k0, w0);
            k1 = _mm512_add_epi32(k1, w1);
        }
        const __m512i words[4] = {c0, c1, c2, c3};
        for (int k = 0; k < 4; ++k) _mm256_storeu_si256((__m256i*)(out[k] + j), _mm512_cvtepi64_epi32(words[k]));
    }
}

// Words of a table by kind of cell.
DEVICE void of_kinds(const uint32_t* table, const uint32_t* hot, int width, uint32_t* words) {
    static_assert(N_KINDS == 64 && HOT_KIND_MASK == 63u, "the table is four vectors");
    const __m512i quarters[4] = {_mm512_loadu_si512(table), _mm512_loadu_si512(table + 16),
                                 _mm512_loadu_si512(table + 32), _mm512_loadu_si512(table + 48)};
    for (int j = 0; j < width; j += 16) {
        const __mmask16 lanes = __mmask16(lanes_of(width - j));
        const __m512i kinds = _mm512_srli_epi32(_mm512_maskz_loadu_epi32(lanes, hot + j), HOT_KIND_SHIFT);
        const __m512i low = _mm512_permutex2var_epi32(quarters[0], kinds, quarters[1]);
        const __m512i high = _mm512_permutex2var_epi32(quarters[2], kinds, quarters[3]);
        const __mmask16 upper = _mm512_test_epi32_mask(kinds, _mm512_set1_epi32(32));
        _mm512_mask_storeu_epi32(words + j, lanes, _mm512_mask_blend_epi32(upper, low, high));
    }
}

#else

// Bit j for each of up to 64 bytes of which a bit of the mask is set.
DEVICE uint64_t masked_bits(const uint8_t* bytes, uint8_t mask, int width) {
    uint64_t set = 0;
    for (int j = 0; j < width; ++j) set |= uint64_t((bytes[j] & mask) != 0u) << j;
    return set;
}

// Append `start` + the numbers of the set bits.
DEVICE int append(uint64_t set, int start, uint16_t* list, int found) {
    for (int half = 0; half < 64; half += 32)
        for (uint32_t left = uint32_t(set >> half); left != 0u; left &= left - 1u)
            list[found++] = uint16_t(start + half + int(lowest_bit(left)));
    return found;
}

// Words of a table by kind of cell.
DEVICE void of_kinds(const uint32_t* table, const uint32_t* hot, int width, uint32_t* words) {
    for (int j = 0; j < width; ++j) words[j] = table[(hot[j] >> HOT_KIND_SHIFT) & HOT_KIND_MASK];
}

// Number of the k-th set bit, k from 0.
DEVICE uint32_t nth_bit(uint32_t bits, uint32_t k) {
    for (; k != 0u; --k) bits &= bits - 1u;
    return lowest_bit(bits);
}

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

// List the filled sites of a block that are touched or whose gate is not above the limit.
DEVICE int list_gated(const uint32_t* words, const uint8_t* touched, const uint8_t* gate, uint8_t limit, int width,
                      uint8_t* list) {
    uint8_t passed[BLOCK];
    for (int j = 0; j < width; ++j) passed[j] = (words[j] != 0u) & ((gate[j] <= limit) | (touched[j] != 0u));
    return list_filled(passed, width, list);
}

// The random words of several sites of a block (philox.cuh), out[k][j] for site number j of the list; site = global
// site of the first of the block. Groups of LANES become vectors; what lies beyond the end of the list is drawn too and
// means nothing.
template <typename Number, int ROOM_OF_EACH>
DEVICE void philox_listed(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, const Number* list, int n,
                          uint32_t (*out)[ROOM_OF_EACH]) {
    uint32_t lanes[LANES];
    for (int start = 0; start < n; start += LANES) {
        for (int j = 0; j < LANES; ++j) lanes[j] = list[start + j];
        for (int j = 0; j < LANES; ++j) {
            const uint32_t low = uint32_t(site) + lanes[j];
            uint64_t c0 = low, c1 = uint32_t(site >> 32) + uint32_t(low < lanes[j]), c2 = NOW(step), c3 = word;
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

// GATE neighbouring sites share a draw: a byte for each, for a part of the price of a draw, tells that most of them
// have no event.
#if BLOCK == 1
// The groups that a stretch of a warp can touch.
#define GROUPS (WARP * FEW_LOOKS / GATE + 1)
DEVICE uint32_t (*gates_of_warp())[4] {
    SHARED uint32_t words[THREADS / WARP][GROUPS][4];
    return words[threadIdx.x / WARP];
}

// A warp draws for all sites of a stretch at once, a lane for each group.
struct Gates {
    uint32_t own[4];  // of the site asked for last
    uint64_t first;   // group of shared[0]
    uint32_t (*shared)[4] = gates_of_warp();

    METHOD void draw(uint64_t seed, uint64_t group, uint32_t step, uint32_t word, uint32_t words[4]) {
        const uint8_t number[1] = {0};
        uint32_t r[4][1];
        philox_listed(seed, group, step, word, number, 1, r);
        for (int k = 0; k < 4; ++k) words[k] = r[k][0];
    }

    // By all lanes; site = global site of the first of the stretch.
    METHOD void share(uint64_t seed, uint64_t site, uint32_t step, uint32_t word) {
        first = site / GATE;
        if (lane_number() < GROUPS) draw(seed, first + lane_number(), step, word, shared[lane_number()]);
        __syncwarp();
    }

    // Where a stretch runs over the end of the lattice to its beginning, a site draws for itself.
    METHOD uint8_t at(uint64_t seed, uint64_t site, uint32_t step, uint32_t word) {
        const uint64_t group = site / GATE - first;
        if (group >= GROUPS) return *of(seed, site, step, word, 1);
        return ((const uint8_t*)shared[group])[site % GATE];
    }

    METHOD const uint8_t* of(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, int) {
        draw(seed, site / GATE, step, word, own);
        return (const uint8_t*)own + site % GATE;
    }
};
#else
struct Gates {
    uint32_t words[4 * GROUPS];

    // Those of a block; site = global site of its first.
    METHOD const uint8_t* of(uint64_t seed, uint64_t site, uint32_t step, uint32_t word, int width) {
        static_assert(GROUPS >= BLOCK / GATE + LANES && GROUPS % LANES == 0, "there is room for those of a block");
        uint8_t numbers[GROUPS];
        uint32_t r[4][BLOCK];
        const uint64_t first = site / GATE, groups = (site + uint64_t(width) - 1u) / GATE - first + 1u;
        for (int j = 0; j < GROUPS; ++j) numbers[j] = uint8_t(j);
        philox_listed(seed, first, step, word, numbers, int(groups), r);
        for (uint64_t group = 0; group < groups; ++group)
            for (int k = 0; k < 4; ++k) words[4u * group + uint64_t(k)] = r[k][group];
        return (const uint8_t*)words + (site - first * GATE);
    }
};
#endif
