// Phase 4 for either layer: the next words, in place. A cell that acts writes its own site and, if it wins the claim on
// an empty one, that site too: every site has one writer, and nobody reads the words of another cell.
#include "lattice.cuh"
#include "philox.cuh"
#include "tally.cuh"
#include "words.cuh"

// The two words of a cell.
struct Cell {
    uint32_t hot, cold;
};

// The tables that decide what daughters and maturing cells become.
struct Fates {
    const uint32_t* flags;
    const uint8_t* stages;
    const uint32_t* renew;
    const uint8_t* next;
    const uint32_t* share;
};

// What a daughter may gain by mutation: by kind and variant of the mother the entries from start[] on; of each the
// cumulative chance (x 2^-32), and what it brings: loss bits, above them a variant, above it another kind.
struct Mutations {
    const int32_t* start;
    const uint32_t* chance;
    const uint32_t* gain;
};

// Turn into another kind, at its first stage.
DEVICE void become(Cell& cell, uint32_t kind, const uint32_t* flags) {
    cell.hot = PUT(PUT(cell.hot, HOT_KIND, kind), HOT_CYCLE, (flags[kind] >> FLAG_CYCLING) & 1u);
    cell.cold = PUT(cell.cold, COLD_STAGE, 0u);
}

// One stage further; after the last stage the next kind, drawn from the shares of this kind.
DEVICE void advance(Cell& cell, uint32_t draw, const Fates& fates) {
    const uint32_t kind = GET(cell.hot, HOT_KIND), last = fates.stages[kind];
    const uint32_t stage = GET(cell.cold, COLD_STAGE) + 1u;
    if (stage < last || fates.next[kind * 4u] == 0u) {
        cell.cold = PUT(cell.cold, COLD_STAGE, stage < last ? stage : last);
        return;
    }
    uint32_t j = 0;
    while (j < 3u && fates.next[kind * 4u + j + 1u] != 0u && draw >= fates.share[kind * 4u + j]) ++j;
    become(cell, fates.next[kind * 4u + j], fates.flags);
}

// The chance that a daughter is like its mother (x 2^-32; all bits: always, so that nothing need be drawn).
DEVICE uint32_t renewal(const Cell& mother, const Fates& fates) {
    return fates.renew[variant_row(mother.hot, mother.cold)];
}

// Daughter 0 stays, daughter 1 takes the claimed site; r: random words of the mother's site.
DEVICE Cell daughter(Cell mother, uint32_t which, const uint32_t r[4], const Fates& fates) {
    const uint32_t kind = GET(mother.hot, HOT_KIND), threshold = renewal(mother, fates);
    const uint32_t level = GET(mother.cold, COLD_LABEL);
    if (level != LABEL_NONE) mother.cold = PUT(mother.cold, COLD_LABEL, level - 1u);
    if ((fates.flags[kind] >> FLAG_REST_AFTER_DIVISION) & 1u) mother.hot = PUT(mother.hot, HOT_CYCLE, 0u);
    if (threshold != 0xFFFFFFFFu && r[which] >= threshold) advance(mother, r[2u + which], fates);
    return mother;
}

// Let a daughter gain at most one thing, drawn from the entries of its mother's row; a new kind begins as its wild
// type.
DEVICE void mutate(Cell& cell, uint32_t row, uint32_t draw, const Mutations& mutations, const uint32_t* flags) {
    int32_t k = mutations.start[row];
    while (k < mutations.start[row + 1u] && draw >= mutations.chance[k]) ++k;
    if (k == mutations.start[row + 1u]) return;
    const uint32_t gain = mutations.gain[k], kind = gain >> GAIN_KIND,
                   variant = (gain >> GAIN_VARIANT) & COLD_RESIST_MASK;
    cell.hot |= (gain & HOT_LOSS_MASK) << HOT_LOSS_SHIFT;
    if (kind != 0u) become(cell, kind, flags);
    if (kind != 0u || variant != 0u) cell.cold = PUT(cell.cold, COLD_RESIST, variant);
}

// What an event that claims no site makes of a cell; r: random words of its site.
DEVICE Cell changed(Cell cell, uint32_t event, const uint32_t r[4], const uint8_t* active_form, const Fates& fates) {
    switch (event) {
        case EVENT_MATURE: advance(cell, r[2], fates); break;
        case EVENT_SWITCH: cell.hot = PUT(cell.hot, HOT_CYCLE, GET(cell.hot, HOT_CYCLE) ^ 1u); break;
        case EVENT_ACTIVATE:
            become(cell, active_form[GET(cell.hot, HOT_KIND)], fates.flags);
            cell.hot = PUT(cell.hot, HOT_ACTIVATION, 1u);
            break;
        default: cell = {0u, 0u};  // dead, or gone to the blood
    }
    return cell;
}

// Count a cell that changes its kind.
DEVICE void count_change(uint32_t before, uint32_t after, uint32_t* counts) {
    if (after == 0u || slot(before) == slot(after)) return;
    count(counts + COUNT_LEFT * SLOTS + slot(before));
    count(counts + COUNT_BECAME * SLOTS + slot(after));
}

// Count a cell that leaves for the blood by what it carries: its label, its edits.
DEVICE void count_carried(const Cell& cell, uint32_t* counts) {
    const uint32_t level = GET(cell.cold, COLD_LABEL), edits = GET(cell.hot, HOT_EDITS);
    if (level != LABEL_NONE) count(counts + COUNT_LABELLED_EGRESS * SLOTS + slot(cell.hot), 1u << level);
    if (edits != 0u) count(counts + COUNT_EDITED_EGRESS * SLOTS + slot(cell.hot));
    if (edits > 1u << EDITBIT_EDITED || GET(cell.hot, HOT_LOSS) != 0u)
        count(counts + COUNT_ALTERED_EGRESS * SLOTS + slot(cell.hot));
}

// Each acting cell changes, leaves, moves, divides or, if it loses its claim, stays; events, and the differences they
// make in who is there, are counted in counts[part][count][kind][origin]. Only sites from `begin` to `end` are written
// and counted: cells beyond them may come in or send a daughter.
// Cells of the chosen kinds that leave the lattice are listed with site and words in any order, up to `room`; n_leavers
// is their full number. Used for rare stem cells, whose identity the blood must keep.
KERNEL(commit)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total,
               int64_t shift, uint64_t seed, uint32_t step, uint32_t word, uint32_t mutation, int64_t begin,
               int64_t end, int64_t room, const uint8_t* action, const uint32_t* priority, const uint32_t* flags,
               const uint8_t* stages, const uint32_t* renew, const uint8_t* fate_next, const uint32_t* fate_share,
               const int32_t* mutation_start, const uint32_t* mutation_chance, const uint32_t* mutation_gain,
               const uint8_t* active_form, const uint8_t* chosen, uint32_t* hot, uint32_t* cold, uint32_t* counts,
               int64_t* n_leavers, int64_t* leaver_site, uint32_t* leaver_words) {
    const Fates fates = {flags, stages, renew, fate_next, fate_share};
    const Mutations mutations = {mutation_start, mutation_chance, mutation_gain};
    bool idle = false;  // whether none acts in the block before: then the next has few or none
    FOR_EACH_BLOCK_IN_PART_WHERE(, action[l], seen != 0u, , uint32_t* row = counts + part * (N_COUNTS * SLOTS), part, b,
                                 width, n, first, ny, nx) {
        uint8_t list[ROOM];
        set_z(b, b.floor, low, high);
        fetch(action + b.l + 2 * b.above + AHEAD, width);  // rivals for a site in the plane above
        if (!idle) fetch_above(b, hot, width);
        if (!idle) fetch_above(b, cold, width);
        const int found = list_filled(action + b.l, width, list);
        idle = found == 0;
        const bool here = b.l >= begin && b.l < end;
        for (int i = 0; i < found; ++i) {
            const Place p = lane(b, list[i], ny, nx);
            const uint32_t event = action_event(action[p.l]), d = action_direction(action[p.l]);
            const bool claims = (action[p.l] & CLAIMING) != 0u;
            const Cell before = {hot[p.l], cold[p.l]};
            Cell after = {0u, 0u};
            uint32_t r[4] = {0u, 0u, 0u, 0u};
            if (claims) {
                const Place target = moved(p, d, ny, nx, low, high);
                const bool there = target.l >= begin && target.l < end;
                if (!(here || there) || !wins(target, d ^ 1u, total, shift, action, priority)) continue;
                Cell other = before;
                if (event == EVENT_DIVIDE) {
                    if (renewal(before, fates) != 0xFFFFFFFFu)
                        philox(seed, global_site(p.l, shift, total), step, word, r);
                    other = daughter(before, 1u, r, fates);
                    after = daughter(before, 0u, r, fates);
                    const uint32_t own = GET(before.hot, HOT_KIND) * N_VARIANTS + GET(before.cold, COLD_RESIST);
                    if (mutation_start[own] != mutation_start[own + 1u]) {
                        philox(seed, global_site(p.l, shift, total), step, mutation, r);
                        mutate(after, own, r[0], mutations, flags);
                        mutate(other, own, r[1], mutations, flags);
                    }
                }
                if (there) {
                    hot[target.l] = other.hot;
                    cold[target.l] = other.cold;
                    count_difference(0u, other.hot, row);
                }
                if (here && event == EVENT_DIVIDE) {
                    count(row + COUNT_BIRTH * SLOTS + slot(before.hot));
                    count_change(before.hot, other.hot, row);
                }
            } else if (here) {
                if (event == EVENT_MATURE) philox(seed, global_site(p.l, shift, total), step, word, r);
                after = changed(before, event, r, active_form, fates);
                if (after.hot == 0u) count(row + (COUNT_DIE + (event - EVENT_DIE)) * SLOTS + slot(before.hot));
                if (event == EVENT_EGRESS) count_carried(before, row);
                if (event == EVENT_EGRESS && chosen[GET(before.hot, HOT_KIND)] != 0u) {
                    const int64_t k = next_of(n_leavers);
                    if (k < room) {
                        leaver_site[k] = int64_t(global_site(p.l, shift, total));
                        leaver_words[2 * k] = before.hot;
                        leaver_words[2 * k + 1] = before.cold;
                    }
                }
            }
            if (!here) continue;
            count_change(before.hot, after.hot, row);
            count_difference(before.hot, after.hot, row);
            hot[p.l] = after.hot;
            cold[p.l] = after.cold;
        }
    }
}
