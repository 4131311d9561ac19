// Phase 6: one motile sub-step. A random walk with exclusion inside the motile layer.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// Bids: a free lymphocyte tries one of six directions; an engaged one stays with its target.
KERNEL(bid)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
            uint32_t step, uint32_t word, const uint32_t* mot_hot, const uint8_t* tissue, const uint8_t* engaged,
            const uint32_t* hop, uint32_t* action, uint32_t* priority) {
    FOR_EACH_SITE (p, n, first, ny, nx) {
        const int64_t l = p.l;
        uint32_t bid = EVENT_NONE, strength = 0u;
        const uint32_t threshold = mot_hot[l] == 0u || engaged[l] != 0u ? 0u : hop[GET(mot_hot[l], HOT_KIND)];
        if (threshold != 0u) {
            uint32_t r[4];
            philox(seed, global_site(l, shift, total), step, word, r);
            const uint32_t d = uint32_t((uint64_t(r[1]) * 6u) >> 32);
            const int64_t s = neighbour(p, d);
            if (r[0] < threshold && mot_hot[s] == 0u && (tissue[s] & TISSUE_MASK) == TISSUE_MARROW) {
                bid = EVENT_MOVE | (d << 4);
                strength = r[2];
            }
        }
        action[l] = bid;
        priority[l] = strength;
    }
}

// Best bid on the empty site p: 1 + direction towards the bidder, 0 if there is none.
DEVICE uint32_t best_bid(const Place& p, int64_t total, int64_t shift, const uint32_t* action,
                         const uint32_t* priority) {
    uint32_t best = 0, best_priority = 0;
    uint64_t best_site = 0;
    for (uint32_t d = 0; d < 6u; ++d) {
        const int64_t s = neighbour(p, d);
        if (!claims(action[s], d ^ 1u)) continue;
        const uint64_t site = global_site(s, shift, total);
        if (best != 0u && !stronger(priority[s], site, best_priority, best_site)) continue;
        best = d + 1u;
        best_priority = priority[s];
        best_site = site;
    }
    return best;
}

// Winners move: an empty site pulls the best bidder, a bidder that won leaves its site.
KERNEL(hop)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, const uint32_t* mot_hot,
            const uint32_t* mot_cold, const uint8_t* tissue, const uint32_t* action, const uint32_t* priority,
            uint32_t* hot_next, uint32_t* cold_next) {
    FOR_EACH_SITE (p, n, first, ny, nx) {
        const int64_t l = p.l;
        uint32_t h = mot_hot[l], c = mot_cold[l];
        if (h != 0u) {
            if (action[l] != EVENT_NONE) {
                const uint32_t d = action_direction(action[l]);
                const int64_t s = neighbour(p, d);
                if (best_bid(place_at(s, ny, nx), total, shift, action, priority) == (d ^ 1u) + 1u) h = c = 0u;
            }
        } else if (!quiet_around(p, action) && (tissue[l] & TISSUE_MASK) == TISSUE_MARROW) {
            const uint32_t best = best_bid(p, total, shift, action, priority);
            if (best != 0u) {
                const int64_t s = neighbour(p, best - 1u);
                h = mot_hot[s];
                c = mot_cold[s];
            }
        }
        hot_next[l] = h;
        cold_next[l] = c;
    }
}
