// What only a host has: blocks of many sites for its vector units. portable.cuh says what the words mean.
#pragma once
#include "team.cuh"
#define KERNEL(name) extern "C" void abm_##name
#define DEVICE static inline
#define APART static __attribute__((noinline))
#define METHOD inline
// those of the piece that a thread is at
#define FOR_EACH(i, n)                                                                                       \
    for (int64_t i = share_of(n, shares_.begin), end_of_##i = share_of(n, shares_.end); i < end_of_##i; ++i)
#define BLOCK 256
#define ROOM (BLOCK + 64)
#define LANES 8
#define WORDS 64    // of 64 sites, a bit each: a stretch whose sites are listed together,
#define LISTED 256  // unless they are more
#define GROUPS 24   // a block touches at most BLOCK / GATE + 1; whole groups of LANES
#define UNROLL_10 _Pragma("GCC unroll 10")
#define UNROLL_4 _Pragma("GCC unroll 4")
#define PREFETCH(address) __builtin_prefetch(address)
#define AHEAD 256  // sites
#define NOW(step) (step)
// Blocks do not go beyond stretches of `rows` rows; row_ is the first of a stretch.
#define FOR_EACH_STRETCH_IN_PART(rows, local, part, b, width, n, first, ny, nx)                                       \
    FOR_EACH (part, N_PARTS)                                                                                          \
        if (const int64_t planes_ = (n) / ((ny) * (nx)), begin_ = (first) / (nx) + planes_ * part / N_PARTS * (ny),   \
            end_ = (first) / (nx) + planes_ * (part + 1) / N_PARTS * (ny);                                            \
            begin_ < end_)                                                                                            \
            if (local; true)                                                                                          \
                for (int64_t row_ = begin_, next_ = begin_; row_ < end_; row_ = next_)                                \
                    if (next_ += (rows); true)                                                                        \
                        for (Place b = row_start(row_, ny, nx); b.l < next_ * (nx); b = lane(b, BLOCK, ny, nx))       \
                            if (const int width = next_ * (nx) - b.l < BLOCK ? int(next_ * (nx) - b.l) : BLOCK; true)
#define FOR_EACH_BLOCK_IN_PART(local, part, b, width, n, first, ny, nx)   \
    FOR_EACH_STRETCH_IN_PART(ny, local, part, b, width, n, first, ny, nx)
#define FOR_EACH_EVEN_BLOCK(b, width, n, first, ny, nx)                                \
    FOR_EACH_STRETCH_IN_PART(even_rows(row_, ny), , part_, b, width, n, first, ny, nx)
#define FOR_EACH_LONG(i, n) FOR_EACH (i, n)
template <typename Try> DEVICE int64_t first_of(int64_t begin, int64_t end, int64_t none, Try try_out) {
    int64_t value = none;
    for (; begin < end && value == none; ++begin) value = try_out(begin);
    return value;
}
DEVICE int64_t next_of(int64_t* counter, int n = 1) { return __atomic_fetch_add(counter, n, __ATOMIC_RELAXED); }
DEVICE void count(uint32_t* counter, uint32_t n = 1u) { *counter += n; }
DEVICE void mark(uint8_t* flag) { __atomic_store_n(flag, uint8_t(1), __ATOMIC_RELAXED); }
DEVICE uint32_t latest(const uint32_t* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
DEVICE uint32_t strongest(uint32_t* word, uint32_t value) {
    uint32_t before = latest(word);
    bool placed = false;
    while (!placed && before < value)
        placed = __atomic_compare_exchange_n(word, &before, value, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    return before;
}
template <typename Act> DEVICE int64_t once(Act act) { return act(); }
// Not written as a selection: a compiler may make a branch of it, and directions are random, so it is predicted wrong.
DEVICE int64_t select(bool holds, int64_t yes, int64_t no) { return no ^ (-int64_t(holds) & (yes ^ no)); }
DEVICE bool eight_zeros(const uint8_t* bytes) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word == 0u;
}
DEVICE uint32_t lowest_bit(uint32_t bits) { return uint32_t(__builtin_ctz(bits)); }
DEVICE uint32_t bit_count(uint32_t bits) { return uint32_t(__builtin_popcount(bits)); }
#if defined(__AVX512VBMI2__) && defined(__AVX512VBMI__) && defined(__BMI2__)
#define HAS_AVX512
#include <immintrin.h>
#endif
