/* marrow-lite in C with OpenMP: one byte a site and layer, counter-hash random numbers, no halo.
 *
 * act():   a vectorised sweep finds the sites with a tumour cell around them, then a loop over the T cells looks closer
 *          only for the few that kill. What a site holds is read while other threads mark victims there; the mark
 *          leaves the bit that is tested alone, so the order does not matter. A hop claims its site atomically.
 * fates(): per plane, one vectorised sweep that removes the dead and flags the mothers, which are few; when all planes
 *          are swept, the mothers claim empty neighbours atomically.
 */
#include <stdint.h>
#include <string.h>

enum { EMPTY = 0, NORMAL = 1, TUMOUR = 2, KILLED = 4 }; /* bits; KILLED only between act() and fates() */
enum { LONGEST_ROW = 1290 };                            /* the cube of more does not fit an int32_t */
#define GOLDEN 0x9e3779b97f4a7c15u

typedef struct {
    uint16_t z, y, x;
} Position;

/* Return coordinate i of -1 .. n on a ring of n. */
static inline int wrap(int i, int n) { return i < 0 ? n - 1 : i == n ? 0 : i; }
static inline int32_t site_of(Position p, int n) { return ((int32_t)p.z * n + p.y) * n + p.x; }

static inline Position moved(Position p, int dz, int dy, int dx, int n) {
    return (Position){(uint16_t)wrap(p.z + dz, n), (uint16_t)wrap(p.y + dy, n), (uint16_t)wrap(p.x + dx, n)};
}

static inline Position neighbour(Position p, uint32_t face, int n) {
    /* a table, since a branch on a random number is predicted wrong */
    static const int8_t STEPS[6][3] = {{-1, 0, 0}, {1, 0, 0}, {0, -1, 0}, {0, 1, 0}, {0, 0, -1}, {0, 0, 1}};
    return moved(p, STEPS[face][0], STEPS[face][1], STEPS[face][2], n);
}

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* 32 bits that the compiler can make for many sites at a time. */
static inline uint32_t mix32(uint32_t x, uint64_t key) {
    x ^= (uint32_t)key;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) + (uint32_t)(key >> 32);
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static inline uint32_t scale(uint32_t draw16, uint32_t limit) { return (draw16 * limit) >> 16; }

/* Fill the row z, y of near: TUMOUR where that site or one of the 26 around it holds a tumour cell, else 0. */
static void look_around(const uint8_t* resident, uint8_t* near, int z, int y, int n) {
    const uint8_t* rows[9];
    for (int i = 0; i < 9; i++) rows[i] = resident + ((int32_t)wrap(z + i / 3 - 1, n) * n + wrap(y + i % 3 - 1, n)) * n;
    uint8_t any[LONGEST_ROW + 2]; /* of the nine bytes at x - 1 */
    for (int x = 0; x < n; x++)
        any[x + 1] = rows[0][x] | rows[1][x] | rows[2][x] | rows[3][x] | rows[4][x] | rows[5][x] | rows[6][x] |
                     rows[7][x] | rows[8][x];
    any[0] = any[n];
    any[n + 1] = any[1];
    uint8_t* row = near + ((int32_t)z * n + y) * n;
    for (int x = 0; x < n; x++) row[x] = (any[x] | any[x + 1] | any[x + 2]) & TUMOUR;
}

/* Mark one of the tumour cells at or around p, of which there is at least one, chosen at random. */
static void kill_one(uint8_t* resident, Position p, uint32_t draw16, int n) {
    const int xs[3] = {wrap(p.x - 1, n), p.x, wrap(p.x + 1, n)};
    int32_t tumours[27];
    uint32_t count = 0;
    for (int i = 0; i < 9; i++) {
        const int32_t row = (wrap(p.z + i / 3 - 1, n) * n + wrap(p.y + i % 3 - 1, n)) * n;
        for (int j = 0; j < 3; j++) {
            tumours[count] = row + xs[j];
            count += (__atomic_load_n(&resident[row + xs[j]], __ATOMIC_RELAXED) & TUMOUR) / TUMOUR;
        }
    }
    __atomic_store_n(&resident[tumours[scale(draw16, count)]], TUMOUR | KILLED, __ATOMIC_RELAXED);
}

/* Hop to a random face neighbour, unless it is taken. */
static Position hop(uint8_t* motile, Position here, uint32_t draw16, int n) {
    const Position there = neighbour(here, scale(draw16, 6), n);
    uint8_t* wanted = &motile[site_of(there, n)];
    if (__atomic_load_n(wanted, __ATOMIC_RELAXED) || __atomic_exchange_n(wanted, 1, __ATOMIC_RELAXED)) return here;
    __atomic_store_n(&motile[site_of(here, n)], 0, __ATOMIC_RELAXED);
    return there;
}

/* Let every T cell engage or hop. near has room for every site; kills is in 1/65536. */
void act(uint8_t* resident, uint8_t* motile, uint8_t* near, Position* t_cells, int64_t count, int n, uint32_t kills,
         uint64_t key) {
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int z = 0; z < n; z++)
            for (int y = 0; y < n; y++) look_around(resident, near, z, y, n);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < count; i++) {
            const uint64_t bits = mix(key + (uint64_t)i * GOLDEN);
            if (!near[site_of(t_cells[i], n)])
                t_cells[i] = hop(motile, t_cells[i], bits & 0xffff, n);
            else if ((bits & 0xffff) < kills)
                kill_one(resident, t_cells[i], bits >> 16 & 0xffff, n);
        }
    }
}

/* Remove the dead of one row; append the sites of its mothers and return how many there are. */
static int sweep_row(uint8_t* row, int32_t first, int n, uint32_t dies, uint32_t divides, uint64_t key,
                     int32_t* mothers) {
    uint8_t flags[LONGEST_ROW + 8];
    for (int x = 0; x < n; x++) {
        const uint32_t draw = mix32((uint32_t)(first + x), key) >> 16;
        const uint8_t stays = (draw >= dies) & !(row[x] & KILLED);
        row[x] = stays ? row[x] : EMPTY;
        flags[x] = (draw < divides) & (row[x] != EMPTY);
    }
    memset(flags + n, 0, 8);
    int found = 0;
    for (int x = 0; x < n; x += 8) {
        uint64_t eight;
        memcpy(&eight, flags + x, 8);
        for (; eight; eight &= eight - 1) mothers[found++] = first + x + __builtin_ctzll(eight) / 8;
    }
    return found;
}

/* Put a daughter on a random empty face neighbour, if there is any and nobody else gets it. */
static void divide(uint8_t* resident, int32_t mother, int n, uint64_t key) {
    const Position p = {(uint16_t)(mother / n / n), (uint16_t)(mother / n % n), (uint16_t)(mother % n)};
    int32_t empty[6];
    uint32_t count = 0;
    for (uint32_t face = 0; face < 6; face++) {
        const int32_t site = site_of(neighbour(p, face, n), n);
        empty[count] = site;
        count += __atomic_load_n(&resident[site], __ATOMIC_RELAXED) == EMPTY;
    }
    if (!count) return;
    const uint32_t draw16 = mix(key + (uint64_t)mother * GOLDEN) & 0xffff;
    uint8_t expected = EMPTY;
    __atomic_compare_exchange_n(&resident[empty[scale(draw16, count)]], &expected, resident[mother], 0,
                                __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Let residents die and divide. mothers has room for every site; dies and divides (dies included) are in 1/65536. */
void fates(uint8_t* resident, int32_t* mothers, int n, uint32_t dies, uint32_t divides, uint64_t key) {
    const int32_t plane = n * n;
    int counts[LONGEST_ROW];
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int z = 0; z < n; z++) {
            counts[z] = 0;
            for (int32_t first = z * plane; first < (z + 1) * plane; first += n)
                counts[z] += sweep_row(resident + first, first, n, dies, divides, key, mothers + z * plane + counts[z]);
        }
#pragma omp for schedule(static)
        for (int z = 0; z < n; z++)
            for (int i = 0; i < counts[z]; i++) divide(resident, mothers[z * plane + i], n, ~key);
    }
}
