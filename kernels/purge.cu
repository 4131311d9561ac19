// A safety switch is thrown: cells that carry it die, each with the same chance.
#include "lattice.cuh"
#include "philox.cuh"
#include "tally.cuh"
#include "words.cuh"

// Remove cells of a layer that carry one of `bits` of the edits, with this chance (x 2^-32); they are counted in
// counts[part][DRUG][kind][origin] and missing from those who are there.
KERNEL(purge)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
              uint32_t step, uint32_t word, uint32_t bits, uint32_t chance, uint32_t* hot, uint32_t* cold,
              uint32_t* counts) {
    FOR_EACH_BLOCK_IN_PART(uint32_t* row = counts + part * (N_COUNTS * SLOTS), part, b, width, n, first, ny, nx) {
        for (int j = 0; j < width; ++j) {
            const int64_t l = b.l + j;
            if ((GET(hot[l], HOT_EDITS) & bits) == 0u) continue;
            uint32_t r[4];
            philox(seed, global_site(l, shift, total), step, word, r);
            if (r[0] >= chance) continue;
            count(row + COUNT_DRUG * SLOTS + slot(hot[l]));
            count_difference(hot[l], 0u, row);
            hot[l] = 0u;
            cold[l] = 0u;
        }
    }
}
