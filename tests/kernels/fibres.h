// A GPU on the CPU: the threads of a block are fibres, which run one after another until they wait for their warp or
// their block. It stands before the CUDA sources, which are then compiled as C++.
//
// A block runs in a given order of its threads: upwards, downwards, or any, changed at every wait and within atomic
// operations too. So a value that is read before the thread that writes it has surely run differs between orders.
// Shared memory holds rubbish when a block begins. Threads that wait for others that have ended, or that wait
// elsewhere, are an error; a GPU may hang there.
#include <algorithm>
#include <functional>
#include <numeric>
#include <random>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>
#include <vector>

#define __CUDACC__
#define __global__
#define __device__
#define __launch_bounds__(threads)
#define __shared__ static __attribute__((section("abm_shared")))
extern "C" unsigned char __start_abm_shared[] __attribute__((weak, visibility("hidden")));
extern "C" unsigned char __stop_abm_shared[] __attribute__((weak, visibility("hidden")));

struct Dimension {
    unsigned x;
};
static Dimension blockIdx, blockDim, gridDim, threadIdx;

namespace fibres {

enum Wait { NONE, WARP_WIDE, BLOCK_WIDE, ENDED };
enum Order { UPWARDS, DOWNWARDS };  // any other number: seed of a random order

struct Fibre {
    ucontext_t context;
    Wait wait;
    const char* at;
    uint64_t given;
    std::vector<char> stack = std::vector<char>(1 << 16);
};

static std::vector<Fibre> all;
static std::vector<uint64_t> results;  // what the lanes gave when their warp last met
static ucontext_t scheduler;
static std::function<void()> kernel;
static unsigned current, order;
static std::mt19937 any;
static char problem[200];

static void enter() {
    kernel();
    all[current].wait = ENDED;
}

static __attribute__((noinline)) void wait(Wait wait, const char* at, uint64_t given = 0) {
    Fibre& own = all[current];
    own.wait = wait;
    own.at = at;
    own.given = given;
    swapcontext(&own.context, &scheduler);
}

static uint64_t* meet(const char* at, uint64_t given) {
    wait(WARP_WIDE, at, given);
    return &results[current / 32 * 32];
}

// In an atomic operation others may come first.
static void atomic() {
    if (order > DOWNWARDS && any() % 4 == 0) wait(NONE, "");
}

static bool refuse(unsigned thread, const char* why) {
    snprintf(problem, sizeof problem, "block %u, thread %u, in %s: %s", blockIdx.x, thread, all[thread].at, why);
    return false;
}

// Let go on who waits in threads begin .. end - 1, if all of them wait for the same.
static bool release(unsigned begin, unsigned end, Wait wait) {
    for (unsigned k = begin; k < end; ++k) {
        if (all[k].wait == ENDED) return refuse(begin, "waits for a thread that has ended");
        if (all[k].wait != wait || strcmp(all[k].at, all[begin].at) != 0) return refuse(k, "threads wait apart");
    }
    for (unsigned k = begin; k < end; ++k) {
        results[k] = all[k].given;
        all[k].wait = NONE;
    }
    return true;
}

static bool release_all() {
    const unsigned n = blockDim.x;
    bool released = false;
    for (unsigned begin = 0; begin < n; begin += 32) {
        const auto is_warp_wide = [](const Fibre& f) { return f.wait == WARP_WIDE; };
        const auto found = std::find_if(all.begin() + begin, all.begin() + begin + 32, is_warp_wide);
        if (found == all.begin() + begin + 32) continue;
        if (!release(begin, begin + 32, WARP_WIDE)) return false;
        released = true;
    }
    return released || release(0, n, BLOCK_WIDE);
}

static bool run_block() {
    std::fill(__start_abm_shared, __stop_abm_shared, 0xA5);  // there may be none
    std::vector<unsigned> turns(blockDim.x);
    std::iota(turns.begin(), turns.end(), 0u);
    for (unsigned k : turns) {
        Fibre& fibre = all[k];
        fibre.wait = NONE;
        fibre.at = "";
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = fibre.stack.size();
        fibre.context.uc_link = &scheduler;
        makecontext(&fibre.context, enter, 0);
    }
    for (;;) {
        if (order == DOWNWARDS) std::sort(turns.rbegin(), turns.rend());
        if (order > DOWNWARDS) std::shuffle(turns.begin(), turns.end(), any);
        bool ran = false;
        for (unsigned k : turns) {
            if (all[k].wait != NONE) continue;
            current = threadIdx.x = k;
            swapcontext(&scheduler, &all[k].context);
            ran = true;
        }
        if (ran) continue;
        if (std::all_of(turns.begin(), turns.end(), [](unsigned k) { return all[k].wait == ENDED; })) return true;
        if (!release_all()) return false;
    }
}

// Run a kernel over the grid; returns what went wrong, or nothing.
static const char* run(std::function<void()> call) {
    kernel = call;
    for (unsigned k = 0; k < gridDim.x; ++k) {
        blockIdx.x = order == UPWARDS ? k : gridDim.x - 1 - k;
        if (!run_block()) return problem;
    }
    return nullptr;
}

}  // namespace fibres

extern "C" void abm_set_grid(unsigned threads, unsigned blocks, unsigned order) {
    blockDim.x = threads;
    gridDim.x = blocks;
    fibres::order = order;
    fibres::any.seed(order);
    fibres::all.resize(threads);
    fibres::results.resize(threads);
}

template <typename T> static T atomicAdd(T* at, T by) {
    fibres::atomic();
    const T old = *at;
    *at += by;
    return old;
}
template <typename T> static T atomicMax(T* at, T value) {
    fibres::atomic();
    const T old = *at;
    *at = std::max(old, value);
    return old;
}
static void __threadfence() {}
static int __ffs(int bits) { return __builtin_ffs(bits); }
static int __popc(unsigned bits) { return __builtin_popcount(bits); }
static void __syncthreads() { fibres::wait(fibres::BLOCK_WIDE, "__syncthreads"); }
static void __syncwarp() { fibres::meet("__syncwarp", 0); }
template <typename T> static T __shfl_sync(unsigned, T value, int lane) {
    return T(fibres::meet("__shfl_sync", uint64_t(value))[lane]);
}
template <typename T> static T __shfl_up_sync(unsigned, T value, unsigned by) {
    const uint64_t* given = fibres::meet("__shfl_up_sync", uint64_t(value));
    const unsigned lane = fibres::current % 32;
    return lane < by ? value : T(given[lane - by]);
}
template <typename T> static T __shfl_down_sync(unsigned, T value, unsigned by) {
    const uint64_t* given = fibres::meet("__shfl_down_sync", uint64_t(value));
    const unsigned lane = fibres::current % 32;
    return lane + by > 31 ? value : T(given[lane + by]);
}
static unsigned __ballot_sync(unsigned, bool set) {
    const uint64_t* given = fibres::meet("__ballot_sync", set);
    unsigned bits = 0;
    for (unsigned lane = 0; lane < 32; ++lane) bits |= unsigned(given[lane] & 1u) << lane;
    return bits;
}
