// Who touches stroma: what cells of a leukaemia that do are spared of drugs, and how many they are.
#include "adhesion.cuh"

// Add the resident leukaemic cells to beside[part][4 * variant + 2 * cycling + touches][kind][origin].
KERNEL(census_stroma)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high,
                      const uint32_t* res_hot, const uint32_t* res_cold, const uint8_t* tissue, const uint32_t* flags,
                      uint32_t* beside) {
    FOR_EACH_BLOCK_IN_PART(uint32_t* row = beside + part * (N_BESIDE * SLOTS), part, b, width, n, first, ny, nx) {
        set_z(b, b.floor, low, high);
        for (int j = 0; j < width; ++j) {
            const uint32_t cell = res_hot[b.l + j];
            if (cell == 0u || !((flags[GET(cell, HOT_KIND)] >> FLAG_LEUKAEMIC) & 1u)) continue;
            const uint32_t touches = touches_stroma(lane(b, j, ny, nx), tissue);
            const uint32_t state = 2u * GET(res_cold[b.l + j], COLD_RESIST) + (GET(cell, HOT_CYCLE) & 1u);
            count(row + (2u * state + touches) * SLOTS + slot(cell));
        }
    }
}
