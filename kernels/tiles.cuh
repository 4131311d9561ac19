// Sums over neighbourhoods through memory that the threads of a block share.
#pragma once
#include "portable.cuh"

#if TILES
// Sites that a block sums at a time: a row of a warp's length for each warp, some planes one after another.
#define TILE_X int64_t(WARP)
#define TILE_Y int64_t(THREADS / WARP)
#define TILE_Z 8

// Load a plane of a tile and the sites around it; x, y: its first site; y and x are periodic.
DEVICE void load_tile(const uint32_t* plane, int64_t x, int64_t y, int64_t ny, int64_t nx,
                      uint32_t tile[TILE_Y + 2][TILE_X + 2]) {
    for (uint32_t k = threadIdx.x; k < (TILE_Y + 2) * (TILE_X + 2); k += THREADS) {
        const uint32_t i = k % (TILE_X + 2), j = k / (TILE_X + 2);
        const int64_t at_x = x + i - 1, at_y = y + j - 1;
        if (at_x > nx || at_y > ny) continue;  // a tile over the edge: nobody needs it
        const int64_t row = at_y < 0 ? ny - 1 : (at_y == ny ? 0 : at_y);
        tile[j][i] = plane[row * nx + (at_x < 0 ? nx - 1 : (at_x == nx ? 0 : at_x))];
    }
}

// put(l, sum): the sum of the words of the 27 sites around site l, for n sites (whole planes) from `first` on. Every
// plane of a tile is read once, its sums over nine sites serve three planes.
template <typename Put>
DEVICE void sum_neighbourhoods(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* words, Put put) {
    SHARED uint32_t tile[TILE_Y + 2][TILE_X + 2];
    const uint32_t i = threadIdx.x % WARP, j = threadIdx.x / WARP;
    const int64_t planes = n / (ny * nx), across = (nx + TILE_X - 1) / TILE_X, along = (ny + TILE_Y - 1) / TILE_Y;
    const int64_t tiles = across * along * ((planes + TILE_Z - 1) / TILE_Z);
    for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const int64_t x = t % across * TILE_X, y = t / across % along * TILE_Y, z = t / across / along * TILE_Z;
        const int64_t top = z + TILE_Z < planes ? z + TILE_Z : planes, column = first + (y + j) * nx + x + i;
        const bool inside = x + i < nx && y + j < ny;
        uint32_t below = 0, middle = 0;  // sums over nine sites of the two planes before
        for (int64_t at = z - 1; at <= top; ++at) {
            __syncthreads();  // all have read the plane before
            load_tile(words + first + at * ny * nx, x, y, ny, nx, tile);
            __syncthreads();
            uint32_t nine = 0;
            for (uint32_t k = 0; k < 9u; ++k) nine += tile[j + k / 3u][i + k % 3u];
            if (inside && at > z) put(column + (at - 1) * ny * nx, below + middle + nine);
            below = middle;
            middle = nine;
        }
    }
}
#endif
