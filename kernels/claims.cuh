// Claims on a word, for cells that ask in any order. strongest leaves the greatest of all values in a word and returns
// what was there before; whoever gets a value there sees what its thread wrote before. latest reads such a word.
// once(act) is what act() returns, which a thread does alone for all that share its element (FOR_EACH_LONG).
#pragma once
#include "portable.cuh"
#ifdef __CUDACC__
DEVICE uint32_t latest(const uint32_t* word) { return *(const volatile uint32_t*)word; }
DEVICE uint32_t strongest(uint32_t* word, uint32_t value) {
    __threadfence();
    const uint32_t before = atomicMax(word, value);
    __threadfence();
    return before;
}
template <typename Act> DEVICE int64_t once(Act act) {
    int64_t value = 0;
    if (lane_number() == 0u) value = act();
    return __shfl_sync(ALL_LANES, value, 0);
}
#else
DEVICE uint32_t latest(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
DEVICE uint32_t strongest(uint32_t* word, uint32_t value) {
    uint32_t before = latest(word);
    bool placed = false;
    while (!placed && before < value)
        placed = __atomic_compare_exchange_n(word, &before, value, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    return before;
}
template <typename Act> DEVICE int64_t once(Act act) { return act(); }
#endif
