// The only file that knows which compiler runs: NVRTC/nvcc for the GPU, any C++17 compiler for the host.
#pragma once
#ifdef __CUDACC_RTC__  // NVRTC has no standard headers
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#include <string.h>
#endif

// KERNEL(fate)(int64_t n, ...) { FOR_EACH (i, n) { ... } }
// FOR_EACH_BLOCK (b, width, n, first, ny, nx) { ... } visits the n sites (whole planes) from `first` on in blocks of up
// to BLOCK sites of a plane that follow each other: sites b.l .. b.l + width - 1, b a Place (lattice.cuh) whose lanes
// may be in the next rows. A GPU thread has blocks of one site; the host has blocks for its vector units, groups of
// LANES in them. In a FOR_EACH_EVEN_BLOCK the rows beside it lie alike for all sites. FOR_EACH_BLOCK_IN_PART also has
// the number of one of the N_PARTS parts of the counts and a local object: of whole planes on the host, which leaves a
// part to one thread; of any sites on a GPU, which makes an object for each thread. With _WHERE a GPU visits only the
// sites l where the condition on what it has seen there (`seen`, the value of `look`) holds, after it has cleared what
// else it looked at; on the host the body does both for its block. FOR_EACH_LONG is for elements that each take long;
// first_of(begin, end, none, try_out) then is the first value but `none` of try_out(j), for j from `begin` up to `end`:
// on a GPU by the lanes of a warp. select(holds, yes, no) is one of two values without a branch. count adds to a
// counter of a part, next_of takes numbers from a list that all share, mark sets a flag that several may set: integer
// sums, sets and equal values, so that the order of threads does not matter. The prefix keeps exported names away from
// libc symbols such as step(). APART functions are not inlined on a host.
// Claims on a word, for cells that ask in any order: strongest leaves the greatest of all values in a word and returns
// what was there before; whoever gets a value there sees what its thread wrote before. latest reads such a word.
// once(act) is what act() returns, which a thread does alone for all that share its element (FOR_EACH_LONG).
#ifdef __CUDACC__
#include "device.cuh"
#else
#include "host.cuh"
#endif
#define FOR_EACH_BLOCK(b, width, n, first, ny, nx) FOR_EACH_BLOCK_IN_PART(, part_, b, width, n, first, ny, nx)
#ifndef FOR_EACH_EVEN_BLOCK
#define FOR_EACH_EVEN_BLOCK FOR_EACH_BLOCK
#endif
#ifndef FOR_EACH_BLOCK_IN_PART_WHERE
#define FOR_EACH_BLOCK_IN_PART_WHERE(share, look, where, clear, local, part, b, width, n, first, ny, nx) \
    FOR_EACH_BLOCK_IN_PART(local, part, b, width, n, first, ny, nx)
#endif
#define FOR_EACH_BLOCK_WHERE(look, where, clear, b, width, n, first, ny, nx)                \
    FOR_EACH_BLOCK_IN_PART_WHERE(, look, where, clear, , part_, b, width, n, first, ny, nx)
