// Phases 4 and 5 for either layer: claims on empty sites, the next words. In place: `arrive` writes only empty sites
// and reads only occupied ones, `act` changes only the cells that act.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// One stage further; after the last stage the next kind, drawn from the shares of this kind.
DEVICE void advance(uint32_t* hot, uint32_t* cold, uint32_t draw, const uint32_t* flags, const uint8_t* stages,
                    const uint8_t* fate_next, const uint32_t* fate_share) {
    const uint32_t kind = GET(*hot, HOT_KIND);
    const uint32_t stage = GET(*cold, COLD_STAGE) + 1u;
    if (stage < stages[kind] || fate_next[kind * 4u] == 0u) {
        *cold = PUT(*cold, COLD_STAGE, stage < stages[kind] ? stage : uint32_t(stages[kind]));
        return;
    }
    uint32_t j = 0;
    while (j < 3u && fate_next[kind * 4u + j + 1u] != 0u && draw >= fate_share[kind * 4u + j]) ++j;
    const uint32_t next = fate_next[kind * 4u + j];
    *hot = PUT(PUT(*hot, HOT_KIND, next), HOT_CYCLE, (flags[next] >> FLAG_CYCLING) & 1u);
    *cold = PUT(*cold, COLD_STAGE, 0u);
}

// Daughter 0 stays, daughter 1 takes the claimed site; both are drawn at the mother's site.
DEVICE void daughter(uint32_t* hot, uint32_t* cold, uint32_t which, const uint32_t r[4], const uint32_t* renew,
                     const uint32_t* flags, const uint8_t* stages, const uint8_t* fate_next,
                     const uint32_t* fate_share) {
    const uint32_t kind = GET(*hot, HOT_KIND), threshold = renew[rate_row(*hot)];
    if ((flags[kind] >> FLAG_REST_AFTER_DIVISION) & 1u) *hot = PUT(*hot, HOT_CYCLE, 0u);
    if (threshold == 0xFFFFFFFFu || r[which] < threshold) return;
    advance(hot, cold, r[2u + which], flags, stages, fate_next, fate_share);
}

// Each claimed site takes in the cell that claims it best, or its daughter. winner: 1 + the direction of that cell;
// written where there is a claim.
KERNEL(arrive)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
               uint32_t step, uint32_t word, const uint8_t* action, const uint32_t* priority, const uint32_t* flags,
               const uint8_t* stages, const uint32_t* renew, const uint8_t* fate_next, const uint32_t* fate_share,
               uint8_t* winner, uint32_t* hot, uint32_t* cold) {
    FOR_EACH_BLOCK(b, width, n, first, ny, nx) {
        uint8_t claimants[BLOCK], list[BLOCK];
        const int found = list_claimed(action_rows(b, width, nx, action), width, claimants, list);
        for (int i = 0; i < found; ++i) {
            const Place p = lane(b, list[i], nx);
            const uint32_t best = best_claim(p, claimants[list[i]], total, shift, priority);
            const int64_t source = neighbour(p, best);
            uint32_t h = hot[source], c = cold[source];
            if (action_event(action[source]) == EVENT_DIVIDE) {
                uint32_t r[4];
                philox(seed, global_site(source, shift, total), step, word, r);
                daughter(&h, &c, 1u, r, renew, flags, stages, fate_next, fate_share);
            }
            winner[p.l] = uint8_t(best + 1u);
            hot[p.l] = h;
            cold[p.l] = c;
        }
    }
}

#define SLOTS (N_KINDS * N_ORIGINS)

DEVICE uint32_t slot(uint32_t hot) { return GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN); }

// Count a cell that changes its kind.
DEVICE void count_change(uint32_t before, uint32_t after, int64_t* counts) {
    if (slot(before) == slot(after)) return;
    count(counts + COUNT_LEFT * SLOTS + slot(before));
    count(counts + COUNT_BECAME * SLOTS + slot(after));
}

// Each acting cell changes, leaves or stays; its event is counted in counts[part][count][kind][origin].
// Cells of the chosen kinds that leave the lattice are listed with site and words in any order, up to `room`; n_leavers
// is their full number. Used for rare stem cells, whose identity the blood must keep.
KERNEL(act)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
            uint32_t step, uint32_t word, int64_t room, const uint8_t* action, const uint8_t* winner,
            const uint32_t* flags, const uint8_t* stages, const uint32_t* renew, const uint8_t* fate_next,
            const uint32_t* fate_share, const uint8_t* active_form, const uint8_t* chosen, uint32_t* hot,
            uint32_t* cold, int64_t* counts, int64_t* n_leavers, int64_t* leaver_site, uint32_t* leaver_words) {
    FOR_EACH_BLOCK_IN_PART(int64_t* row = counts + part * (N_COUNTS * SLOTS), part, b, width, n, first, ny, nx) {
        uint8_t list[BLOCK];
        const int found = list_filled(action + b.l, width, list);
        for (int i = 0; i < found; ++i) {
            const Place p = lane(b, list[i], nx);
            const uint32_t a = action[p.l], event = action_event(a), before = hot[p.l];
            uint32_t h = before, c = cold[p.l];
            uint32_t r[4];
            switch (event) {
                case EVENT_EGRESS:
                    if (chosen[GET(before, HOT_KIND)] != 0u) {
                        const int64_t k = next_of(n_leavers);
                        if (k < room) {
                            leaver_site[k] = int64_t(global_site(p.l, shift, total));
                            leaver_words[2 * k] = before;
                            leaver_words[2 * k + 1] = c;
                        }
                    }
                    [[fallthrough]];
                case EVENT_DIE:
                case EVENT_DRUG:
                case EVENT_KILL:
                    count(row + (COUNT_DIE + (event - EVENT_DIE)) * SLOTS + slot(before));
                    h = c = 0u;
                    break;
                case EVENT_MATURE:
                    philox(seed, global_site(p.l, shift, total), step, word, r);
                    advance(&h, &c, r[2], flags, stages, fate_next, fate_share);
                    break;
                case EVENT_SWITCH: h = PUT(h, HOT_CYCLE, GET(h, HOT_CYCLE) ^ 1u); break;
                case EVENT_ACTIVATE: {
                    const uint32_t next = active_form[GET(h, HOT_KIND)];
                    h = PUT(PUT(h, HOT_KIND, next), HOT_CYCLE, (flags[next] >> FLAG_CYCLING) & 1u);
                    h = PUT(h, HOT_ACTIVATION, 1u);
                    c = PUT(c, COLD_STAGE, 0u);
                    break;
                }
                case EVENT_MOVE:
                    if (won(p, a, winner)) h = c = 0u;
                    break;
                case EVENT_DIVIDE: {
                    if (!won(p, a, winner)) break;
                    uint32_t other = h, other_cold = c;
                    philox(seed, global_site(p.l, shift, total), step, word, r);
                    daughter(&other, &other_cold, 1u, r, renew, flags, stages, fate_next, fate_share);
                    daughter(&h, &c, 0u, r, renew, flags, stages, fate_next, fate_share);
                    count(row + COUNT_BIRTH * SLOTS + slot(before));
                    count_change(before, other, row);
                    break;
                }
            }
            if (h != 0u) count_change(before, h, row);
            hot[p.l] = h;
            cold[p.l] = c;
        }
    }
}
