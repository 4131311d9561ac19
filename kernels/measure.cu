// Phase 7: exact integer counts of who is there; events are counted where they happen (commit.cu).
#include "lattice.cuh"
#include "words.cuh"

#define SLOTS (N_KINDS * N_ORIGINS)

DEVICE uint32_t slot_of(uint32_t hot) { return GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN); }

#if BLOCK == 1
// Counts cells of a part.
struct Tally {
    int64_t* counts;
    METHOD explicit Tally(int64_t* row) : counts(row) {}
    METHOD void add(uint32_t hot, int) {
        count(counts + COUNT_POPULATION * SLOTS + slot_of(hot));
        if (GET(hot, HOT_CYCLE) == 0u) count(counts + COUNT_QUIESCENT * SLOTS + slot_of(hot));
    }
};
#else
// Counts cells of a part by the lowest byte of their hot word, kind and origin, and by whether they are quiescent. In
// two tables: neighbours are often alike, and a counter that has just been written is slow to read.
struct Tally {
    int64_t* counts;
    uint32_t number[2][512] = {};
    METHOD explicit Tally(int64_t* row) : counts(row) {}
    METHOD ~Tally() {
        for (uint32_t key = 0; key < 512u; ++key) {
            const uint32_t found = number[0][key] + number[1][key];
            if (found == 0u) continue;
            counts[COUNT_POPULATION * SLOTS + slot_of(key & 255u)] += found;
            if (key >= 256u) counts[COUNT_QUIESCENT * SLOTS + slot_of(key & 255u)] += found;
        }
    }
    METHOD void add(uint32_t hot, int i) {
        number[i % 2][(hot & 255u) + (GET(hot, HOT_CYCLE) == 0u ? 256u : 0u)] += 1u;
    }
};
#endif

// Add the cells of one layer to counts[part][count][kind][origin]: all, those on a niche, the quiescent ones.
KERNEL(census)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* hot, const uint8_t* tissue,
               int64_t* counts) {
    FOR_EACH_BLOCK_IN_PART(Tally tally(counts + part * N_COUNTS * SLOTS), part, b, width, n, first, ny, nx) {
        uint8_t list[BLOCK], niche[BLOCK];
        const int found = list_filled(hot + b.l, width, list);
        for (int i = 0; i < found; ++i) tally.add(hot[b.l + list[i]], i);
        for (int j = 0; j < width; ++j) niche[j] = tissue[b.l + j] & NICHE_MASK;
        const int niches = list_filled(niche, width, list);
        for (int i = 0; i < niches; ++i) {
            const uint32_t word = hot[b.l + list[i]];
            if (word != 0u) count(tally.counts + COUNT_NICHE * SLOTS + slot_of(word));
        }
    }
}
