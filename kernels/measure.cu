// Phase 7: exact integer counts of who is there; events are counted where they happen (commit.cu).
#include "lattice.cuh"
#include "words.cuh"

#define SLOTS (N_KINDS * N_ORIGINS)

#define KEYS 1024u  // kind, origin and cycle are the lowest bits of the hot word

#if BLOCK == 1
// Cells of a plane by kind, origin and cycle.
struct Tally {
    int64_t* counts;
    METHOD explicit Tally(int64_t* plane) : counts(plane) {}
    METHOD void add(uint32_t hot, int) {
        const uint32_t slot = GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN);
        count(counts + COUNT_POPULATION * SLOTS + slot);
        if (GET(hot, HOT_CYCLE) == 0u) count(counts + COUNT_QUIESCENT * SLOTS + slot);
    }
};
#else
// Cells of a plane by kind, origin and cycle, in four tables: neighbours are often alike, and a counter that has just
// been written is slow to read.
struct Tally {
    int64_t* counts;
    uint32_t number[2][KEYS] = {};
    METHOD explicit Tally(int64_t* plane) : counts(plane) {}
    METHOD ~Tally() {
        for (uint32_t key = 0; key < KEYS; ++key) {
            const uint32_t found = number[0][key] + number[1][key];
            if (found == 0u) continue;
            const uint32_t slot = GET(key, HOT_KIND) * N_ORIGINS + GET(key, HOT_ORIGIN);
            counts[COUNT_POPULATION * SLOTS + slot] += found;
            if (GET(key, HOT_CYCLE) == 0u) counts[COUNT_QUIESCENT * SLOTS + slot] += found;
        }
    }
    METHOD void add(uint32_t hot, int i) { number[i % 2][hot % KEYS] += 1u; }
};
#endif

// Add the cells of one layer to counts[plane][count][kind][origin]: all, those on a niche, the quiescent ones.
KERNEL(census)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* hot, const uint8_t* tissue,
               int64_t* counts) {
    FOR_EACH_BLOCK_AND_PLANE(Tally tally(counts + plane * N_COUNTS * SLOTS), plane, b, width, n, first, ny, nx) {
        uint8_t list[BLOCK], niche[BLOCK];
        const int found = list_filled(hot + b.l, width, list);
        for (int i = 0; i < found; ++i) tally.add(hot[b.l + list[i]], i);
        for (int j = 0; j < width; ++j) niche[j] = tissue[b.l + j] & NICHE_MASK;
        const int niches = list_filled(niche, width, list);
        for (int i = 0; i < niches; ++i) {
            const uint32_t word = hot[b.l + list[i]];
            if (word != 0u)
                count(tally.counts + COUNT_NICHE * SLOTS + GET(word, HOT_KIND) * N_ORIGINS + GET(word, HOT_ORIGIN));
        }
    }
}
