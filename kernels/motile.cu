// Phase 6: one motile sub-step. A random walk with exclusion inside the motile layer.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// Bids: a free lymphocyte tries one of six directions; an engaged one stays with its target.
// priority is written for bidders only.
KERNEL(bid)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
            uint32_t step, uint32_t word, const uint32_t* mot_hot, const uint8_t* tissue, const uint8_t* engaged,
            const uint32_t* hop, uint32_t* action, uint32_t* priority) {
    FOR_EACH_SITE (p, n, first, ny, nx) {
        const int64_t l = p.l;
        uint32_t bid = EVENT_NONE;
        const uint32_t threshold = mot_hot[l] == 0u || engaged[l] != 0u ? 0u : hop[GET(mot_hot[l], HOT_KIND)];
        if (threshold != 0u) {
            uint32_t r[4];
            philox(seed, global_site(l, shift, total), step, word, r);
            const uint32_t d = uint32_t((uint64_t(r[1]) * 6u) >> 32);
            const int64_t s = neighbour(p, d);
            if (r[0] < threshold && mot_hot[s] == 0u && (tissue[s] & TISSUE_MASK) == TISSUE_MARROW) {
                bid = EVENT_MOVE | (d << 4);
                priority[l] = r[2];
            }
        }
        action[l] = bid;
    }
}

// An empty site pulls the best bidder. In place: only empty sites are written, only occupied ones are read from.
// winner is written where there is a bid.
KERNEL(pull)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, const uint32_t* action,
             const uint32_t* priority, uint8_t* winner, uint32_t* mot_hot, uint32_t* mot_cold) {
    FOR_EACH_SITE (p, n, first, ny, nx) {
        if (quiet_around(p, action) || mot_hot[p.l] != 0u) continue;
        const uint32_t best = best_claim(p, total, shift, action, priority);
        if (best == 0u) continue;
        const int64_t s = neighbour(p, best - 1u);
        winner[p.l] = uint8_t(best);
        mot_cold[p.l] = mot_cold[s];
        mot_hot[p.l] = mot_hot[s];
    }
}

// A bidder that won leaves its site.
KERNEL(leave)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* action, const uint8_t* winner,
              uint32_t* mot_hot, uint32_t* mot_cold) {
    FOR_EACH_SITE (p, n, first, ny, nx) {
        if (action[p.l] == EVENT_NONE || !won(p, action[p.l], winner)) continue;
        mot_hot[p.l] = 0u;
        mot_cold[p.l] = 0u;
    }
}
