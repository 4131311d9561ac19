// Reading and writing the bit fields of the two cell words (generated constants).
#pragma once
#include "generated.cuh"
#include "lattice.cuh"
#include "portable.cuh"

#define GET(word, field) (((word) >> field##_SHIFT) & field##_MASK)
#define PUT(word, field, value) (((word) & ~(field##_MASK << field##_SHIFT)) | (uint32_t(value) << field##_SHIFT))

// Row of the rate table: kind x (quiescent, cycling).
DEVICE uint32_t rate_row(uint32_t hot) { return GET(hot, HOT_KIND) * 2u + (GET(hot, HOT_CYCLE) & 1u); }

// The action word of a site: event in the low four bits, direction above.
DEVICE uint32_t action_event(uint32_t action) { return action & 15u; }
DEVICE uint32_t action_direction(uint32_t action) { return action >> 4; }

// Whether the action of a cell claims the site that lies in its direction.
DEVICE bool claims(uint32_t action, uint32_t direction) {
    return (action == (EVENT_DIVIDE | (direction << 4))) | (action == (EVENT_MOVE | (direction << 4)));
}

// Claims are a strict order: random 32 bits, then the global site.
DEVICE bool stronger(uint32_t priority_a, uint64_t site_a, uint32_t priority_b, uint64_t site_b) {
    return priority_a > priority_b || (priority_a == priority_b && site_a > site_b);
}

// Strongest claim on the site at p: 1 + direction towards the claimant, 0 if there is none.
DEVICE uint32_t best_claim(const Place& p, int64_t total, int64_t shift, const uint32_t* action,
                           const uint32_t* priority) {
    uint32_t claimants = 0;
    for (uint32_t d = 0; d < 6u; ++d) claimants |= uint32_t(claims(action[neighbour(p, d)], d ^ 1u)) << d;
    uint32_t best = 0, best_priority = 0;
    uint64_t best_site = 0;
    for (uint32_t d = 0; claimants >> d; ++d) {
        if (!((claimants >> d) & 1u)) continue;
        if (best == 0u && claimants >> d == 1u) return d + 1u;  // the only one
        const int64_t s = neighbour(p, d);
        const uint64_t site = global_site(s, shift, total);
        if (best != 0u && !stronger(priority[s], site, best_priority, best_site)) continue;
        best = d + 1u;
        best_priority = priority[s];
        best_site = site;
    }
    return best;
}

// Whether the cell at p, whose action claims a site, won it.
DEVICE bool won(const Place& p, uint32_t action, const uint8_t* winner) {
    const uint32_t d = action_direction(action);
    return winner[neighbour(p, d)] == (d ^ 1u) + 1u;
}

// Antigens a cell shows: those of its kind and origin, less what it has lost.
DEVICE uint32_t antigens_of(uint32_t hot, const uint32_t* antigens, const uint32_t* losses) {
    uint32_t mask = antigens[GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN)];
    const uint32_t loss = GET(hot, HOT_LOSS);
    for (uint32_t j = 0; loss >> j; ++j)
        if ((loss >> j) & 1u) mask &= ~losses[j];
    return mask;
}
