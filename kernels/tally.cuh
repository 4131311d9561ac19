// Counts of cells by kind and origin, part by part: plain forms, one for AVX-512.
#pragma once
#include "lists.cuh"
#include "words.cuh"

// Add n (a difference, modulo 2^32) to the cells that are there, and to the quiescent ones if the cell is one.
DEVICE void count_there(uint32_t hot, uint32_t n, uint32_t* counts) {
    count(counts + COUNT_POPULATION * SLOTS + slot(hot), n);
    if (GET(hot, HOT_CYCLE) == 0u) count(counts + COUNT_QUIESCENT * SLOTS + slot(hot), n);
}

// Count by how much those who are there differ, when the word of a site changes.
DEVICE void count_difference(uint32_t before, uint32_t after, uint32_t* counts) {
    if (((before ^ after) & (255u | HOT_CYCLE_MASK << HOT_CYCLE_SHIFT)) == 0u) return;  // kind, origin, cycle
    if (before != 0u) count_there(before, ~0u, counts);
    if (after != 0u) count_there(after, 1u, counts);
}

#if BLOCK == 1
// Counts cells in memory that the threads of a block share, and adds the sums to a part at the end.
#if SHARED_COUNTS
#define TALLIED (2u * SLOTS)
DEVICE uint32_t* tally_of_block() {
    SHARED uint32_t number[TALLIED];
    return number;
}
struct Tally {
    uint32_t *counts, *number = tally_of_block();
    METHOD explicit Tally(uint32_t* row) : counts(row) {
        for (uint32_t k = threadIdx.x; k < TALLIED; k += THREADS) number[k] = 0u;
        __syncthreads();
    }
    METHOD ~Tally() {
        __syncthreads();
        const uint32_t rows[2] = {COUNT_POPULATION * SLOTS, COUNT_QUIESCENT * SLOTS};
        for (uint32_t k = threadIdx.x; k < TALLIED; k += THREADS)
            if (number[k] != 0u) count(counts + rows[k / SLOTS] + k % SLOTS, number[k]);
    }
    METHOD void add(uint32_t hot, int) {
        count(number + slot(hot));
        if (GET(hot, HOT_CYCLE) == 0u) count(number + SLOTS + slot(hot));
    }
};

// Add up the parts of each of n counts, which may be differences, and clear them: a block has a count for each lane, a
// share of the parts for each warp.
DEVICE void collect_parts(int64_t n, uint32_t* counts, int64_t* totals) {
    constexpr uint32_t warps = THREADS / WARP, share = N_PARTS / warps;
    static_assert(N_PARTS % warps == 0u, "each warp takes as many parts");
    SHARED int64_t sums[warps][WARP];
    const uint32_t warp = threadIdx.x / WARP, lane = lane_number();
    for (int64_t start = int64_t(blockIdx.x) * WARP; start < n; start += int64_t(gridDim.x) * WARP) {
        uint32_t* own = counts + warp * share * n + start + lane;
        uint32_t found[share];  // read all, then write: the loads do not wait for each other
        int64_t sum = 0;
        if (start + lane < n) {
            for (uint32_t part = 0; part < share; ++part) found[part] = own[part * n];
            for (uint32_t part = 0; part < share; ++part) own[part * n] = 0u;
            for (uint32_t part = 0; part < share; ++part) sum += int32_t(found[part]);
        }
        sums[warp][lane] = sum;
        __syncthreads();
        if (warp == 0u && start + lane < n) {
            for (uint32_t k = 1; k < warps; ++k) sum += sums[k][lane];
            totals[start + lane] = sum;
        }
        __syncthreads();
    }
}
#else
struct Tally {
    uint32_t* counts;
    METHOD explicit Tally(uint32_t* row) : counts(row) {}
    METHOD void add(uint32_t hot, int) { count_there(hot, 1u, counts); }
};
#endif
#else
// Counts cells of a part by the lowest byte of their hot word, kind and origin, and by whether they are quiescent. In
// two tables: neighbours are often alike, and a counter that has just been written is slow to read.
struct Tally {
    uint32_t* counts;
    uint32_t number[2][512] = {};
    uint8_t common[2] = {};  // lowest byte of many words, by layer
    METHOD explicit Tally(uint32_t* row) : counts(row) {}
    METHOD ~Tally() {
        for (uint32_t key = 0; key < 512u; ++key) {
            const uint32_t found = number[0][key] + number[1][key];
            if (found == 0u) continue;
            counts[COUNT_POPULATION * SLOTS + slot(key & 255u)] += found;
            if (key >= 256u) counts[COUNT_QUIESCENT * SLOTS + slot(key & 255u)] += found;
        }
    }
    METHOD void add(uint32_t hot, int i) {
        number[i % 2][(hot & 255u) + (GET(hot, HOT_CYCLE) == 0u ? 256u : 0u)] += 1u;
    }
};
#endif

// Add up the cells of a block of one of the two layers.
#ifdef HAS_AVX512
// Up to 64 cells: those of the byte that was common last at once, as neighbours are often alike, the rest one by one.
DEVICE void tally_up_to_64(Tally& tally, uint8_t& common, const uint32_t* hot, int width) {
    const uint64_t lanes = lanes_of(width);
    __m512i keys = _mm512_setzero_si512();
    uint64_t filled = 0, quiet = 0;
    UNROLL_4 for (int j = 0; j < 64; j += 16) {
        const __m512i words = _mm512_maskz_loadu_epi32(__mmask16(lanes >> j), hot + j);
        filled |= uint64_t(_mm512_test_epi32_mask(words, words)) << j;
        quiet |= uint64_t(_mm512_testn_epi32_mask(words, _mm512_set1_epi32(HOT_CYCLE_MASK << HOT_CYCLE_SHIFT))) << j;
        keys = insert_quarter(keys, _mm512_cvtepi32_epi8(words), j / 16);
    }
    const uint64_t same = _mm512_cmpeq_epi8_mask(keys, _mm512_set1_epi8(char(common))) & filled;
    tally.number[0][common] += uint32_t(__builtin_popcountll(same & ~quiet));
    tally.number[0][common + 256u] += uint32_t(__builtin_popcountll(same & quiet));
    const uint64_t others = filled & ~same;
    uint8_t list[ROOM];
    const int found = append(others, 0, list, 0);
    for (int i = 0; i < found; ++i) tally.add(hot[list[i]], i);
    if (found > __builtin_popcountll(same)) common = uint8_t(hot[list[0]]);
}

DEVICE void tally_block(Tally& tally, int layer, const uint32_t* hot, int width) {
    for (int start = 0; start < width; start += 64)
        tally_up_to_64(tally, tally.common[layer], hot + start, width - start);
}
#else
DEVICE void tally_block(Tally& tally, int, const uint32_t* hot, int width) {
    uint8_t list[ROOM];
    const int found = list_filled(hot, width, list);
    for (int i = 0; i < found; ++i) tally.add(hot[list[i]], i);
}
#endif
