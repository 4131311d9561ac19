// Reading and writing the bit fields of the two cell words (generated constants).
#pragma once
#include "generated.cuh"
#include "lattice.cuh"
#include "lists.cuh"
#include "portable.cuh"

#define GET(word, field) (((word) >> field##_SHIFT) & field##_MASK)
#define PUT(word, field, value) (((word) & ~(field##_MASK << field##_SHIFT)) | (uint32_t(value) << field##_SHIFT))

// Row of the rate table: kind x (quiescent, cycling).
DEVICE uint32_t rate_row(uint32_t hot) { return GET(hot, HOT_KIND) * 2u + (GET(hot, HOT_CYCLE) & 1u); }

DEVICE uint32_t lowest_bit(uint32_t bits) {
    uint32_t d = 0;
    while (!((bits >> d) & 1u)) ++d;
    return d;
}

DEVICE uint32_t bit_count(uint32_t bits) {
    uint32_t count = 0;
    for (; bits != 0u; bits &= bits - 1u) ++count;
    return count;
}

// The k-th set bit, k chosen evenly by the random word r.
DEVICE uint32_t pick_bit(uint32_t bits, uint32_t r) {
    uint32_t skip = uint32_t((uint64_t(r) * bit_count(bits)) >> 32), d = 0;
    for (;; ++d)
        if ((bits >> d) & 1u) {
            if (skip == 0u) return d;
            --skip;
        }
}

// The action of a site in one byte: event in the low four bits, direction in the next three, the highest if it claims
// the site that lies there.
#define CLAIMING 0x80u
DEVICE uint32_t action_event(uint32_t action) { return action & 15u; }
DEVICE uint32_t action_direction(uint32_t action) { return (action >> 4) & 7u; }
DEVICE uint8_t claiming(uint32_t event, uint32_t direction) { return uint8_t(CLAIMING | event | (direction << 4)); }

// Whether the action of a cell claims the site that lies in its direction.
DEVICE bool claims(uint32_t action, uint32_t direction) { return (action & 0xF0u) == (CLAIMING | (direction << 4)); }

// Claims are a strict order: random 32 bits, then the global site.
DEVICE bool stronger(uint32_t priority_a, uint64_t site_a, uint32_t priority_b, uint64_t site_b) {
    return priority_a > priority_b || (priority_a == priority_b && site_a > site_b);
}

// The neighbours that claim the site at p: bit d for the one in direction d.
DEVICE uint32_t claimants_of(const Place& p, const uint8_t* action) {
    uint32_t bits = 0;
    for (uint32_t d = 0; d < 6u; ++d) bits |= uint32_t(claims(action[neighbour(p, d)], d ^ 1u)) << d;
    return bits;
}

// `bit` if the action claims the site in `direction`; all in bytes, so that the host's compiler fits many in a vector.
DEVICE uint8_t claim_bit(uint8_t action, uint8_t direction, uint8_t bit) {
    return uint8_t(action & 0xF0u) == uint8_t(CLAIMING | (direction << 4)) ? bit : uint8_t(0);
}

// The claimants of each site of a block; lists the sites that have any and returns their number.
DEVICE int list_claimed(const Place& b, int width, int64_t nx, const uint8_t* action, uint8_t* claimants,
                        uint8_t* list) {
    const uint8_t *here = action + b.l, *below = here - b.plane, *above = here + b.plane;
    const uint8_t *south = here + b.south, *north = here + b.north;
    for (int j = 0; j < width; ++j)
        claimants[j] =
            uint8_t(claim_bit(below[j], 1, 1) | claim_bit(above[j], 0, 2) | claim_bit(south[j], 3, 4) |
                    claim_bit(north[j], 2, 8) | claim_bit(here[j - 1], 5, 16) | claim_bit(here[j + 1], 4, 32));
    claimants[0] = uint8_t(claimants_of(b, action));  // the ends of the block may be ends of the row
    claimants[width - 1] = uint8_t(claimants_of(lane(b, width - 1, nx), action));
    return list_filled(claimants, width, list);
}

// Direction of the strongest of the claimants of the site at p.
DEVICE uint32_t best_claim(const Place& p, uint32_t claimants, int64_t total, int64_t shift, const uint32_t* priority) {
    uint32_t best = lowest_bit(claimants);
    if (claimants == 1u << best) return best;  // the only one
    uint32_t best_priority = priority[neighbour(p, best)];
    uint64_t best_site = global_site(neighbour(p, best), shift, total);
    for (uint32_t d = best + 1u; claimants >> d; ++d) {
        if (!((claimants >> d) & 1u)) continue;
        const int64_t s = neighbour(p, d);
        const uint64_t site = global_site(s, shift, total);
        if (!stronger(priority[s], site, best_priority, best_site)) continue;
        best = d;
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
