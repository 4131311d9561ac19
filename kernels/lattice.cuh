// Site arithmetic of a slab: local arrays hold halo planes, y and x are periodic, z runs into the halo. A slab that is
// the whole lattice needs no halo: there z is periodic too, from `low` to `high`, the first sites of its lowest and its
// highest plane. Elsewhere both are -1.
#pragma once
#include "portable.cuh"

// A local site and the offsets to its neighbours, divisions done once.
struct Place {
    int64_t l, plane;                                // local site, sites of a plane
    int64_t x, y, floor;                             // floor: first site of its plane
    uint64_t per_row;                                // 2^48 / nx, rounded up: x * per_row >> 48 is x / nx
    int64_t below, above, south, north, west, east;  // offsets to -z, +z, -y, +y, -x, +x
};

DEVICE void set_x(Place& p, int64_t x, int64_t nx) {
    p.x = x;
    p.west = select(x == 0, nx - 1, -1);
    p.east = select(x == nx - 1, 1 - nx, 1);
}

DEVICE void set_y(Place& p, int64_t y, int64_t ny, int64_t nx) {
    p.y = y;
    p.south = y == 0 ? p.plane - nx : -nx;
    p.north = y == ny - 1 ? nx - p.plane : nx;
}

DEVICE void set_z(Place& p, int64_t floor, int64_t low, int64_t high) {
    p.floor = floor;
    p.below = select(floor == low, high - low, -p.plane);
    p.above = select(floor == high, low - high, p.plane);
}

// First site of a row (rows are counted through all planes).
DEVICE Place row_start(int64_t row, int64_t ny, int64_t nx) {
    Place p;
    p.l = row * nx;
    p.plane = ny * nx;
    p.per_row = ((uint64_t(1) << 48) + uint64_t(nx) - 1u) / uint64_t(nx);
    set_y(p, row >> 32 == 0 ? int64_t(uint32_t(row) % uint32_t(ny)) : row % ny, ny, nx);
    set_x(p, 0, nx);
    set_z(p, p.l - p.y * nx, -1, -1);
    return p;
}

// How many rows from this one on have their neighbours in y at the same offsets.
DEVICE int64_t even_rows(int64_t row, int64_t ny) {
    const int64_t y = row % ny;
    return y == 0 || y == ny - 1 ? 1 : ny - 1 - y;
}

DEVICE Place place_at(int64_t l, int64_t ny, int64_t nx) {
    // a division of 32 bits costs a GPU a small part of one of 64
    const int64_t row = l >> 32 == 0 ? int64_t(uint32_t(l) / uint32_t(nx)) : l / nx;
    Place p = row_start(row, ny, nx);
    set_x(p, l - row * nx, nx);
    p.l = l;
    return p;
}

// Site j of a block, in its row or one of the next. No further than BLOCK sites, and rows are shorter than 2^24.
DEVICE Place lane(const Place& block, int j, int64_t ny, int64_t nx) {
#if BLOCK == 1
    return block;
#else
    Place p = block;
    const int64_t x = block.x + j, rows = int64_t(uint64_t(x) * block.per_row >> 48);
    p.l += j;
    set_x(p, x - rows * nx, nx);
    set_y(p, block.y + rows, ny, nx);
    return p;
#endif
}

// Global site of local site l. shift = global index of local site 0 (modulo the lattice).
DEVICE uint64_t global_site(int64_t l, int64_t shift, int64_t total) {
    int64_t g = l + shift;
    while (g >= total) g -= total;
    return uint64_t(g);
}

// Neighbour in direction d: 0 -z, 1 +z, 2 -y, 3 +y, 4 -x, 5 +x; the opposite of d is d ^ 1.
DEVICE int64_t neighbour(const Place& p, uint32_t d) {
    const int64_t down = select(d < 2u, p.below, select(d < 4u, p.south, p.west));
    const int64_t up = select(d < 2u, p.above, select(d < 4u, p.north, p.east));
    return p.l + select((d & 1u) != 0u, up, down);
}

// The neighbour in direction d as a place.
DEVICE Place moved(const Place& p, uint32_t d, int64_t ny, int64_t nx, int64_t low, int64_t high) {
    Place q = p;
    q.l = neighbour(p, d);
    const int64_t x = p.x + select(d == 4u, p.west, select(d == 5u, p.east, 0));
    const int64_t y = p.y + select(d == 2u, -1, select(d == 3u, 1, 0));
    set_x(q, x, nx);
    set_y(q, select(y < 0, ny - 1, select(y == ny, 0, y)), ny, nx);
    set_z(q, p.floor + select(d == 0u, p.below, select(d == 1u, p.above, 0)), low, high);
    return q;
}

// Site m of the 27-neighbourhood: m = (dz + 1) * 9 + (dy + 1) * 3 + (dx + 1); seen from there, this site is 26 - m.
DEVICE int64_t near_site(const Place& p, uint32_t m) {
    const uint32_t dz = m / 9u, dy = (m / 3u) % 3u, dx = m % 3u;
    return p.l + select(dz == 0u, p.below, select(dz == 2u, p.above, 0)) +
           select(dy == 0u, p.south, select(dy == 2u, p.north, 0)) +
           select(dx == 0u, p.west, select(dx == 2u, p.east, 0));
}

// Ask for values that will be needed soon.
template <typename T> DEVICE void fetch(const T* values, int width) {
    for (int j = 0; j < width; j += 64 / int(sizeof(T))) PREFETCH(values + j);
}

// The same for what a later block will need of the plane above it, the first in which it looks; its own plane and the
// one below are in the caches by then.
template <typename T> DEVICE void fetch_above(const Place& b, const T* values, int width) {
    fetch(values + b.l + b.above + AHEAD, width);
}
