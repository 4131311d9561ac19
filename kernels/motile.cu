// Phase 6: one motile sub-step. A random walk with exclusion inside the motile layer.
// The layer is sparse, so these kernels run over rows (i is a row): each row lists its bidders, and only they are
// visited.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// Bids: a free lymphocyte tries one of six directions; an engaged one stays with its target.
// bidders holds the x of each bidder of the row, ascending, n_bidders their number. priority is written for bidders.
KERNEL(bid)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
            uint32_t step, uint32_t word, const uint32_t* mot_hot, const uint8_t* tissue, const uint8_t* engaged,
            const uint32_t* hop, uint32_t* action, uint32_t* priority, uint16_t* bidders, uint32_t* n_bidders) {
    FOR_EACH (i, n) {
        const int64_t row = first / nx + i, start = row * nx;
        uint32_t found = 0;
        for (int64_t l = start; l < start + nx; ++l) action[l] = EVENT_NONE;
        for (int64_t l = start; l < start + nx; ++l) {
            while (l + 8 <= start + nx && eight_empty(mot_hot + l)) l += 8;
            if (l == start + nx) break;
            if (mot_hot[l] == 0u || engaged[l] != 0u) continue;
            uint32_t r[4];
            philox(seed, global_site(l, shift, total), step, word, r);
            if (r[0] >= hop[GET(mot_hot[l], HOT_KIND)]) continue;
            const uint32_t d = uint32_t((uint64_t(r[1]) * 6u) >> 32);
            const int64_t s = neighbour(place_at(l, ny, nx), d);
            if (mot_hot[s] != 0u || (tissue[s] & TISSUE_MASK) != TISSUE_MARROW) continue;
            action[l] = EVENT_MOVE | (d << 4);
            priority[l] = r[2];
            bidders[start + found] = uint16_t(l - start);
            ++found;
        }
        n_bidders[row] = found;
    }
}

// An empty site of the row pulls the best bidder. In place: only empty sites are written, only occupied ones read from.
// winner is written where there is a bid.
KERNEL(pull)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, const uint32_t* action,
             const uint32_t* priority, const uint16_t* bidders, const uint32_t* n_bidders, uint8_t* winner,
             uint32_t* mot_hot, uint32_t* mot_cold) {
    FOR_EACH (i, n) {
        const int64_t row = first / nx + i, y = row % ny;
        // rows whose bidders may aim at this one, and the direction in which they would (4: either way along x)
        const int64_t rows[5] = {row, row - ny, row + ny, y == 0 ? row + ny - 1 : row - 1,
                                 y == ny - 1 ? row - ny + 1 : row + 1};
        const uint32_t aims[5] = {4u, 1u, 0u, 3u, 2u};
        for (uint32_t k = 0; k < 5u; ++k)
            for (uint32_t j = 0; j < n_bidders[rows[k]]; ++j) {
                const int64_t s = rows[k] * nx + bidders[rows[k] * nx + j];
                const uint32_t d = action_direction(action[s]);
                if ((d < 4u ? d : 4u) != aims[k]) continue;
                const Place target = place_at(neighbour(place_at(s, ny, nx), d), ny, nx);
                const uint32_t best = best_claim(target, total, shift, action, priority);
                if (best != (d ^ 1u) + 1u) continue;
                winner[target.l] = uint8_t(best);
                mot_cold[target.l] = mot_cold[s];
                mot_hot[target.l] = mot_hot[s];
            }
    }
}

// A bidder that won leaves its site.
KERNEL(leave)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* action, const uint16_t* bidders,
              const uint32_t* n_bidders, const uint8_t* winner, uint32_t* mot_hot, uint32_t* mot_cold) {
    FOR_EACH (i, n) {
        const int64_t row = first / nx + i;
        for (uint32_t j = 0; j < n_bidders[row]; ++j) {
            const int64_t l = row * nx + bidders[row * nx + j];
            if (!won(place_at(l, ny, nx), action[l], winner)) continue;
            mot_hot[l] = 0u;
            mot_cold[l] = 0u;
        }
    }
}
