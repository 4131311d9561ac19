// Phase 6: one motile sub-step. A random walk with exclusion inside the motile layer, in place: cells bid for a site,
// the best bidder hops there.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// Bids: a free lymphocyte tries one of six directions; an engaged one stays with its target.
// priority is written for bidders.
KERNEL(bid)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total, int64_t shift,
            uint64_t seed, uint32_t step, uint32_t word, const uint32_t* mot_hot, const uint8_t* tissue,
            const uint8_t* engaged, const uint32_t* hop, uint8_t* action, uint32_t* priority) {
    FOR_EACH_BLOCK_WHERE(mot_hot[l], seen != 0u, action[l] = EVENT_NONE, b, width, n, first, ny, nx) {
        uint8_t list[ROOM] = {0};
        uint32_t r[4][BLOCK];
        for (int j = 0; j < width; ++j) action[b.l + j] = EVENT_NONE;
        set_z(b, b.floor, low, high);
        fetch(mot_hot + b.l + AHEAD, width);
        fetch_above(b, mot_hot, width);
        fetch_above(b, tissue, width);
        const int found = list_filled(mot_hot + b.l, width, list);
        int free = 0;
        for (int i = 0; i < found; ++i) {
            list[free] = list[i];
            free += engaged[b.l + list[i]] == 0u;
        }
        philox_listed(seed, global_site(b.l, shift, total), step, word, list, free, r);
        for (int i = 0; i < free; ++i) {  // without branches: random ones are predicted wrong
            const int64_t l = b.l + list[i];
            const uint32_t d = uint32_t((uint64_t(r[1][i]) * 6u) >> 32);
            const int64_t s = neighbour(lane(b, list[i], ny, nx), d);
            const bool goes = (r[0][i] < hop[GET(mot_hot[l], HOT_KIND)]) & (mot_hot[s] == 0u) &
                              ((tissue[s] & TISSUE_MASK) == TISSUE_MARROW);
            action[l] = goes ? claiming(EVENT_MOVE, d) : uint8_t(EVENT_NONE);
            priority[l] = goes ? r[2][i] : priority[l];
        }
    }
}

// A bidder that wins hops. Only sites from `begin` to `end` are written: bidders beyond them may come in.
KERNEL(hop)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total, int64_t shift,
            int64_t begin, int64_t end, const uint8_t* action, const uint32_t* priority, uint32_t* mot_hot,
            uint32_t* mot_cold) {
    FOR_EACH_BLOCK_WHERE(action[l], seen != 0u, , b, width, n, first, ny, nx) {
        uint8_t list[ROOM];
        set_z(b, b.floor, low, high);
        fetch(action + b.l + AHEAD, width);
        fetch(action + b.l + 2 * b.above + AHEAD, width);  // rivals for a site in the plane above
        fetch_above(b, mot_hot, width);
        fetch_above(b, mot_cold, width);
        const int found = list_filled(action + b.l, width, list);
        for (int i = 0; i < found; ++i) {
            const Place p = lane(b, list[i], ny, nx);
            const uint32_t d = action_direction(action[p.l]);
            const Place target = moved(p, d, ny, nx, low, high);
            const bool here = p.l >= begin && p.l < end, there = target.l >= begin && target.l < end;
            const uint32_t hot = mot_hot[p.l], cold = mot_cold[p.l];  // on their way while rivals are compared
            if (!(here || there) || !wins(target, d ^ 1u, total, shift, action, priority)) continue;
            if (there) {
                mot_hot[target.l] = hot;
                mot_cold[target.l] = cold;
            }
            if (here) mot_hot[p.l] = mot_cold[p.l] = 0u;
        }
    }
}
