// Phase 1: who touches whom. Neighbourhood histogram and recognition.
#include "lattice.cuh"
#include "lists.cuh"
#include "philox.cuh"
#include "sight.cuh"
#include "tiles.cuh"
#include "words.cuh"

// Class word of each site: which histogram classes its two cells add to.
KERNEL(classify)(int64_t n, int64_t first, const uint32_t* res_hot, const uint32_t* mot_hot, const uint32_t* classes,
                 uint32_t* signature) {
    FOR_EACH (block, (n + BLOCK - 1) / BLOCK) {
        const int64_t done = block * BLOCK, l = first + done;
        const int width = n - done < BLOCK ? int(n - done) : BLOCK;
        uint32_t resident[BLOCK], motile[BLOCK];
        of_kinds(classes, res_hot + l, width, resident);
        of_kinds(classes, mot_hot + l, width, motile);
        for (int j = 0; j < width; ++j) signature[l + j] = resident[j] + motile[j];
    }
}

// Sum of a site and the eight around it in y and z, which lie as those of p do.
DEVICE uint32_t column_at(const Place& p, const uint32_t* site) {
    const uint32_t *below = site + p.below, *above = site + p.above;
    return below[p.south] + below[0] + below[p.north] + site[p.south] + site[0] + site[p.north] + above[p.south] +
           above[0] + above[p.north];
}

// The same, not inlined: compilers gather the few of a block that lie apart in vectors, which takes longer than the
// rest.
APART uint32_t lone_column_at(const Place& p, const uint32_t* site) { return column_at(p, site); }

// Packed counts (5 bits a class) over the 27 sites around each site, its own resident cell left out.
KERNEL(contacts)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, const uint32_t* res_hot,
                 const uint32_t* classes, const uint32_t* signature, uint32_t* histogram) {
#if TILES
    sum_neighbourhoods(n, first, ny, nx, low, high, signature,
                       [&](int64_t l, uint32_t sum) { histogram[l] = sum - classes[GET(res_hot[l], HOT_KIND)]; });
#else
    FOR_EACH_EVEN_BLOCK(b, width, n, first, ny, nx) {
        uint32_t own[BLOCK], column[BLOCK + 2];  // column: from one site west of the block to one east of it
        set_z(b, b.floor, low, high);
        const uint32_t* here = signature + b.l;
        for (int j = 0; j < width; ++j) column[j + 1] = column_at(b, here + j);
        column[0] = lone_column_at(b, here + b.west);
        column[width + 1] = lone_column_at(b, here + width - 1 + lane(b, width - 1, ny, nx).east);
        uint32_t* sums = histogram + b.l;
        of_kinds(classes, res_hot + b.l, width, own);
        for (int j = 0; j < width; ++j) sums[j] = column[j] + column[j + 1] + column[j + 2] - own[j];
        for (int64_t j = nx - b.x; j < width;
             j += nx) {  // where rows meet: columns of the other end of the row instead
            sums[j - 1] += lone_column_at(b, here + j - nx) - column[j + 1];
            sums[j] += lone_column_at(b, here + j + nx - 1) - column[j];
        }
    }
#endif
}

// Hit class of a lymphocyte on a target that it sees with either or both of two receptors: of the better one.
DEVICE uint32_t better_hit(uint32_t hot, const uint32_t* rows, const uint32_t* seen_by, uint32_t target,
                           const uint32_t* receptors, const uint32_t* antigens, const uint32_t* losses,
                           const uint8_t* hit_class) {
    uint32_t best = 0u;
    for (uint32_t k = 0; k < 2u; ++k) {
        if (seen_by[k] == 0u) continue;
        const uint32_t level = level_seen(target, receptors[rows[k]], antigens, losses);
        const uint32_t hit = hit_class[256u * rows[k] + 4u * GET(hot, HOT_KIND) + level];
        best = hit > best ? hit : best;
    }
    return best;
}

// Each lymphocyte that meets its antigen engages one target, drawn evenly (words.cuh says how it is noted): an effector
// any resident cell that it sees (sight.cuh), another lymphocyte only antigen-presenting cells. Receptors may be lent
// to it for the step: lent holds, by kind, the row in which receptors, sees and hit_class describe them (0: none),
// armed the chance to hold them by row, x 2^-32. With them each lymphocyte engages whatever shows their antigen; what
// it sees with both it strikes as with the better one (hit classes rise with strength). vigour: chance that an
// engagement strikes, likewise, by exhaustion and whether the target shows a brake antigen. The target is marked as
// struck; struck must be clear before.
KERNEL(engage)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total,
               int64_t shift, uint64_t seed, uint32_t step, uint32_t word, const uint32_t* res_hot,
               const uint32_t* mot_hot, const uint32_t* flags, const uint8_t* sees, const uint32_t* antigens,
               const uint32_t* losses, const uint32_t* receptors, const uint8_t* lent, const uint32_t* armed,
               const uint32_t* vigour, const uint8_t* hit_class, uint8_t* engaged, uint8_t* struck) {
    FOR_EACH_BLOCK_WHERE(mot_hot[l],
                         seen != 0u && (receptors[GET(seen, HOT_SPECIFICITY)] != 0u || lent[GET(seen, HOT_KIND)] != 0u),
                         engaged[l] = 0, b, width, n, first, ny, nx) {
        uint8_t list[ROOM] = {0};
        uint32_t own[BLOCK], borrowed[BLOCK], r[4][BLOCK];
        set_z(b, b.floor, low, high);
        Rows rows(b);
        for (int j = 0; j < width; ++j) engaged[b.l + j] = 0;
        fetch(mot_hot + b.l + 2 * AHEAD, width);  // nobody has looked at it in this phase
        fetch_above(b, res_hot, width);
        fetch_above(b, struck, width);
        const int found = list_filled(mot_hot + b.l, width, list);
        int meeting = 0;
        for (int i = 0; i < found; ++i) {
            const uint32_t hot = mot_hot[b.l + list[i]], specificity = GET(hot, HOT_SPECIFICITY);
            const uint32_t loan = lent[GET(hot, HOT_KIND)];
            const bool effector = (flags[GET(hot, HOT_KIND)] >> FLAG_EFFECTOR) & 1u;
            const uint32_t bit = effector ? SEEN_BY_EFFECTOR : SEEN_BY_OTHERS;
            const Place p = lane(b, list[i], ny, nx);
            rows.turn_to(p);
            uint32_t around[2] = {0u, 0u};
            for (uint32_t k = 0; k < 2u; ++k) {
                const uint32_t row = k == 0u ? specificity : loan;
                if (receptors[row] == 0u || (k == 1u && loan == 0u)) continue;
                bool lost;
                around[k] = seen_around(p, nx, rows, sees + 256u * row, bit, res_hot, &lost);
                if (lost) around[k] = still_showing(p, around[k], receptors[row], res_hot, antigens, losses);
            }
            list[meeting] = list[i];
            own[meeting] = around[0];
            borrowed[meeting] = around[1];
            meeting += (around[0] | around[1]) != 0u;
        }
        philox_listed(seed, global_site(b.l, shift, total), step, word, list, meeting, r);
        for (int i = 0; i < meeting; ++i) {
            const Place p = lane(b, list[i], ny, nx);
            const uint32_t hot = mot_hot[p.l], loan = lent[GET(hot, HOT_KIND)];
            const bool holds = borrowed[i] != 0u && happens(r[1][i], armed[loan]);
            const uint32_t by[2] = {own[i], holds ? borrowed[i] : 0u}, rows_of[2] = {GET(hot, HOT_SPECIFICITY), loan};
            if ((by[0] | by[1]) == 0u) continue;
            const uint32_t m = pick_bit(by[0] | by[1], r[0][i]);
            rows.turn_to(p);
            const int64_t target = rows.site(p, m);
            const uint32_t seen_by[2] = {(by[0] >> m) & 1u, (by[1] >> m) & 1u}, shown = res_hot[target];
            const uint32_t braked = (not_lost(antigens[shown & 255u], shown, losses) & BRAKES) != 0u;
            const bool strikes = happens(r[2][i], vigour[2u * GET(hot, HOT_EXHAUSTION) + braked]);
            const uint32_t hit =
                strikes ? better_hit(hot, rows_of, seen_by, shown, receptors, antigens, losses, hit_class) : 0u;
            engaged[p.l] = uint8_t((m + 1u) | hit << AIM_BITS);
            mark(struck + target);
        }
    }
}
