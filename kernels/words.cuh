// Reading and writing the bit fields of the two cell words (generated constants).
#pragma once
#include "generated.cuh"
#include "lattice.cuh"
#include "lists.cuh"
#include "portable.cuh"

#define GET(word, field) (((word) >> field##_SHIFT) & field##_MASK)
#define PUT(word, field, value) (((word) & ~(field##_MASK << field##_SHIFT)) | (uint32_t(value) << field##_SHIFT))

// Column of a count: kind x origin.
#define SLOTS (N_KINDS * N_ORIGINS)
DEVICE uint32_t slot(uint32_t hot) { return GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN); }

// Row of the rate table: kind x (quiescent, cycling).
DEVICE uint32_t rate_row(uint32_t hot) { return GET(hot, HOT_KIND) * 2u + (GET(hot, HOT_CYCLE) & 1u); }

// The same for its variant: each variant has a rate table of its own.
DEVICE uint32_t variant_row(uint32_t hot, uint32_t cold) {
    return GET(cold, COLD_RESIST) * (N_KINDS * 2u) + rate_row(hot);
}

// A set bit, chosen evenly by the random word r.
DEVICE uint32_t pick_bit(uint32_t bits, uint32_t r) {
    return nth_bit(bits, uint32_t((uint64_t(r) * bit_count(bits)) >> 32));
}

// Whether something happens that has this chance (x 2^-32; all bits: always), by the random word r.
DEVICE bool happens(uint32_t r, uint32_t chance) { return chance == 0xFFFFFFFFu || r < chance; }

// The action of a site in one byte: event in the low four bits, direction in the next three; the highest bit is set if
// it claims the site in that direction.
#define CLAIMING 0x80u
DEVICE uint32_t action_event(uint32_t action) { return action & 15u; }
DEVICE uint32_t action_direction(uint32_t action) { return (action >> 4) & 7u; }
DEVICE uint8_t claiming(uint32_t event, uint32_t direction) { return uint8_t(CLAIMING | event | (direction << 4)); }

// Claims are a strict order: priority (random bits, those of daughters above all others), then the global site.
DEVICE bool stronger(uint32_t priority_a, uint64_t site_a, uint32_t priority_b, uint64_t site_b) {
    return priority_a > priority_b || (priority_a == priority_b && site_a > site_b);
}

// Directions (bit d) in which a neighbour of the site at p lies that claims it.
DEVICE uint32_t claimants_of(const Place& p, const uint8_t* action) {
    uint32_t claimants = 0;
    for (uint32_t d = 0; d < 6u; ++d)
        claimants |= uint32_t((action[neighbour(p, d)] & 0xF0u) == (CLAIMING | ((d ^ 1u) << 4))) << d;
    return claimants;
}

// Whether the claim from direction d on the site at p is the strongest: true for exactly one of its claimants, so that
// the site has one writer.
DEVICE bool wins(const Place& p, uint32_t d, int64_t total, int64_t shift, const uint8_t* action,
                 const uint32_t* priority) {
    const int64_t own = neighbour(p, d);
    uint32_t others = claimants_of(p, action) & ~(1u << d);
    for (; others != 0u; others &= others - 1u) {
        const int64_t s = neighbour(p, lowest_bit(others));
        if (stronger(priority[s], global_site(s, shift, total), priority[own], global_site(own, shift, total)))
            return false;
    }
    return true;
}

// What a lymphocyte engages, in one byte: 1 + index of the target in its 27-neighbourhood, above it the class of its
// kill strength; 0 if nothing.
#define AIM_BITS 5
#define AIM_MASK 31u
