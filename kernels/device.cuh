// What only a GPU has: threads in warps and blocks, and memory that a block shares. portable.cuh says what the words
// mean.
//
// Three forms are faster than a thread per site, and each can be left out (-DGATHER=0, ...) to measure what it brings:
// GATHER visits the sites that matter with full warps, SHARED_COUNTS counts in the memory of a block, TILES sums
// neighbourhoods there. THREADS is the size of a block.
#pragma once
#define KERNEL(name) extern "C" __global__ void __launch_bounds__(THREADS) abm_##name
#define DEVICE static __device__ inline
#define APART DEVICE
#define METHOD __device__ inline
#define SHARED __shared__
#define FOR_EACH(i, n)                                                                                              \
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < (n); i += int64_t(gridDim.x) * blockDim.x)
#define BLOCK 1
#define ROOM 1
#define LANES 1
#define WORDS 1
#define LISTED 64
#define UNROLL_10 _Pragma("unroll")
#define PREFETCH(address) (void)(address)
#define AHEAD 0
// Any part will do, as long as few blocks share one.
#define FOR_EACH_BLOCK_IN_PART(local, part, b, width, n, first, ny, nx) \
    if (const int64_t part = blockIdx.x % N_PARTS; true)                \
        if (local; true)                                                \
            FOR_EACH (i_, n)                                            \
                if (Place b = place_at((first) + i_, ny, nx); true)     \
                    if (constexpr int width = 1; true)
DEVICE int64_t next_of(int64_t* counter, int n = 1) {
    return int64_t(atomicAdd((unsigned long long*)counter, (unsigned long long)n));
}
DEVICE void count(uint32_t* counter, uint32_t n = 1u) { atomicAdd(counter, n); }
DEVICE void mark(uint8_t* flag) { *flag = 1; }
// Written so that the compiler sees what it is: of masks NVRTC 13.0 made wrong moves for sm_90.
DEVICE int64_t select(bool holds, int64_t yes, int64_t no) { return holds ? yes : no; }
DEVICE bool eight_zeros(const uint8_t*) { return false; }
DEVICE uint32_t lowest_bit(uint32_t bits) { return uint32_t(__ffs(int(bits)) - 1); }
DEVICE uint32_t bit_count(uint32_t bits) { return uint32_t(__popc(bits)); }

// A recorded launch holds the step it was recorded in; what has to be added to it stands in memory.
#if GRAPHS
static __device__ uint32_t base_step;
extern "C" __global__ void abm_set_base_step(uint32_t step) { base_step = step; }
#define NOW(step) ((step) + base_step)
#else
#define NOW(step) (step)
#endif

#define WARP 32u
#define ALL_LANES 0xFFFFFFFFu
// Sites that a lane looks at before its warp visits some: so many loads are under way at once. Where it has to judge by
// more than a word, more of them cost more registers than they bring.
#define MOST_LOOKS 16
#define FEW_LOOKS 4
DEVICE uint32_t lane_number() { return threadIdx.x % WARP; }

// Elements that a warp has to itself.
#define FOR_EACH_LONG(i, n)                                                            \
    for (int64_t i = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / WARP; i < (n); \
         i += int64_t(gridDim.x) * blockDim.x / WARP)
template <typename Try> DEVICE int64_t first_of(int64_t begin, int64_t end, int64_t none, Try try_out) {
    for (; begin < end; begin += WARP) {
        const int64_t j = begin + lane_number(), value = j < end ? try_out(j) : none;
        const uint32_t set = __ballot_sync(ALL_LANES, value != none);
        if (set != 0u) return __shfl_sync(ALL_LANES, value, int(lowest_bit(set)));
    }
    return none;
}

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

#if GATHER
// The sites that wait for a warp to visit them, as numbers among those it looks at.
DEVICE uint32_t* waiting_of_warp() {
    SHARED uint32_t waiting[THREADS / WARP][WARP + WARP * MOST_LOOKS];
    return waiting[threadIdx.x / WARP];
}

// A warp looks at stretches of sites and keeps those `where` holds; when it has one for each lane, it visits them.
// Few sites matter (a twentieth holds a lymphocyte, one cell in fifty has an event), and a warp takes as long for one
// of its lanes as for all. share: called by all lanes before a stretch; look: loads what `where` judges by, of a whole
// stretch before the first is judged, or each site would wait for memory on its own; clear: writes what a site that is
// not visited must hold. The order of the visits means nothing.
template <typename Share, typename Look, typename Where, typename Clear> struct Gathered {
    Share share;
    Look look;
    Where where;
    Clear clear;
    int64_t begin, end, site;  // begin: first site of the first stretch; site: that of this lane, -1 if it has none
    uint32_t* waiting;
    uint32_t n_waiting, passed;  // passed: stretches
    static constexpr uint32_t looks = sizeof(decltype(look(0))) > 4 ? FEW_LOOKS : MOST_LOOKS, stretch = WARP * looks;

    // First site of a stretch: those of all warps lie between one and the next.
    METHOD int64_t start(uint32_t number) {
        return begin + int64_t(number) * (int64_t(gridDim.x) * blockDim.x * looks);
    }

    METHOD bool more() {
        __syncwarp();  // lanes whose visits differed go on together
        while (n_waiting < WARP && start(passed) < end) pass();
        const uint32_t taken = n_waiting < WARP ? n_waiting : WARP;
        n_waiting -= taken;
        site = -1;
        if (lane_number() < taken) {
            const uint32_t number = waiting[n_waiting + lane_number()];
            site = start(number / stretch) + number % stretch;
        }
        return taken != 0u;
    }

    METHOD void pass() {
        const int64_t l = start(passed) + lane_number();
        decltype(look(l)) seen[looks];
#pragma unroll
        for (int k = 0; k < looks; ++k)
            if (l + k * WARP < end) seen[k] = look(l + k * WARP);
        share(l - lane_number());
#pragma unroll
        for (int k = 0; k < looks; ++k) {
            const bool kept = l + k * WARP < end && where(l + k * WARP, seen[k]);
            const uint32_t set = __ballot_sync(ALL_LANES, kept), below = (1u << lane_number()) - 1u;
            if (kept) waiting[n_waiting + bit_count(set & below)] = passed * stretch + k * WARP + lane_number();
            n_waiting += bit_count(set);
            if (l + k * WARP < end) clear(l + k * WARP);
        }
        ++passed;
        __syncwarp();
    }
};

template <typename Share, typename Look, typename Where, typename Clear>
DEVICE Gathered<Share, Look, Where, Clear> gather(int64_t n, int64_t first, Share share, Look look, Where where,
                                                  Clear clear) {
    const int64_t warp = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / WARP;
    constexpr int64_t stretch = Gathered<Share, Look, Where, Clear>::stretch;
    return {share, look, where, clear, first + warp * stretch, first + n, -1, waiting_of_warp(), 0u, 0u};
}

#define FOR_EACH_BLOCK_IN_PART_WHERE(share, look, where, clear, local, part, b, width, n, first, ny, nx) \
    if (const int64_t part = blockIdx.x % N_PARTS; true)                                                 \
        if (local; true)                                                                                 \
            for (auto gathered_ = gather(                                                                \
                     n, first, [&](int64_t l) { share; }, [&](int64_t l) { return look; },               \
                     [&](int64_t l, const auto& seen) { return where; }, [&](int64_t l) { clear; });     \
                 gathered_.more();)                                                                      \
                if (gathered_.site >= 0)                                                                 \
                    if (Place b = place_at(gathered_.site, ny, nx); true)                                \
                        if (constexpr int width = 1; true)
#endif
