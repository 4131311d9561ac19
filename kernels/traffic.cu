// Cells that come from the blood. The host draws candidate sites; the lattice answers which are open.
#include "lattice.cuh"
#include "words.cuh"

// Whether candidate site i (local index, negative if it is not in this slab) can take a cell of the layer asked for.
KERNEL(probe)(int64_t n, const int64_t* sites, const uint8_t* niche_only, const uint8_t* motile,
              const uint32_t* res_hot, const uint32_t* mot_hot, const uint8_t* tissue, uint8_t* open) {
    FOR_EACH (i, n) {
        const int64_t l = sites[i];
        bool ok = l >= 0;
        if (ok) ok = (motile[i] ? mot_hot : res_hot)[l] == 0u && (tissue[l] & TISSUE_MASK) == TISSUE_MARROW;
        if (ok && niche_only[i] != 0u) ok = (tissue[l] & NICHE_MASK) != 0u;
        open[i] = ok ? 1 : 0;
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
