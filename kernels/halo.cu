// Cells of a sparse layer on their way to a neighbouring slab: a list of them is shorter than the planes they are on.
#include "lattice.cuh"
#include "lists.cuh"

// List the cells of planes that begin at site `first`: site counted from there, hot and cold word, in any order.
KERNEL(pack)(int64_t n, int64_t first, int64_t ny, int64_t nx, const uint32_t* hot, const uint32_t* cold,
             int64_t* n_listed, uint32_t* listed) {
    FOR_EACH_BLOCK(b, width, n, first, ny, nx) {
        uint8_t list[ROOM];
        const int found = list_filled(hot + b.l, width, list);
        uint32_t* to = listed + 3 * (found ? next_of(n_listed, found) : 0);
        for (int i = 0; i < found; ++i, to += 3) {
            const int64_t l = b.l + list[i];
            to[0] = uint32_t(l - first);
            to[1] = hot[l];
            to[2] = cold[l];
        }
    }
}

// Put n listed cells on planes that begin at site `first`, where no cell is.
KERNEL(unpack)(int64_t n, int64_t first, const uint32_t* listed, uint32_t* hot, uint32_t* cold) {
    FOR_EACH (i, n) {
        const int64_t l = first + listed[3 * i];
        hot[l] = listed[3 * i + 1];
        cold[l] = listed[3 * i + 2];
    }
}
