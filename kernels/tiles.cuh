// Sums over neighbourhoods by warps, whose lanes hold neighbours in a row.
#pragma once
#include "portable.cuh"

#if TILES
// What a warp sums: all of a row but what its first and its last lane hold, over some rows one after another.
#define TILE_X int64_t(WARP - 2u)
#define TILE_Y 16

// put(l, sum): the sum of the words of the 27 sites around site l, for n sites (whole planes) from `first` on; x and y
// are periodic, z from `low` to `high` (lattice.cuh). Every row of a tile is read once, its sums over nine sites serve
// three rows.
template <typename Put>
DEVICE void sum_neighbourhoods(int64_t n, int64_t first, int64_t ny, int64_t nx, int64_t low, int64_t high,
                               const uint32_t* words, Put put) {
    const int64_t plane = ny * nx, warps = int64_t(gridDim.x) * THREADS / WARP;
    const uint32_t across = uint32_t((nx + TILE_X - 1) / TILE_X), along = uint32_t((ny + TILE_Y - 1) / TILE_Y);
    const int64_t tiles = n / plane * across * along;
    for (int64_t t = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / WARP; t < tiles; t += warps) {
        const int64_t strip = t / across, z = strip / along, y = strip % along * TILE_Y;
        const int64_t unwrapped = t % across * TILE_X + lane_number() - 1, x = (unwrapped + nx) % nx;
        const int64_t top = y + TILE_Y < ny ? y + TILE_Y : ny, origin = first + z * plane + x;
        const bool inside = lane_number() != 0u && lane_number() != WARP - 1u && unwrapped < nx;
        const int64_t floor = first + z * plane, below = floor == low ? high - low : -plane,
                      above = floor == high ? low - high : plane;
        const auto column = [&](int64_t row) {  // sum over three planes
            const uint32_t* here = words + origin + (row < 0 ? ny - 1 : (row < ny ? row : 0)) * nx;
            return here[below] + here[0] + here[above];
        };
        uint32_t before = 0, middle = 0, coming = column(y - 1);  // the first two: sums over nine sites
        for (int64_t row = y - 1; row <= top; ++row) {
            const uint32_t three = coming;
            if (row < top) coming = column(row + 1);  // under way while this row is summed
            const uint32_t nine = three + __shfl_up_sync(ALL_LANES, three, 1) + __shfl_down_sync(ALL_LANES, three, 1);
            if (inside && row > y) put(origin + (row - 1) * nx, before + middle + nine);
            before = middle;
            middle = nine;
        }
    }
}
#endif
