// Phase 1: who touches whom. Neighbourhood histogram and recognition.
#include "lattice.cuh"
#include "philox.cuh"
#include "words.cuh"

// Class word of each site: which histogram classes its two cells add to.
KERNEL(classify)(int64_t n, int64_t first, const uint32_t* res_hot, const uint32_t* mot_hot, const uint32_t* classes,
                 uint32_t* signature) {
    FOR_EACH (i, n) {
        const int64_t l = first + i;
        signature[l] = classes[GET(res_hot[l], HOT_KIND)] + classes[GET(mot_hot[l], HOT_KIND)];
    }
}

// Packed counts (5 bits a class) over the 27 sites around each site that wants them, its own resident cell left out:
// sites with a cell of a wanted kind, and stroma where the kind EMPTY is wanted.
KERNEL(contacts)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint8_t* tissue, const uint32_t* res_hot,
                 const uint32_t* mot_hot, const uint32_t* classes, const uint8_t* wanted, const uint32_t* signature,
                 uint32_t* histogram) {
    FOR_EACH_SITE (p, n, first, ny, nx, false) {
        const uint32_t kind = GET(res_hot[p.l], HOT_KIND), wanderer = GET(mot_hot[p.l], HOT_KIND);
        const bool resident = kind != 0u && wanted[kind] != 0u, motile = wanderer != 0u && wanted[wanderer] != 0u;
        const bool stroma = wanted[0] != 0u && ((tissue[p.l] >> STROMA_SHIFT) & 1u) != 0u;
        uint32_t sum = 0;
        if (resident || motile || stroma) {
            for (uint32_t m = 0; m < 27u; ++m) sum += signature[near_site(p, m)];
            sum -= classes[kind];
        }
        histogram[p.l] = sum;
    }
}

// Each lymphocyte that meets its antigen engages one target, drawn evenly: 1 + index in the 27-neighbourhood, else 0.
// An effector engages any resident cell that shows an antigen of its receptor; another lymphocyte only
// antigen-presenting cells. This is the one recognition rule: antigens & receptors != 0.
KERNEL(engage)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
               uint32_t step, uint32_t word, const uint32_t* res_hot, const uint32_t* mot_hot, const uint32_t* flags,
               const uint32_t* antigens, const uint32_t* losses, const uint32_t* receptors, uint8_t* engaged) {
    FOR_EACH_SITE (p, n, first, ny, nx, eight_empty(mot_hot + p.l) && eight_cleared(engaged + p.l)) {
        const int64_t l = p.l;
        const uint32_t hot = mot_hot[l];
        uint8_t choice = 0;
        const uint32_t receptor = hot == 0u ? 0u : receptors[GET(hot, HOT_SPECIFICITY)];
        if (receptor != 0u) {
            const bool effector = (flags[GET(hot, HOT_KIND)] >> FLAG_EFFECTOR) & 1u;
            uint32_t matches = 0, count = 0;
            for (uint32_t m = 0; m < 27u; ++m) {
                const uint32_t target = res_hot[near_site(p, m)];
                if (target == 0u || (antigens_of(target, antigens, losses) & receptor) == 0u) continue;
                if (!effector && !((flags[GET(target, HOT_KIND)] >> FLAG_APC) & 1u)) continue;
                matches |= 1u << m;
                ++count;
            }
            if (count != 0u) {
                uint32_t r[4];
                philox(seed, global_site(l, shift, total), step, word, r);
                uint32_t skip = uint32_t((uint64_t(r[0]) * count) >> 32), m = 0;
                for (;; ++m)
                    if ((matches >> m) & 1u) {
                        if (skip == 0u) break;
                        --skip;
                    }
                choice = uint8_t(m + 1u);
            }
        }
        engaged[l] = choice;
    }
}
