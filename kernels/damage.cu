// Sub-lethal damage: what hits of the step leave in a resident cell, and what of the earlier ones it repairs.
#include "lattice.cuh"
#include "lists.cuh"
#include "philox.cuh"
#include "sight.cuh"
#include "words.cuh"

// What tells of most cells that nothing happens to them.
struct Hurt {
    uint32_t cold;
    uint8_t struck;
};

// Each level of damage is repaired with the same chance, then the hits of the step leave theirs, at most as many as a
// word has room for; what counts for the fate of a cell in this step was there before (fate.cu), so that this comes
// after it. kept: chance (x 2^-32) that of d levels at most k are left, at 8 d + k; wounding: levels per hit of
// strength 1, their mean: the whole ones, and one more by chance. n_damaged: cells from `begin` to `end` with any
// damage, those that the event of the step will remove among them.
KERNEL(damage)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total,
               int64_t shift, uint64_t seed, uint32_t step, uint32_t word, int64_t begin, int64_t end,
               const uint8_t* engaged, const uint8_t* struck, const float* strength, const uint32_t* kept,
               const float* wounding, uint32_t* res_cold, int64_t* n_damaged) {
    FOR_EACH_BLOCK_WHERE((Hurt{res_cold[l], struck[l]}), seen.struck != 0u || GET(seen.cold, COLD_DAMAGE) != 0u, , b,
                         width, n, first, ny, nx) {
        uint8_t hurt[BLOCK], list[ROOM] = {0};
        uint32_t r[4][BLOCK];
        set_z(b, b.floor, low, high);
        Rows rows(b);
        for (int j = 0; j < width; ++j) hurt[j] = uint8_t(struck[b.l + j] | GET(res_cold[b.l + j], COLD_DAMAGE));
        const int found = list_filled(hurt, width, list);
        philox_listed(seed, global_site(b.l, shift, total), step, word, list, found, r);
        int damaged = 0;
        for (int i = 0; i < found; ++i) {
            const Place p = lane(b, list[i], ny, nx);
            const uint32_t before = GET(res_cold[p.l], COLD_DAMAGE);
            uint32_t level = 0;
            for (uint32_t k = 0; k < before; ++k) level += happens(r[0][i], kept[8u * before + k]) ? 0u : 1u;
            if (struck[p.l] != 0u) {
                rows.turn_to(p);
                const float got = hits_on(p, nx, rows, engaged, strength) * wounding[0];
                const uint32_t whole = uint32_t(got);
                level += whole + uint32_t(r[1][i] < uint32_t((got - float(whole)) * 4294967296.0f));
            }
            if (level > COLD_DAMAGE_MASK) level = COLD_DAMAGE_MASK;
            if (level != before) res_cold[p.l] = PUT(res_cold[p.l], COLD_DAMAGE, level);
            damaged += level != 0u;
        }
        if (damaged != 0 && b.l >= begin && b.l < end) next_of(n_damaged, damaged);
    }
}
