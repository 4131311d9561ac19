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

// Packed counts (5 bits a class) over the 27 sites around each site, its own resident cell left out.
KERNEL(contacts)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* res_hot, const uint32_t* classes,
                 const uint32_t* signature, uint32_t* histogram) {
    FOR_EACH_BLOCK(b, width, n, first, ny, nx) {
        uint32_t column[BLOCK + 2];  // sums over z and y, from one site west of the block to one east of it
        for (int j = 0; j < width + 2; ++j) column[j] = 0;
        const int64_t rows[3] = {b.south, 0, b.north};
        const int64_t east = width - 1 + (b.x + width == nx ? 1 - nx : 1);
        for (int z = -1; z < 2; ++z)
            for (int y = 0; y < 3; ++y) {
                const uint32_t* row = signature + b.l + z * b.plane + rows[y];
                column[0] += row[b.west];
                for (int j = 0; j < width; ++j) column[j + 1] += row[j];
                column[width + 1] += row[east];
            }
        for (int j = 0; j < width; ++j)
            histogram[b.l + j] = column[j] + column[j + 1] + column[j + 2] - classes[GET(res_hot[b.l + j], HOT_KIND)];
    }
}

// Targets around p that a lymphocyte may engage, bit m for site m of the neighbourhood: any resident cell that shows an
// antigen of its receptor for an effector, only antigen-presenting cells for another lymphocyte. This is the one
// recognition rule: antigens & receptors != 0. Without branches, but for the rare cells that have lost antigens.
DEVICE uint32_t matches_around(const Place& p, uint32_t receptor, bool effector, const uint32_t* res_hot,
                               const uint32_t* flags, const uint32_t* antigens, const uint32_t* losses) {
    uint32_t targets[27], matches = 0, lost = 0;
    copy_near(p, res_hot, targets);
    for (uint32_t m = 0; m < 27u; ++m) {
        matches |= uint32_t((antigens[targets[m] & 255u] & receptor) != 0u) << m;
        lost |= GET(targets[m], HOT_LOSS);
    }
    if (matches != 0u && lost != 0u)
        for (uint32_t m = 0; m < 27u; ++m)
            if ((antigens_of(targets[m], antigens, losses) & receptor) == 0u) matches &= ~(1u << m);
    if (matches != 0u && !effector)
        for (uint32_t m = 0; m < 27u; ++m)
            if (!((flags[GET(targets[m], HOT_KIND)] >> FLAG_APC) & 1u)) matches &= ~(1u << m);
    return matches;
}

// Each lymphocyte that meets its antigen engages one target, drawn evenly: 1 + index in the 27-neighbourhood, else 0.
// The target is marked as struck; struck must be clear before.
KERNEL(engage)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t total, int64_t shift, uint64_t seed,
               uint32_t step, uint32_t word, const uint32_t* res_hot, const uint32_t* mot_hot, const uint32_t* flags,
               const uint32_t* antigens, const uint32_t* losses, const uint32_t* receptors, uint8_t* engaged,
               uint8_t* struck) {
    FOR_EACH_BLOCK(b, width, n, first, ny, nx) {
        uint8_t list[BLOCK] = {0};
        uint32_t matches[BLOCK], r[4][BLOCK];
        for (int j = 0; j < width; ++j) engaged[b.l + j] = 0;
        const int found = list_filled(mot_hot + b.l, width, list);
        int meeting = 0;
        for (int i = 0; i < found; ++i) {
            const uint32_t hot = mot_hot[b.l + list[i]], receptor = receptors[GET(hot, HOT_SPECIFICITY)];
            if (receptor == 0u) continue;
            const bool effector = (flags[GET(hot, HOT_KIND)] >> FLAG_EFFECTOR) & 1u;
            list[meeting] = list[i];
            matches[meeting] =
                matches_around(lane(b, list[i], nx), receptor, effector, res_hot, flags, antigens, losses);
            meeting += matches[meeting] != 0u;
        }
        philox_listed(seed, global_site(b.l, shift, total), step, word, list, meeting, r);
        for (int i = 0; i < meeting; ++i) {
            const Place p = lane(b, list[i], nx);
            const uint32_t m = pick_bit(matches[i], r[0][i]);
            engaged[p.l] = uint8_t(m + 1u);
            mark(struck + near_site(p, m));
        }
    }
}
