// Cells that come from the blood. Each tries sites drawn at random; the host settles who gets what several want.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// The first open site of each cell among its candidates, whose numbers in the step run from `tried` to `last`, as
// (number of the trial << SITE_BITS) | global site; NOWHERE if this slab has none. The least over all slabs counts.
// origin = global index of local site 0, which may lie before the lattice; only sites from `begin` to `end` are seen.
KERNEL(probe)(int64_t n, uint64_t seed, uint32_t step, uint32_t word, int64_t total, int64_t origin, int64_t begin,
              int64_t end, const uint32_t* seeking, const int64_t* tried, const int64_t* last, const uint8_t* chosen,
              const uint32_t* res_hot, const uint32_t* mot_hot, const uint8_t* tissue, int64_t* found) {
    FOR_EACH_LONG(i, n) {
        const uint32_t kind = GET(seeking[i], HOT_KIND);
        const uint32_t* hot = kind >= uint32_t(FIRST_MOTILE) ? mot_hot : res_hot;
        const bool niche_only = chosen[kind] != 0u;
        found[i] = first_of(tried[i], last[i], NOWHERE, [&](int64_t j) {
            uint32_t r[4];
            philox(seed, uint64_t(j), step, word, r);
            const int64_t site = int64_t(((uint64_t(r[0]) << 32) | r[1]) % uint64_t(total)), l = site - origin;
            const bool open = l >= begin && l < end && hot[l] == 0u && (tissue[l] & TISSUE_MASK) == TISSUE_MARROW &&
                              (!niche_only || (tissue[l] & NICHE_MASK) != 0u);
            return open ? ((j - tried[i]) << SITE_BITS) | site : NOWHERE;
        });
    }
}

// Put cell i on sites[i] of its layer. The only kernel that scatters: the host guarantees that the sites of a layer are
// distinct and open.
KERNEL(settle)(int64_t n, const int64_t* sites, const uint32_t* new_hot, const uint32_t* new_cold, uint32_t* res_hot,
               uint32_t* res_cold, uint32_t* mot_hot, uint32_t* mot_cold) {
    FOR_EACH (i, n) {
        if (sites[i] < 0) continue;
        const bool motile = GET(new_hot[i], HOT_KIND) >= uint32_t(FIRST_MOTILE);
        (motile ? mot_hot : res_hot)[sites[i]] = new_hot[i];
        (motile ? mot_cold : res_cold)[sites[i]] = new_cold[i];
    }
}
