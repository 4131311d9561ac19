// Phase 7: exact integer counts. One row of the output per plane, so that sums do not depend on ranks or threads.
#include "lattice.cuh"
#include "words.cuh"

#define SLOTS (N_KINDS * N_ORIGINS)

DEVICE uint32_t slot(uint32_t hot) { return GET(hot, HOT_KIND) * N_ORIGINS + GET(hot, HOT_ORIGIN); }

// Add the events of one layer to counts[plane][count][kind][origin]. hot is the old time level, hot_next the new one.
KERNEL(tally)(int64_t n, int64_t first_plane, int64_t ny, int64_t nx, const uint32_t* hot, const uint32_t* action,
              const uint8_t* winner, const uint32_t* hot_next, const uint8_t* tissue, int64_t* counts) {
    FOR_EACH (i, n) {
        int64_t* row = counts + i * (N_COUNTS * SLOTS);
        const int64_t plane = ny * nx, start = (first_plane + i) * plane;
        for (int64_t l = start; l < start + plane; ++l) {
            while (l + 8 <= start + plane && eight_empty(hot + l) && eight_empty(hot_next + l)) l += 8;
            if (l == start + plane) break;
            const uint32_t before = hot[l], after = hot_next[l];
            if (after != 0u) {
                row[COUNT_POPULATION * SLOTS + slot(after)] += 1;
                if ((tissue[l] & NICHE_MASK) != 0u) row[COUNT_NICHE * SLOTS + slot(after)] += 1;
                if (GET(after, HOT_CYCLE) == 0u) row[COUNT_QUIESCENT * SLOTS + slot(after)] += 1;
            }
            uint32_t mother = before, event = action_event(action[l]);
            if (before == 0u) {
                if (winner[l] == 0u) continue;
                const int64_t s = neighbour(place_at(l, ny, nx), winner[l] - 1u);
                mother = hot[s];
                event = action_event(action[s]);
                if (event != EVENT_DIVIDE) continue;
                row[COUNT_BIRTH * SLOTS + slot(mother)] += 1;
            } else if (event >= EVENT_DIE && event <= EVENT_EGRESS) {
                row[(COUNT_DIE + (event - EVENT_DIE)) * SLOTS + slot(before)] += 1;
                continue;
            }
            if (after != 0u && slot(after) != slot(mother)) {
                row[COUNT_LEFT * SLOTS + slot(mother)] += 1;
                row[COUNT_BECAME * SLOTS + slot(after)] += 1;
            }
        }
    }
}

// Sites and words of the cells of the chosen kinds that leave the lattice: up to `room` per plane, the full number
// in leavers[plane]. Used for rare stem cells, whose identity the blood must keep.
KERNEL(collect)(int64_t n, int64_t first_plane, int64_t ny, int64_t nx, int64_t room, const uint32_t* hot,
                const uint32_t* cold, const uint32_t* action, const uint8_t* chosen, int64_t* leavers,
                uint32_t* words) {
    FOR_EACH (i, n) {
        const int64_t plane = ny * nx, start = (first_plane + i) * plane;
        int64_t found = 0;
        for (int64_t l = start; l < start + plane; ++l) {
            while (l + 8 <= start + plane && eight_empty(action + l)) l += 8;
            if (l == start + plane) break;
            if (action_event(action[l]) != EVENT_EGRESS || chosen[GET(hot[l], HOT_KIND)] == 0u) continue;
            if (found < room) {
                words[(i * room + found) * 2] = hot[l];
                words[(i * room + found) * 2 + 1] = cold[l];
            }
            ++found;
        }
        leavers[i] = found;
    }
}
