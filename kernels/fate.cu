// Phases 3-5 for either layer: one event per cell, claims on empty sites, the next words.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

#define COUNT_OF(histogram, k) float(((histogram) >> (HISTOGRAM_BITS * (k))) & 31u)

// Kill strength of all lymphocytes that engage the resident cell at p.
DEVICE float hits_on(const Place& p, const uint8_t* engaged, const uint32_t* mot_hot, const float* strength) {
    float sum = 0.0f;
    for (uint32_t m = 0; m < 27u; ++m) {
        const int64_t s = near_site(p, m);
        if (engaged[s] == 27u - m) sum = sum + strength[GET(mot_hot[s], HOT_KIND)];
    }
    return sum;
}

// s^p / (half^p + s^p); half_p is half^p already.
DEVICE float hill(float s, float half_p, uint32_t power) {
    float sp = s;
    if (power >= 2u) sp = sp * sp;
    if (power == 4u) sp = sp * sp;
    return sp / (half_p + sp);
}

// 1 - exp(-x) by linear interpolation in a table with 256 steps per unit, 0 <= x < 16.
DEVICE float escape_probability(float x, const float* escape) {
    const float scaled = (x < 15.99f ? x : 15.99f) * 256.0f;
    const int32_t index = int32_t(scaled);
    const float low = escape[index];
    return low + ((escape[index + 1] - low) * (scaled - float(index)));
}

// Directions (bit d) in which an empty site of this layer lies; `want` restricts the tissue byte.
DEVICE uint32_t open_directions(const Place& p, const uint32_t* hot, const uint8_t* tissue, uint32_t want) {
    uint32_t open = 0;
    for (uint32_t d = 0; d < 6u; ++d) {
        const int64_t s = neighbour(p, d);
        if (hot[s] == 0u && (tissue[s] & TISSUE_MASK) == TISSUE_MARROW && (want == 0u || (tissue[s] & want) != 0u))
            open |= 1u << d;
    }
    return open;
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

// Choose at most one event per cell from its competing hazards (per step).
// ceiling is an upper bound of the event probability (x 2^32) of a cell that no effector or target touches.
// priority is written for acting cells only. layer_is_motile: ACTIVATE needs engagement, hits do not apply.
KERNEL(fate)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
             uint32_t step, uint32_t word, uint32_t layer_is_motile, const uint32_t* hot, const uint32_t* cold,
             const uint32_t* mot_hot, const uint8_t* tissue, const uint8_t* distance, const uint32_t* histogram,
             const uint8_t* engaged, const float* cxcl12, const float* inflammation, const uint32_t* flags,
             const uint8_t* stages, const float* strength, const float* rates, const uint32_t* ceiling,
             const int32_t* rule_start, const uint8_t* rule_behaviour, const uint8_t* rule_signal,
             const uint8_t* rule_power, const float* rule_gain, const float* rule_half, const float* escape,
             uint32_t* action, uint32_t* priority) {
    FOR_EACH_SITE (p, n, first, ny, nx, eight_empty(hot + p.l) && eight_cleared(action + p.l)) {
        const int64_t l = p.l;
        action[l] = EVENT_NONE;
        const uint32_t cell = hot[l];
        if (cell == 0u) continue;
        const uint32_t kind = GET(cell, HOT_KIND), row = rate_row(cell), contacts = histogram[l];
        const bool is_engaged = layer_is_motile != 0u && engaged[l] != 0u;
        const bool touched = layer_is_motile == 0u && COUNT_OF(contacts, HISTOGRAM_EFFECTOR) > 0.0f;
        uint32_t r[4];
        philox(seed, global_site(l, shift, total), step, word, r);
        if (r[0] >= ceiling[row] && !is_engaged && !touched) continue;  // no event, whatever the neighbourhood is
        float h[N_HAZARDS];
        for (uint32_t b = 0; b < N_HAZARDS; ++b) h[b] = rates[row * N_BEHAVIOURS + b];

        float hits = 0.0f;
        if (touched) hits = hits_on(p, engaged, mot_hot, strength);
        h[BEHAVIOUR_KILL] = h[BEHAVIOUR_KILL] * hits;
        if (!is_engaged) h[BEHAVIOUR_ACTIVATE] = 0.0f;
        if (GET(cold[l], COLD_STAGE) >= stages[kind]) h[BEHAVIOUR_DIVIDE] = h[BEHAVIOUR_MATURE] = 0.0f;

        for (int32_t k = rule_start[row]; k < rule_start[row + 1u]; ++k) {
            const uint32_t b = rule_behaviour[k];
            if (!(h[b] > 0.0f)) continue;
            float s = 0.0f;
            switch (rule_signal[k]) {
                case SIGNAL_NICHE: s = (tissue[l] & NICHE_MASK) != 0u ? 1.0f : 0.0f; break;
                case SIGNAL_SINUSOID_DISTANCE: s = float(distance[l]); break;
                case SIGNAL_N_HSPC: s = COUNT_OF(contacts, HISTOGRAM_HSPC); break;
                case SIGNAL_N_LEUKAEMIC: s = COUNT_OF(contacts, HISTOGRAM_LEUKAEMIC); break;
                case SIGNAL_N_RESIDENT: s = COUNT_OF(contacts, HISTOGRAM_RESIDENT); break;
                case SIGNAL_N_EFFECTOR: s = COUNT_OF(contacts, HISTOGRAM_EFFECTOR); break;
                case SIGNAL_N_TREG: s = COUNT_OF(contacts, HISTOGRAM_TREG); break;
                case SIGNAL_N_APC: s = COUNT_OF(contacts, HISTOGRAM_APC); break;
                case SIGNAL_HITS: s = hits; break;
                case SIGNAL_ENGAGED: s = is_engaged ? 1.0f : 0.0f; break;
                case SIGNAL_CXCL12: s = cxcl12[l]; break;
                case SIGNAL_INFLAMMATION: s = inflammation[l]; break;
                case SIGNAL_STAGE: s = float(GET(cold[l], COLD_STAGE)); break;
            }
            h[b] = h[b] * (1.0f + (rule_gain[k] * hill(s, rule_half[k], rule_power[k])));
        }

        float hazard = h[0];
        for (uint32_t b = 1; b < N_HAZARDS; ++b) hazard = hazard + h[b];
        if (!(hazard > 0.0f) || r[0] >= uint32_t(escape_probability(hazard, escape) * 4294967296.0f)) continue;
        const float pick = (float(r[1] >> 8) * (1.0f / 16777216.0f)) * hazard;
        uint32_t event = 0;
        float sum = 0.0f;
        for (uint32_t b = 0; b < N_HAZARDS; ++b) {
            if (!(h[b] > 0.0f)) continue;
            sum = sum + h[b];
            event = b + 1u;
            if (pick < sum) break;
        }
        uint32_t direction = 0;
        if (event == EVENT_DIVIDE || event == EVENT_MOVE) {
            uint32_t open = open_directions(p, hot, tissue, 0u);
            if (open == 0u) continue;  // crowded out: the cell waits
            if ((flags[kind] >> FLAG_NICHE_SEEKER) & 1u) {
                const uint32_t niches = open_directions(p, hot, tissue, NICHE_MASK);
                if (niches != 0u) open = niches;
            }
            direction = pick_bit(open, r[2]);
        }
        action[l] = event | (direction << 4);
        priority[l] = r[3];
    }
}

// Winner of each empty site: 1 + direction towards it, 0 if nobody claims the site.
KERNEL(resolve)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, const uint32_t* hot,
                const uint8_t* tissue, const uint32_t* action, const uint32_t* priority, uint8_t* winner) {
    FOR_EACH_SITE (p, n, first, ny, nx, eight_quiet(p, nx, action) && eight_cleared(winner + p.l)) {
        const bool open = hot[p.l] == 0u && (tissue[p.l] & TISSUE_MASK) == TISSUE_MARROW;
        const bool claimed = open && !quiet_around(p, action);
        winner[p.l] = claimed ? uint8_t(best_claim(p, total, shift, action, priority)) : uint8_t(0);
    }
}

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

// The words of the next time level: every site pulls what will be there.
KERNEL(commit)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
               uint32_t step, uint32_t word, const uint32_t* hot, const uint32_t* cold, const uint32_t* action,
               const uint8_t* winner, const uint32_t* flags, const uint8_t* stages, const uint32_t* renew,
               const uint8_t* fate_next, const uint32_t* fate_share, const uint8_t* active_form, uint32_t* hot_next,
               uint32_t* cold_next) {
    FOR_EACH_SITE (p, n, first, ny, nx,
                   eight_empty(hot + p.l) && eight_quiet(p, nx, action) && eight_cleared(hot_next + p.l) &&
                       eight_cleared(cold_next + p.l)) {
        const int64_t l = p.l;
        const int64_t source = hot[l] != 0u || winner[l] == 0u ? l : neighbour(p, winner[l] - 1u);
        uint32_t h = hot[source], c = cold[source];
        if (h != 0u) {
            const uint32_t a = action[source], event = action_event(a);
            const bool arriving = source != l;
            uint32_t r[4] = {0u, 0u, 0u, 0u};
            if (event == EVENT_DIVIDE || event == EVENT_MATURE)
                philox(seed, global_site(source, shift, total), step, word, r);
            switch (event) {
                case EVENT_DIE:
                case EVENT_DRUG:
                case EVENT_KILL:
                case EVENT_EGRESS: h = c = 0u; break;
                case EVENT_MATURE: advance(&h, &c, r[2], flags, stages, fate_next, fate_share); break;
                case EVENT_SWITCH: h = PUT(h, HOT_CYCLE, GET(h, HOT_CYCLE) ^ 1u); break;
                case EVENT_ACTIVATE: {
                    const uint32_t next = active_form[GET(h, HOT_KIND)];
                    h = PUT(PUT(h, HOT_KIND, next), HOT_CYCLE, (flags[next] >> FLAG_CYCLING) & 1u);
                    h = PUT(h, HOT_ACTIVATION, 1u);
                    c = PUT(c, COLD_STAGE, 0u);
                    break;
                }
                case EVENT_MOVE:
                    if (!arriving && won(p, a, winner)) h = c = 0u;
                    break;
                case EVENT_DIVIDE:
                    if (arriving || won(p, a, winner))
                        daughter(&h, &c, arriving ? 1u : 0u, r, renew, flags, stages, fate_next, fate_share);
                    break;
            }
        }
        hot_next[l] = h;
        cold_next[l] = c;
    }
}
