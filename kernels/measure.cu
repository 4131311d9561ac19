// Phase 7: exact integer counts of who is there; events are counted where they happen (fate.cu).
#include "lattice.cuh"
#include "words.cuh"

DEVICE uint32_t slot_of(uint32_t hot) { return GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN); }

// Add the cells of one layer to counts[plane][count][kind][origin]: all, those on a niche, the quiescent ones.
KERNEL(census)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* hot, const uint8_t* tissue,
               int64_t* counts) {
    FOR_EACH_BLOCK(b, width, n, first, ny, nx) {
        int64_t* plane = counts + ((b.l - first) / b.plane) * (N_COUNTS * N_KINDS * N_ORIGINS);
        uint8_t list[BLOCK];
        const int found = list_filled(hot + b.l, width, list);
        for (int i = 0; i < found; ++i) {
            const uint32_t word = hot[b.l + list[i]];
            int64_t* slot = plane + slot_of(word);
            count(slot + COUNT_POPULATION * N_KINDS * N_ORIGINS);
            if (GET(word, HOT_CYCLE) == 0u) count(slot + COUNT_QUIESCENT * N_KINDS * N_ORIGINS);
            if ((tissue[b.l + list[i]] & NICHE_MASK) != 0u) count(slot + COUNT_NICHE * N_KINDS * N_ORIGINS);
        }
    }
}
