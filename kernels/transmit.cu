// What passes from cell to cell of the motile layer, or comes with the blood: a cell that catches it turns into another
// kind.
#include "lattice.cuh"
#include "philox.cuh"
#include "tally.cuh"
#include "words.cuh"

#define NEAR 27u
#define OWN 13u  // the middle of these

// Row of the chances of a cell: lowest byte of its hot word, further down for those that have lost what lets it in.
DEVICE uint32_t entry_row(uint32_t hot, uint32_t entry) {
    return (hot & 255u) + ((GET(hot, HOT_LOSS) & entry) != 0u ? 256u : 0u);
}

// Write into action how many of the 26 neighbours of each cell that may catch it are of the kind that passes it on.
KERNEL(expose)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, uint32_t entry,
               uint32_t source, const uint32_t* by_contact, const uint32_t* mot_hot, uint8_t* action) {
    FOR_EACH_BLOCK(b, width, n, first, ny, nx) {
        uint8_t list[ROOM];
        set_z(b, b.floor, low, high);
        for (int j = 0; j < width; ++j) action[b.l + j] = 0u;
        const int found = list_filled(mot_hot + b.l, width, list);
        for (int i = 0; i < found; ++i) {
            const int j = list[i];
            if (by_contact[entry_row(mot_hot[b.l + j], entry)] == 0u) continue;
            const Place p = lane(b, j, ny, nx);
            uint32_t sources = 0u;
            for (uint32_t m = 0; m < NEAR; ++m)
                sources += m != OWN && GET(mot_hot[near_site(p, m)], HOT_KIND) == source ? 1u : 0u;
            action[b.l + j] = uint8_t(sources);
        }
    }
}

// Let cells catch it: by_blood: chance in this step (x 2^-32) of each row, by_contact: for each neighbour that passes
// it on. They become one kind, or another with the chance rare; counted as cells that left and entered a kind.
KERNEL(transmit)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
                 uint32_t step, uint32_t word, uint32_t entry, uint32_t usual, uint32_t other, uint32_t rare,
                 const uint32_t* by_blood, const uint32_t* by_contact, const uint8_t* action, uint32_t* mot_hot,
                 uint32_t* mot_cold, uint32_t* counts) {
    FOR_EACH_BLOCK_IN_PART(uint32_t* row = counts + part * (N_COUNTS * SLOTS), part, b, width, n, first, ny, nx) {
        uint8_t list[ROOM];
        const int found = list_filled(mot_hot + b.l, width, list);
        for (int i = 0; i < found; ++i) {
            const int64_t l = b.l + list[i];
            const uint32_t before = mot_hot[l], at = entry_row(before, entry);
            const uint64_t chance = by_blood[at] + uint64_t(by_contact[at]) * action[l];
            if (chance == 0u) continue;
            uint32_t r[4];
            philox(seed, global_site(l, shift, total), step, word, r);
            if (r[0] >= chance) continue;
            const uint32_t kind = r[1] < rare ? other : usual;
            const uint32_t after = PUT(PUT(before, HOT_KIND, kind), HOT_CYCLE, 0u);
            mot_hot[l] = after;
            mot_cold[l] = PUT(mot_cold[l], COLD_STAGE, 0u);
            count(row + COUNT_LEFT * SLOTS + slot(before));
            count(row + COUNT_BECAME * SLOTS + slot(after));
            count_difference(before, after, row);
        }
    }
}
