// Phase 3 for either layer: one event per cell.
#include "adhesion.cuh"
#include "lattice.cuh"
#include "philox.cuh"
#include "sight.cuh"
#include "words.cuh"

#define COUNT_OF(histogram, k) float(((histogram) >> (HISTOGRAM_BITS * (k))) & 31u)
#define BEFORE_MOVES 0x80000000u     // of the priority of a claim: that of a daughter
#define ALL_BUT_CERTAIN 0.99999994f  // the largest below 1: 2^32 times 1 is no uint32_t

// s^p / (half^p + s^p); half_p is half^p already.
DEVICE float hill(float s, float half_p, uint32_t power) {
    float sp = s;
    if (power >= 2u) sp = sp * sp;
    if (power == 4u) sp = sp * sp;
    return sp / (half_p + sp);
}

// Whether an event of this hazard per step comes about: the hazard is its probability, as long as it is below 1.
DEVICE bool comes_about(uint32_t drawn, float hazard) {
    return drawn < uint32_t((hazard < 1.0f ? hazard : ALL_BUT_CERTAIN) * 4294967296.0f);
}

// Directions (bit d) in which an empty site of this layer lies; `want` restricts the tissue byte.
DEVICE uint32_t open_directions(const Place& p, const uint32_t* hot, const uint8_t* tissue, uint32_t want) {
    uint32_t open = 0;
    for (uint32_t d = 0; d < 6u; ++d) {
        const int64_t s = neighbour(p, d);  // without branches
        open |= uint32_t((hot[s] == 0u) & ((tissue[s] & TISSUE_MASK) == TISSUE_MARROW) &
                         ((want == 0u) | ((tissue[s] & want) != 0u)))
                << d;
    }
    return open;
}

// Event whose share of the cumulative hazard holds `pick` (the last one if rounding overshoots); set: behaviours with a
// rate.
DEVICE uint32_t event_at(float pick, uint32_t set, const float* h) {
    uint32_t event = 0;
    float sum = 0.0f;
    for (; set != 0u; set &= set - 1u) {
        const uint32_t b = lowest_bit(set);
        if (!(h[b] > 0.0f)) continue;
        sum = sum + h[b];
        event = b + 1u;
        if (pick < sum) break;
    }
    return event;
}

// The bound of the probability of an event (x 2^-32) for a cell.
DEVICE uint32_t bound_of(uint32_t hot, bool touched, const uint32_t* ceiling) {
    return ceiling[rate_row(hot) + (touched ? N_KINDS * 2u : 0u)];
}

// Chance to die by drugs that spare cells which have lost an antigen; chances: by loss bit, aimed: bits that have one.
DEVICE float directed_at(uint32_t hot, const float* chances, uint32_t aimed) {
    float dies = 0.0f;
    for (uint32_t left = aimed & ~GET(hot, HOT_LOSS); left != 0u; left &= left - 1u)
        dies = dies + ((1.0f - dies) * chances[lowest_bit(left)]);
    return dies;
}

// Let a cell die with this chance by drugs besides others: only what outlives the step has other events in it.
DEVICE void let_die(float dies, uint32_t set, float* h) {
    const float drug = h[BEHAVIOUR_DRUG];
    for (uint32_t left = set; left != 0u; left &= left - 1u) h[lowest_bit(left)] = h[lowest_bit(left)] * (1.0f - dies);
    h[BEHAVIOUR_DRUG] = drug + ((1.0f - drug) * dies);
}

// What tells of most cells that they have no event.
struct Glimpse {
    uint32_t hot;
    uint8_t touched;
};

// Keep the listed cells whose gate does not exclude an event.
DEVICE int keep_gated(int n, const uint8_t* gate, const uint32_t* hot, const uint8_t* touched, const uint32_t* ceiling,
                      uint8_t* list) {
    int kept = 0;
    for (int i = 0; i < n; ++i) {  // without branches
        const uint8_t j = list[i];
        list[kept] = j;
        kept += gate[j] <= bound_of(hot[j], touched[j] != 0u, ceiling) >> 24;
    }
    return kept;
}

// Choose at most one event per cell from its competing hazards (per step). The probability of an event is its hazard,
// not 1 - exp(-hazard): the wait for it, counted in steps, is 1 / hazard on average, as in continuous time, so that
// neither chains of stages nor steady states depend on the step, and what grows at a rate g does so at g - g^2 / 2 (per
// step). One of at most one event a step would else wait half a step too long every time. Deaths by drug are chances.
// A move takes no other event's turn, however long the step is: a cell moves only if nothing else happens to it, and
// leaves a site that a daughter claims to her.
// exposed: by row, chance to die by drugs of which contact with stroma spares a cell.
// A cell is touched if it is struck by an effector (resident layer) or engaged with a target (motile layer). ceiling
// holds upper bounds of the probability of an event (x 2^32) for every row of the rate tables, whatever the variant,
// without and with a touch;
// highest is the largest of those without; rated the set of behaviours with a rate, a bit each. The first byte of the
// number that is compared with the probability comes from the gates: most cells are dismissed by it.
// priority is written for claiming cells only.
// layer_is_motile: ACTIVATE needs engagement, hits do not apply.
KERNEL(fate)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total, int64_t shift,
             uint64_t seed, uint32_t step, uint32_t word, uint32_t layer_is_motile, const uint32_t* hot,
             const uint32_t* cold, const uint8_t* tissue, const uint8_t* distance, const uint32_t* histogram,
             const uint8_t* engaged, const uint8_t* struck, const float* cxcl12, const float* inflammation,
             const uint32_t* flags, const uint8_t* stages, const float* strength, const float* rates,
             const uint32_t* rated, const float* directed, const uint16_t* aimed, const float* exposed,
             uint32_t highest, const uint32_t* ceiling, const int32_t* rule_start, const uint8_t* rule_behaviour,
             const uint8_t* rule_signal, const uint8_t* rule_power, const float* rule_gain, const float* rule_half,
             uint8_t* action, uint32_t* priority) {
    const uint8_t* touched = layer_is_motile != 0u ? engaged : struck;
    const bool far = ny * nx >= 1 << 16;  // sites of a plane: more than the caches hold until the next one
    bool idle = false;                    // whether the block before has no candidate: then the next has few or none
    FOR_EACH_BLOCK_IN_PART_WHERE(
        gates.share(seed, global_site(l, shift, total), step, word + DRAW_GATE), (Glimpse{hot[l], touched[l]}),
        seen.hot != 0u && gates.at(seed, global_site(l, shift, total), step, word + DRAW_GATE) <=
                              bound_of(seen.hot, seen.touched != 0u, ceiling) >> 24,
        action[l] = EVENT_NONE, Gates gates, part, b, width, n, first, ny, nx) {
        uint8_t list[ROOM] = {0};
        uint32_t r[4][BLOCK];
        set_z(b, b.floor, low, high);
        Rows rows(b);
        const uint64_t site = global_site(b.l, shift, total);
        for (int j = 0; j < width; ++j) action[b.l + j] = EVENT_NONE;
        fetch(touched + b.l + AHEAD, width);
        // what a candidate will need when the draws are done
        if (!idle) fetch(cold + b.l + AHEAD, width);
        fetch_above(b, hot, width);
        if (!idle) fetch_above(b, tissue, width);
        if (!idle) fetch_above(b, engaged, width);
        if (far) {  // what was fetched a plane ago
            fetch(distance + b.l + AHEAD, width);
            fetch(tissue + b.l + AHEAD, width);
            fetch(hot + b.l + AHEAD, width);
        }
        const uint8_t* gate = gates.of(seed, site, step, word + DRAW_GATE, width);
        int found = list_gated(hot + b.l, touched + b.l, gate, uint8_t(highest >> 24), width, list);
        found = keep_gated(found, gate, hot + b.l, touched + b.l, ceiling, list);
        idle = found == 0;
        philox_listed(seed, site, step, word, list, found, r);
        for (int i = 0; i < found; ++i) {
            const Place p = lane(b, list[i], ny, nx);
            const int64_t l = p.l;
            const uint32_t cell = hot[l], kind = GET(cell, HOT_KIND), row = rate_row(cell);
            const uint32_t own = variant_row(cell, cold[l]);
            const uint32_t drawn = (uint32_t(gate[list[i]]) << 24) | (r[0][i] >> 8);
            if (drawn >= bound_of(cell, touched[l] != 0u, ceiling)) continue;
            const bool is_engaged = layer_is_motile != 0u && engaged[l] != 0u;
            const bool is_struck = layer_is_motile == 0u && struck[l] != 0u;
            uint32_t set = rated[own];  // bit b: behaviour b has a rate
            if (!is_struck) set &= ~(1u << BEHAVIOUR_KILL);
            if (!is_engaged) set &= ~(1u << BEHAVIOUR_ACTIVATE);
            if (GET(cold[l], COLD_STAGE) >= stages[kind]) set &= ~(1u << BEHAVIOUR_DIVIDE | 1u << BEHAVIOUR_MATURE);
            float h[N_HAZARDS];
            for (uint32_t left = set; left != 0u; left &= left - 1u)
                h[lowest_bit(left)] = rates[own * N_BEHAVIOURS + lowest_bit(left)];
            if (is_struck) rows.turn_to(p);
            const float hits = is_struck ? hits_on(p, nx, rows, engaged, strength) : 0.0f;
            if (is_struck) h[BEHAVIOUR_KILL] = h[BEHAVIOUR_KILL] * hits;
            if (aimed[row] != 0u) let_die(directed_at(cell, directed + row * N_LOSSES, aimed[row]), set, h);
            if (exposed[own] > 0.0f && touches_stroma(p, tissue) == 0u) let_die(exposed[own], set, h);

            for (int32_t k = rule_start[row]; k < rule_start[row + 1u]; ++k) {
                const uint32_t b = rule_behaviour[k];
                if (!((set >> b) & 1u)) continue;
                float s = 0.0f;
                switch (rule_signal[k]) {
                    case SIGNAL_NICHE: s = (tissue[l] & NICHE_MASK) != 0u ? 1.0f : 0.0f; break;
                    case SIGNAL_SINUSOID_DISTANCE: s = float(distance[l]); break;
                    case SIGNAL_N_HSPC: s = COUNT_OF(histogram[l], HISTOGRAM_HSPC); break;
                    case SIGNAL_N_LEUKAEMIC: s = COUNT_OF(histogram[l], HISTOGRAM_LEUKAEMIC); break;
                    case SIGNAL_N_RESIDENT: s = COUNT_OF(histogram[l], HISTOGRAM_RESIDENT); break;
                    case SIGNAL_N_EFFECTOR: s = COUNT_OF(histogram[l], HISTOGRAM_EFFECTOR); break;
                    case SIGNAL_N_TREG: s = COUNT_OF(histogram[l], HISTOGRAM_TREG); break;
                    case SIGNAL_N_APC: s = COUNT_OF(histogram[l], HISTOGRAM_APC); break;
                    case SIGNAL_HITS: s = hits; break;
                    case SIGNAL_ENGAGED: s = is_engaged ? 1.0f : 0.0f; break;
                    case SIGNAL_CXCL12: s = cxcl12[l]; break;
                    case SIGNAL_INFLAMMATION: s = inflammation[l]; break;
                    case SIGNAL_STAGE: s = float(GET(cold[l], COLD_STAGE)); break;
                    case SIGNAL_DAMAGE: s = float(GET(cold[l], COLD_DAMAGE)); break;
                }
                h[b] = h[b] * (1.0f + (rule_gain[k] * hill(s, rule_half[k], rule_power[k])));
            }

            const uint32_t fates = set & ~(1u << BEHAVIOUR_MOVE);
            float hazard = 0.0f;
            for (uint32_t left = fates; left != 0u; left &= left - 1u) hazard = hazard + h[lowest_bit(left)];
            uint32_t event = EVENT_MOVE;
            if (comes_about(drawn, hazard))
                event = event_at((float(r[1][i] >> 8) * (1.0f / 16777216.0f)) * hazard, fates, h);
            else if (fates == set || !comes_about(drawn, hazard + h[BEHAVIOUR_MOVE]))
                continue;
            if (event != EVENT_DIVIDE && event != EVENT_MOVE) {
                action[l] = uint8_t(event);
                continue;
            }
            uint32_t open = open_directions(p, hot, tissue, 0u);
            if (open == 0u) continue;  // crowded out: the cell waits
            if ((flags[kind] >> FLAG_NICHE_SEEKER) & 1u) {
                const uint32_t niches = open_directions(p, hot, tissue, NICHE_MASK);
                if (niches != 0u) open = niches;
            }
            action[l] = claiming(event, pick_bit(open, r[2][i]));
            priority[l] = event == EVENT_DIVIDE ? r[3][i] | BEFORE_MOVES : r[3][i] & ~BEFORE_MOVES;
        }
    }
}
