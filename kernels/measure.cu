// Phase 7: exact integer counts of who is there. Events, and by how much they change who is there, are counted where
// they happen (commit.cu); `census` is where such an account begins, and what it is compared with.
#include "lattice.cuh"
#include "tally.cuh"
#include "words.cuh"

// Add the cells of both layers to counts[part][count][kind][origin]: all, the quiescent ones.
KERNEL(census)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* res_hot, const uint32_t* mot_hot,
               uint32_t* counts) {
    FOR_EACH_BLOCK_IN_PART(Tally tally(counts + part * N_COUNTS * SLOTS), part, b, width, n, first, ny, nx) {
        tally_block(tally, 0, res_hot + b.l, width);
        tally_block(tally, 1, mot_hot + b.l, width);
    }
}

// Add the cells on niche sites.
KERNEL(census_niche)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* res_hot, const uint32_t* mot_hot,
                     const uint8_t* tissue, uint32_t* counts) {
    FOR_EACH_BLOCK_IN_PART_WHERE(, tissue[l], (seen & NICHE_MASK) != 0u, ,
                                 uint32_t* row = counts + (part * N_COUNTS + COUNT_NICHE) * SLOTS, part, b, width, n,
                                 first, ny, nx) {
        uint8_t list[ROOM], niche[BLOCK];
        for (int j = 0; j < width; ++j) niche[j] = tissue[b.l + j] & NICHE_MASK;
        const int niches = list_filled(niche, width, list);
        for (int i = 0; i < niches; ++i) {
            const int64_t l = b.l + list[i];
            if (res_hot[l] != 0u) count(row + slot(res_hot[l]));
            if (mot_hot[l] != 0u) count(row + slot(mot_hot[l]));
        }
    }
}

// Add up the parts of each count, which may be differences, and clear them for the next step; n: counts of a part, a
// multiple of BLOCK.
KERNEL(collect)(int64_t n, uint32_t* counts, int64_t* totals) {
#if SHARED_COUNTS
    collect_parts(n, counts, totals);
#else
    FOR_EACH (block, n / BLOCK) {
        int64_t sum[BLOCK] = {0};
        for (int64_t part = 0; part < N_PARTS; ++part) {
            uint32_t *row = counts + part * n + block * BLOCK, any = 0;
            for (int j = 0; j < BLOCK; ++j) any |= row[j];
            if (any == 0u) continue;  // most kinds and origins are nowhere
            for (int j = 0; j < BLOCK; ++j) sum[j] += int32_t(row[j]);
            for (int j = 0; j < BLOCK; ++j) row[j] = 0;
        }
        for (int j = 0; j < BLOCK; ++j) totals[block * BLOCK + j] = sum[j];
    }
#endif
}
