// What lymphocytes see: the one recognition rule, antigens & receptor != 0, over the 27 sites around each of them. It
// is read from a table made for each step: sees[receptor class][lowest byte of a hot word, which is kind and origin].
#pragma once
#include "lattice.cuh"
#include "words.cuh"

// Bits of the table: whether an effector of this receptor may engage the cell, whether another lymphocyte may.
#define SEEN_BY_EFFECTOR 1u
#define SEEN_BY_OTHERS 2u

// What is left of the antigens in the mask when the cell has lost what its word says.
DEVICE uint32_t not_lost(uint32_t mask, uint32_t hot, const uint32_t* losses) {
    for (uint32_t left = GET(hot, HOT_LOSS); left != 0u; left &= left - 1u) mask &= ~losses[lowest_bit(left)];
    return mask;
}

// How dense a seen cell shows what the receptor binds, 1 to 3. antigens: rows of 256 by kind and origin, of what is
// shown at level 1, 2 and 3 or more.
DEVICE uint32_t level_seen(uint32_t hot, uint32_t receptor, const uint32_t* antigens, const uint32_t* losses) {
    const uint32_t bound = not_lost(receptor, hot, losses), row = hot & 255u;
    return 1u + uint32_t((antigens[256u + row] & bound) != 0u) + uint32_t((antigens[512u + row] & bound) != 0u);
}

// Of the targets around p (bits, as in near_site) those that still show what the receptor binds.
DEVICE uint32_t still_showing(const Place& p, uint32_t targets, uint32_t receptor, const uint32_t* res_hot,
                              const uint32_t* antigens, const uint32_t* losses) {
    for (uint32_t left = targets; left != 0u; left &= left - 1u) {
        const uint32_t m = lowest_bit(left);
        const uint32_t hot = res_hot[near_site(p, m)];
        if ((not_lost(antigens[hot & 255u], hot, losses) & receptor) == 0u) targets &= ~(1u << m);
    }
    return targets;
}

// The offsets of the rows of a neighbourhood from its middle, in the order of near_site.
struct Rows {
    int64_t offset[9];
    METHOD explicit Rows(const Place& p) { lay(p); }
    METHOD void lay(const Place& p) {
        const int64_t planes[3] = {p.below, 0, p.above}, rows[3] = {p.south, 0, p.north};
        for (int k = 0; k < 9; ++k) offset[k] = planes[k / 3] + rows[k % 3];
    }
    // Site m around the middle p, as near_site.
    METHOD int64_t site(const Place& p, uint32_t m) const {
        const uint32_t row = m / 3u, x = m - 3u * row;
        const int64_t along[3] = {p.west, 0, p.east};
        return p.l + offset[row] + along[x];
    }
    // To another place of the same plane: only where its row is the first or the last do they differ.
    METHOD void turn_to(const Place& p) {
        if (offset[3] != p.south || offset[5] != p.north) lay(p);
    }
};

// Sites around p (bits) whose resident cell is seen; row: of the table, bit: by whom. lost: whether any of them may
// have lost antigens. Without branches.
DEVICE uint32_t seen_around(const Place& p, const Rows& rows, const uint8_t* row, uint32_t bit, const uint32_t* res_hot,
                            bool* lost) {
    uint32_t targets = 0, all = 0;
    for (uint32_t k = 0; k < 9u; ++k) {
        const uint32_t* middle = res_hot + p.l + rows.offset[k];
        const uint32_t words[3] = {middle[p.west], middle[0], middle[p.east]};
        for (uint32_t x = 0; x < 3u; ++x) {
            targets |= uint32_t((row[words[x] & 255u] & bit) != 0u) << (3u * k + x);
            all |= words[x];
        }
    }
    *lost = GET(all, HOT_LOSS) != 0u;
    return targets;
}

// Kill strength of all lymphocytes that engage the resident cell at p, summed in the order of near_site.
DEVICE float hits_on(const Place& p, const Rows& rows, const uint8_t* engaged, const float* strength) {
    float sum = 0.0f;
    for (uint32_t k = 0; k < 9u; ++k) {
        const uint8_t* middle = engaged + p.l + rows.offset[k];
        const uint8_t three[3] = {middle[p.west], middle[0], middle[p.east]};
        const uint32_t aim = 27u - 3u * k;  // 1 + index of p, seen from the west of this row
        for (uint32_t x = 0; x < 3u; ++x)
            if ((three[x] & AIM_MASK) == aim - x) sum = sum + strength[three[x] >> AIM_BITS];
    }
    return sum;
}

#ifdef HAS_AVX512

// Away from the ends of a row, four neighbours are read at once; the fourth does not count.
DEVICE bool inside_row(const Place& p, int64_t nx) { return p.x > 0 && p.x + 2 < nx; }
DEVICE uint32_t three_of_four(uint64_t bits) { return uint32_t(_pext_u64(bits, 0x777777777u)); }

DEVICE __m128i four(const uint32_t* words) { return _mm_loadu_si128((const __m128i*)words); }

DEVICE __m512i four_rows(const uint32_t* west, const int64_t* offset) {
    __m512i words = _mm512_castsi128_si512(four(west + offset[0]));
    words = _mm512_inserti32x4(words, four(west + offset[1]), 1);
    words = _mm512_inserti32x4(words, four(west + offset[2]), 2);
    return _mm512_inserti32x4(words, four(west + offset[3]), 3);
}

DEVICE uint32_t seen_around(const Place& p, int64_t nx, const Rows& rows, const uint8_t* row, uint32_t bit,
                            const uint32_t* res_hot, bool* lost) {
    if (!inside_row(p, nx)) return seen_around(p, rows, row, bit, res_hot, lost);
    const uint32_t* west = res_hot + p.l - 1;
    const __m512i a = four_rows(west, rows.offset), b = four_rows(west, rows.offset + 4);
    const __m128i c = four(west + rows.offset[8]);
    __m512i keys = _mm512_castsi128_si512(_mm512_cvtepi32_epi8(a));
    keys = _mm512_inserti32x4(keys, _mm512_cvtepi32_epi8(b), 1);
    keys = _mm512_inserti32x4(keys, _mm_cvtepi32_epi8(c), 2);
    const __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(row), keys, _mm512_loadu_si512(row + 64));
    const __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(row + 128), keys, _mm512_loadu_si512(row + 192));
    const __m512i found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(keys), low, high);
    const __m512i all = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_zextsi128_si512(c));
    *lost = _mm512_test_epi32_mask(all, _mm512_set1_epi32(int(HOT_LOSS_MASK << HOT_LOSS_SHIFT))) != 0;
    return three_of_four(_mm512_test_epi8_mask(found, _mm512_set1_epi8(char(bit))));
}

// Without branches for up to four lymphocytes: how many they are cannot be foreseen. What is added for those that are
// not there is 0, which changes no sum.
DEVICE float hits_on(const Place& p, int64_t nx, const Rows& rows, const uint8_t* engaged, const float* strength) {
    static_assert(8 - AIM_BITS == 3, "a vector holds the strengths of all classes");
    if (!inside_row(p, nx)) return hits_on(p, rows, engaged, strength);
    alignas(64) static const uint8_t aims[64] = {27, 26, 25, 0,  24, 23, 22, 0, 21, 20, 19, 0, 18, 17, 16, 0, 15, 14,
                                                 13, 0,  12, 11, 10, 0,  9,  8, 7,  0,  6,  5, 4,  0,  3,  2, 1,  0};
    const uint8_t* west = engaged + p.l - 1;
    int b[9];
    for (int k = 0; k < 9; ++k) memcpy(b + k, west + rows.offset[k], 4);
    const __m256i eight = _mm256_setr_epi32(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
    const __m512i all = _mm512_inserti32x4(_mm512_zextsi256_si512(eight), _mm_cvtsi32_si128(b[8]), 2);
    const __m512i aim = _mm512_and_si512(all, _mm512_set1_epi8(AIM_MASK));
    const uint64_t aiming = _mm512_cmpeq_epi8_mask(aim, _mm512_load_si512(aims)) & 0x777777777u;
    const int found = __builtin_popcountll(aiming);
    const __m128i hits = _mm512_castsi512_si128(_mm512_maskz_compress_epi8(aiming, all));
    const __m256i classes = _mm256_srli_epi32(_mm256_cvtepu8_epi32(hits), AIM_BITS);
    alignas(32) float s[8];
    _mm256_store_ps(s, _mm256_maskz_permutexvar_ps(__mmask8(lanes_of(found)), classes, _mm256_loadu_ps(strength)));
    if (found > 8) return hits_on(p, rows, engaged, strength);
    float sum = ((s[0] + s[1]) + s[2]) + s[3];
    for (int k = 4; k < found; ++k) sum = sum + s[k];
    return sum;
}

#else

DEVICE uint32_t seen_around(const Place& p, int64_t, const Rows& rows, const uint8_t* row, uint32_t bit,
                            const uint32_t* res_hot, bool* lost) {
    return seen_around(p, rows, row, bit, res_hot, lost);
}

DEVICE float hits_on(const Place& p, int64_t, const Rows& rows, const uint8_t* engaged, const float* strength) {
    return hits_on(p, rows, engaged, strength);
}

#endif
