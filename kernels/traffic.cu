// Cells that come from the blood. Each tries sites drawn at random, one after the other. Of the cells that ask for a
// site the first in order gets it, and the others ask on: as all sites prefer cells in the same order, this ends as if
// one cell had chosen after the other, whichever asks when (deferred acceptance: Gale and Shapley, Am Math Mon 1962).
//
// The strongest claim on an open site stands in its cold word, which is 0 where no cell is, until the cell settles
// there. A claim gives way only to a stronger one, so that a site which a cell has lost is lost for good.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// What cells see that look for a site. origin = global index of local site 0, which may lie before the lattice; only
// sites from `begin` to `end` are seen. The candidates of cell i have the numbers last[i - 1] to last[i] - 1 in the
// step.
struct Search {
    uint64_t seed;
    uint32_t step, word;
    int64_t n, total, origin, begin, end;
    const uint32_t* seeking;
    const int64_t* last;
    const uint8_t *chosen, *tissue;
    const uint32_t *res_hot, *mot_hot, *res_cold, *mot_cold;

    // The first candidate of a cell, from number `trial` of its own on, that is open and not claimed by a stronger one,
    // as (number << SITE_BITS) | global site; NOWHERE if this slab has none.
    METHOD int64_t first_open(int64_t cell, int64_t trial) const {
        const uint32_t kind = GET(seeking[cell], HOT_KIND);
        const bool motile = kind >= uint32_t(FIRST_MOTILE), niche_only = chosen[kind] != 0u;
        const uint32_t *hot = motile ? mot_hot : res_hot, *cold = motile ? mot_cold : res_cold;
        const int64_t first = cell == 0 ? 0 : last[cell - 1];
        return first_of(first + trial, last[cell], NOWHERE, [&](int64_t j) {
            uint32_t r[4];
            philox(seed, uint64_t(j), step, word, r);
            const int64_t site = int64_t(((uint64_t(r[0]) << 32) | r[1]) % uint64_t(total)), l = site - origin;
            const bool open = l >= begin && l < end && hot[l] == 0u && (tissue[l] & TISSUE_MASK) == TISSUE_MARROW &&
                              (!niche_only || (tissue[l] & NICHE_MASK) != 0u) && latest(cold + l) <= strength(cell);
            return open ? ((j - first) << SITE_BITS) | site : NOWHERE;
        });
    }

    // Of two cells that ask for a site the earlier one is the stronger.
    METHOD uint32_t strength(int64_t cell) const { return uint32_t(n - cell); }
};

DEVICE int64_t site_of(int64_t place) { return place & ((int64_t(1) << SITE_BITS) - 1); }

// Where each cell stands once it has gone on from where it stood, as far as this slab tells; the least over all slabs
// counts. With `claim` in turns until nobody moves, beginning at 0, this is `lodge` on several slabs.
KERNEL(probe)(int64_t n, uint64_t seed, uint32_t step, uint32_t word, int64_t total, int64_t origin, int64_t begin,
              int64_t end, const uint32_t* seeking, const int64_t* last, const uint8_t* chosen, const uint8_t* tissue,
              const uint32_t* res_hot, const uint32_t* mot_hot, const uint32_t* res_cold, const uint32_t* mot_cold,
              int64_t* place) {
    const Search search = {seed,    step, word,   n,      total,   origin,  begin,    end,
                           seeking, last, chosen, tissue, res_hot, mot_hot, res_cold, mot_cold};
    FOR_EACH_LONG(i, n) {
        const int64_t trial = place[i] >> SITE_BITS;
        const int64_t found = search.first_open(i, trial);
        once([&] { return place[i] = found; });
    }
}

// Each cell claims the site where it stands.
KERNEL(claim)(int64_t n, int64_t origin, int64_t begin, int64_t end, const uint32_t* seeking, const int64_t* place,
              uint32_t* res_cold, uint32_t* mot_cold) {
    FOR_EACH (i, n) {
        const int64_t l = site_of(place[i]) - origin;
        if (place[i] == NOWHERE || l < begin || l >= end) continue;
        strongest((GET(seeking[i], HOT_KIND) >= uint32_t(FIRST_MOTILE) ? mot_cold : res_cold) + l, uint32_t(n - i));
    }
}

// Where each cell of a whole lattice will settle, in the form of `probe`. Who takes a site from another goes on for it;
// so at any time one thread speaks for a cell. What the other has lost before, it finds claimed, so that it may begin
// anew.
KERNEL(lodge)(int64_t n, uint64_t seed, uint32_t step, uint32_t word, int64_t total, int64_t origin, int64_t begin,
              int64_t end, const uint32_t* seeking, const int64_t* last, const uint8_t* chosen, const uint8_t* tissue,
              const uint32_t* res_hot, const uint32_t* mot_hot, uint32_t* res_cold, uint32_t* mot_cold,
              int64_t* place) {
    const Search search = {seed,    step, word,   n,      total,   origin,  begin,    end,
                           seeking, last, chosen, tissue, res_hot, mot_hot, res_cold, mot_cold};
    FOR_EACH_LONG(i, n) {
        int64_t cell = i, trial = 0;
        while (cell < n) {
            const int64_t found = search.first_open(cell, trial), l = site_of(found) - origin;
            uint32_t* cold = GET(seeking[cell], HOT_KIND) >= uint32_t(FIRST_MOTILE) ? mot_cold : res_cold;
            const uint32_t own = search.strength(cell);
            const uint32_t other = uint32_t(once([&] {
                place[cell] = found;  // before the claim: after it another thread may speak for this cell
                return found == NOWHERE ? 0 : int64_t(strongest(cold + l, own));
            }));
            trial = other > own ? (found >> SITE_BITS) + 1 : 0;
            if (other <= own) cell = n - other;
        }
    }
}

// Put each cell on the site of its layer where it stands. The only kernel that scatters: no two cells of a layer stand
// on one site.
KERNEL(settle)(int64_t n, int64_t origin, int64_t begin, int64_t end, const int64_t* place, const uint32_t* new_hot,
               const uint32_t* new_cold, uint32_t* res_hot, uint32_t* res_cold, uint32_t* mot_hot, uint32_t* mot_cold) {
    FOR_EACH (i, n) {
        const int64_t l = site_of(place[i]) - origin;
        if (place[i] == NOWHERE || l < begin || l >= end) continue;
        const bool motile = GET(new_hot[i], HOT_KIND) >= uint32_t(FIRST_MOTILE);
        (motile ? mot_hot : res_hot)[l] = new_hot[i];
        (motile ? mot_cold : res_cold)[l] = new_cold[i];
    }
}
