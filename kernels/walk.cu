// Phase 6, all sub-steps of a step: the walk of motile.cu, equal to the bit, for lattices where most sites hold no
// lymphocyte. What bids and hops must know of a site is one byte (`stand`, written by `muster`, kept by
// `hop_mustered`), and who bids is a bit; the words of a cell are touched only where it moves. A bid is not written
// down: whoever wants to know direction and priority draws them again.
//
// The bits of a plane begin with a word of their own; bits beyond its end are 0.
#include "lattice.cuh"
#include "lists.cuh"
#include "philox.cuh"
#include "words.cuh"

// A site: its plane in the slab and its number in the plane.
struct Spot {
    int64_t z, o;
};

// The planes of a slab.
struct Planes {
    int64_t nx, plane, words;  // words: of 64 bits, of a plane
    int64_t lowest, highest;   // planes of a ring that are neighbours, else -1
    uint64_t per_row;          // as in Place

    METHOD int64_t site(const Spot& s) const { return s.z * plane + s.o; }
    METHOD int64_t word(const Spot& s) const { return s.z * words + (s.o >> 6); }
    METHOD bool has(const uint64_t* bits, const Spot& s) const { return (bits[word(s)] >> (s.o & 63)) & 1u; }

    // The neighbour in direction d (lattice.cuh).
    METHOD Spot beside(const Spot& s, uint32_t d) const {
        const int64_t x = s.o - int64_t(uint64_t(s.o) * per_row >> 48) * nx;
        const int64_t below = select(s.z == lowest, highest - lowest, -1);
        const int64_t above = select(s.z == highest, lowest - highest, 1);
        const int64_t south = select(s.o < nx, plane - nx, -nx), north = select(s.o >= plane - nx, nx - plane, nx);
        const int64_t west = select(x == 0, nx - 1, -1), east = select(x == nx - 1, 1 - nx, 1);
        const int64_t down = select(d == 2u, south, west), up = select(d == 3u, north, east);
        return {s.z + select(d == 0u, below, select(d == 1u, above, 0)),
                s.o + select(d < 2u, 0, select((d & 1u) != 0u, up, down))};
    }
};

DEVICE Planes planes_of(int64_t ny, int64_t nx, int64_t low, int64_t high) {
    const int64_t plane = ny * nx;
    return {nx,
            plane,
            (plane + 63) / 64,
            low < 0 ? -1 : low / plane,
            high < 0 ? -1 : high / plane,
            ((uint64_t(1) << 48) + uint64_t(nx) - 1u) / uint64_t(nx)};
}

// Up to WORDS words of a plane.
struct Stretch {
    int64_t z, begin, end;
};

DEVICE int64_t stretches_of(const Planes& at) { return (at.words + WORDS - 1) / WORDS; }

// Stretch number k of the planes from site `first` on.
DEVICE Stretch stretch_at(const Planes& at, int64_t first, int64_t k) {
    const int64_t per_plane = stretches_of(at), begin = k % per_plane * WORDS, end = begin + WORDS;
    return {first / at.plane + k / per_plane, begin, end < at.words ? end : at.words};
}

// List the sites of a stretch whose bit is set until the list is full: their sites, counted from the first of the
// stretch, which then begins where the list ends. word(w): the bits of word w.
template <typename Word> DEVICE int list_bits(Stretch& left, uint16_t* list, Word word) {
    const int64_t begin = left.begin;
    int found = 0;
    for (; left.begin < left.end && found <= LISTED - 64; ++left.begin)
        found = append(word(left.begin), int(left.begin - begin) * 64, list, found);
    return found;
}

// Where a bidder goes: by the second of its random words. The first decides whether it tries, the third is its
// priority.
DEVICE uint32_t direction_of(uint32_t r) { return uint32_t((uint64_t(r) * 6u) >> 32); }

// What stands on a site, in one byte: the kind of its lymphocyte, counted from FIRST_MOTILE and 1, or 0.
#define STANDS 31u
#define BARRED 32u  // not marrow: nobody can come
#define HOLDS 64u   // noted as engaged: who is there stays, also who comes later
static_assert(N_KINDS - FIRST_MOTILE < 32, "a kind has five bits");

// Who stands where.
KERNEL(muster)(int64_t n, int64_t first, const uint32_t* mot_hot, const uint8_t* tissue, const uint8_t* engaged,
               uint8_t* stand) {
    FOR_EACH (block, (n + BLOCK - 1) / BLOCK) {
        const int64_t done = block * BLOCK, l = first + done;
        const int width = n - done < BLOCK ? int(n - done) : BLOCK;
        for (int j = 0; j < width; ++j) {
            const uint32_t hot = mot_hot[l + j];
            const uint32_t kind = hot == 0u ? 0u : GET(hot, HOT_KIND) - (FIRST_MOTILE - 1u);
            const uint32_t barred = (tissue[l + j] & TISSUE_MASK) == TISSUE_MARROW ? 0u : BARRED;
            stand[l + j] = uint8_t(kind | barred | (engaged[l + j] == 0u ? 0u : HOLDS));
        }
    }
}

// Bids: a walker, which is a lymphocyte that nothing holds, tries one of six directions, if nobody stands there.
KERNEL(bid_mustered)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total,
                     int64_t shift, uint64_t seed, uint32_t step, uint32_t word, const uint32_t* hop,
                     const uint8_t* stand, uint64_t* bidders) {
    const Planes at = planes_of(ny, nx, low, high);
    FOR_EACH (k, n / at.plane * stretches_of(at)) {
        Stretch left = stretch_at(at, first, k);
        const uint8_t* floor = stand + left.z * at.plane;
        const uint64_t global = global_site(left.z * at.plane, shift, total);
        while (left.begin < left.end) {
            uint16_t list[LISTED + 64] = {0};
            uint32_t r[4][LISTED];
            uint64_t bids[WORDS] = {0};
            const int64_t word_0 = left.begin, site_0 = word_0 * 64;
            const int found = list_bits(left, list, [&](int64_t w) {
                const int64_t rest = at.plane - w * 64;
                const int width = rest < 64 ? int(rest) : 64;
                PREFETCH(floor + at.plane + (w + WORDS) * 64);
                return masked_bits(floor + w * 64, STANDS, width) & ~masked_bits(floor + w * 64, HOLDS, width);
            });
            philox_listed(seed, global + uint64_t(site_0), step, word, list, found, r);
            for (int i = 0; i < found; ++i) {  // without branches: random ones are predicted wrong
                const Spot own = {left.z, site_0 + list[i]};
                const bool tries = r[0][i] < hop[(floor[own.o] & STANDS) + (FIRST_MOTILE - 1u)];
                const uint8_t there = stand[at.site(at.beside(own, direction_of(r[1][i])))];
                bids[list[i] >> 6] |= uint64_t(tries & ((there & (STANDS | BARRED)) == 0u)) << (list[i] & 63);
            }
            for (int64_t w = word_0; w < left.begin; ++w) bidders[left.z * at.words + w] = bids[w - word_0];
        }
    }
}

// Directions (bit d) in which a neighbour of a site lies that bids for a site.
DEVICE uint32_t bidders_around(const Planes& at, const Spot& s, const uint64_t* bidders) {
    uint32_t found = 0;
    for (uint32_t d = 0; d < 6u; ++d) found |= uint32_t(at.has(bidders, at.beside(s, d))) << d;
    return found;
}

// Whether no other bidder for the site at `target` is stronger than the one in direction d of it, whose priority is
// given; others: directions in which bidders are.
DEVICE bool prevails(const Planes& at, const Spot& target, uint32_t d, uint32_t priority, uint32_t others,
                     uint64_t seed, uint32_t step, uint32_t word, int64_t total, int64_t shift) {
    const uint64_t own = global_site(at.site(at.beside(target, d)), shift, total);
    for (; others != 0u; others &= others - 1u) {
        const uint32_t e = lowest_bit(others);
        const uint64_t site = global_site(at.site(at.beside(target, e)), shift, total);
        uint32_t r[4];
        philox(seed, site, step, word, r);
        if (direction_of(r[1]) == (e ^ 1u) && stronger(r[2], site, priority, own)) return false;
    }
    return true;
}

// Bidders of a stretch, with what they draw and where they want to go.
struct Bids {
    int64_t z, site;  // plane, and the site of it from which the list counts
    int n;
    uint16_t list[LISTED + 64];
    uint32_t r[4][LISTED];
    int64_t to_z[LISTED], to_o[LISTED];

    METHOD Spot own(int i) const { return {z, site + list[i]}; }
    METHOD Spot target(int i) const { return {to_z[i], to_o[i]}; }
    METHOD uint32_t direction(int i) const { return direction_of(r[1][i]); }
};

// A bidder that wins hops. Only sites from `begin` to `end` are written.
KERNEL(hop_mustered)(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high, int64_t total,
                     int64_t shift, uint64_t seed, uint32_t step, uint32_t word, int64_t begin, int64_t end,
                     const uint64_t* bidders, uint32_t* mot_hot, uint32_t* mot_cold, uint8_t* stand) {
    const Planes at = planes_of(ny, nx, low, high);
    const auto hops = [&](const Bids& bids) {
        uint32_t others[LISTED];
        for (int i = 0; i < bids.n; ++i) others[i] = bidders_around(at, bids.target(i), bidders);
        for (int i = 0; i < bids.n; ++i) {
            const int64_t l = at.site(bids.own(i)), t = at.site(bids.target(i));
            const bool here = l >= begin && l < end, there = t >= begin && t < end;
            const uint32_t d = bids.direction(i) ^ 1u, rivals = others[i] & ~(1u << d);
            if (!(here || there) || (rivals != 0u && !prevails(at, bids.target(i), d, bids.r[2][i], rivals, seed, step,
                                                               word, total, shift)))
                continue;
            if (there) {
                mot_hot[t] = mot_hot[l];
                mot_cold[t] = mot_cold[l];
                stand[t] = uint8_t(stand[t] | (stand[l] & STANDS));
            }
            if (here) {
                mot_hot[l] = mot_cold[l] = 0u;
                stand[l] = uint8_t(stand[l] & ~STANDS);
            }
        }
    };
    Bids two[2];  // the cells of one are on their way from memory while those of the other hop
    int turn = 0;
    for (Bids& bids : two) bids.n = 0, memset(bids.list, 0, sizeof bids.list);
    FOR_EACH (k, n / at.plane * stretches_of(at)) {
        Stretch left = stretch_at(at, first, k);
        while (left.begin < left.end) {
            Bids& bids = two[turn];
            bids.z = left.z;
            bids.site = left.begin * 64;
            bids.n = list_bits(left, bids.list, [&](int64_t w) {
                if ((w & 7) == 0) PREFETCH(bidders + (left.z + 1) * at.words + w + WORDS);
                return bidders[left.z * at.words + w];
            });
            philox_listed(seed, global_site(left.z * at.plane, shift, total) + uint64_t(bids.site), step, word,
                          bids.list, bids.n, bids.r);
            for (int i = 0; i < bids.n; ++i) {
                const Spot target = at.beside(bids.own(i), bids.direction(i));
                bids.to_z[i] = target.z;
                bids.to_o[i] = target.o;
            }
            for (int i = 0; i < bids.n; ++i) {
                const int64_t l = at.site(bids.own(i)), t = at.site(bids.target(i));
                PREFETCH(mot_hot + l);
                PREFETCH(mot_cold + l);
                PREFETCH(mot_hot + t);
                PREFETCH(mot_cold + t);
                PREFETCH(stand + l);
                PREFETCH(stand + t);
            }
            turn ^= 1;
            hops(two[turn]);
        }
    }
    hops(two[turn ^ 1]);
}
