// Counts of what cells have inherited or suffered; nothing that a cell does depends on them.
#include "lattice.cuh"
#include "words.cuh"

// Add the cells of a layer to marks[part][mark][kind][origin]: by antigens lost, variant, edits and any damage.
KERNEL(census_marks)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* hot, const uint32_t* cold,
                     uint32_t* marks) {
    FOR_EACH_BLOCK_IN_PART(uint32_t* row = marks + part * (N_MARKS * SLOTS), part, b, width, n, first, ny, nx) {
        for (int j = 0; j < width; ++j) {
            const uint32_t cell = hot[b.l + j], variant = GET(cold[b.l + j], COLD_RESIST);
            if (cell == 0u) continue;
            uint32_t found = GET(cell, HOT_LOSS) << MARK_LOSS | GET(cell, HOT_EDITS) << MARK_EDIT;
            if (variant != 0u) found |= 1u << (MARK_VARIANT + variant - 1u);
            if (GET(cold[b.l + j], COLD_DAMAGE) != 0u) found |= 1u << MARK_DAMAGE;
            for (; found != 0u; found &= found - 1u) count(row + lowest_bit(found) * SLOTS + slot(cell));
        }
    }
}
