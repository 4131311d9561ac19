// How many residents a receptor class of the body's engineered T cells would engage: what these cells expand on.
#include "lattice.cuh"
#include "sight.cuh"
#include "tally.cuh"
#include "words.cuh"

// Add the residents that show, and have not lost, what a receptor binds to seen[part][row][kind][origin].
KERNEL(census_seen)(int64_t n, int64_t first, int64_t ny, int64_t nx, uint32_t receptor, int64_t row, int64_t rows,
                    const uint32_t* hot, const uint32_t* antigens, const uint32_t* losses, uint32_t* seen) {
    FOR_EACH_BLOCK_IN_PART(uint32_t* own = seen + (part * rows + row) * SLOTS, part, b, width, n, first, ny, nx) {
        for (int j = 0; j < width; ++j) {
            const uint32_t cell = hot[b.l + j];
            if (cell != 0u && (not_lost(antigens[cell & 255u], cell, losses) & receptor) != 0u) count(own + slot(cell));
        }
    }
}
