// Labels given to follow cells: they change nothing that a cell does.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// Let cells take up a label; take: threshold (x 2^-32) by row of the rate table, 0: never, all bits: always.
KERNEL(label)(int64_t n, int64_t first, int64_t total, int64_t shift, uint64_t seed, uint32_t step, uint32_t word,
              uint32_t value, const uint32_t* take, const uint32_t* hot, uint32_t* cold) {
    FOR_EACH (i, n) {
        const int64_t l = first + i;
        const uint32_t threshold = hot[l] == 0u ? 0u : take[rate_row(hot[l])];
        if (threshold == 0u) continue;
        uint32_t r[4];
        philox(seed, global_site(l, shift, total), step, word, r);
        if (threshold == 0xFFFFFFFFu || r[0] < threshold) cold[l] = PUT(cold[l], COLD_LABEL, value);
    }
}

// Add the labelled cells of a layer to counts[part][LABELLED][kind][origin].
KERNEL(census_label)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* hot, const uint32_t* cold,
                     uint32_t* counts) {
    FOR_EACH_BLOCK_IN_PART(uint32_t* row = counts + (part * N_COUNTS + COUNT_LABELLED) * SLOTS, part, b, width, n,
                           first, ny, nx) {
        for (int j = 0; j < width; ++j) {
            const uint32_t cell = hot[b.l + j];
            if (cell != 0u && GET(cold[b.l + j], COLD_LABEL) != LABEL_NONE) count(row + slot(cell));
        }
    }
}
