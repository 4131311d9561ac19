// Contact with stroma.
#pragma once
#include "lattice.cuh"
#include "words.cuh"

// Whether a site or one that shares a face with it holds stroma: 1 or 0.
DEVICE uint32_t touches_stroma(const Place& p, const uint8_t* tissue) {
    uint32_t touches = tissue[p.l];
    for (uint32_t d = 0; d < 6u; ++d) touches |= tissue[neighbour(p, d)];
    return (touches >> STROMA_SHIFT) & 1u;
}
