// The threads of a host and what they work on: a queue of programs, each a list of launches, one launch after the
// other. Threads take pieces of the current launch as they get free, each from a place of its own on, so that a thread
// mostly meets the same planes. Whoever waits for the queue helps. So the thread that queues programs can do something
// else meanwhile, there are never more threads at work than were asked for, and nobody waits for a thread that the
// system has put aside, unless it holds a piece.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <utility>

#define SHARES 64       // of the sites of a launch; a piece is one or several
#define WORTH_WAKING 8  // pieces
#define MOST_QUEUED 64
#define MOST_ARGUMENTS 64

// A kernel with its arguments, each at the beginning of a word.
struct Launch {
    void (*run)(const uint64_t* arguments);
    const uint64_t* arguments;
    int64_t n_arguments, step_at;  // step_at: which argument is the step that the program is queued with; -1: none
    int64_t pieces;                // 1 to SHARES
};

struct Program {
    const Launch* launches;
    int64_t n;
    uint32_t step;
};

// Changed under the lock, but for `left` and `undone`. `left` has a bit for each piece of the current launch that
// nobody has taken: while a taken piece is not done, the current launch stays what it is.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t threads, looks;
    int64_t asleep, waiting;    // threads that sleep, and those of them that wait for the end of a program
    uint64_t queued, finished;  // programs
    int64_t at;                 // launches begun of the current program
    const Launch* launch;       // the current one; none: nothing is queued
    uint32_t step;
    uint64_t left;
    int64_t pieces, undone;
    Program queue[MOST_QUEUED];
} team = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1, 0, 0, 0, 0, 0, 0, nullptr, 0, 0, 0, 0, {}};

// Which of the SHARES of its launch a thread is at.
static thread_local struct {
    int64_t begin, end;
} shares_;

static inline int64_t share_of(int64_t n, int64_t share) { return n / SHARES * share + n % SHARES * share / SHARES; }

template <typename T> static inline T argument(const uint64_t& word) {
    T value;
    memcpy(&value, &word, sizeof value);
    return value;
}

template <typename... T, size_t... I>
static inline void call(void (*kernel)(T...), const uint64_t* arguments, std::index_sequence<I...>) {
    static_assert(sizeof...(T) <= MOST_ARGUMENTS, "a kernel has too many arguments");
    kernel(argument<T>(arguments[I])...);
}

template <typename... T> static inline void call(void (*kernel)(T...), const uint64_t* arguments) {
    call(kernel, arguments, std::index_sequence_for<T...>());
}

#define LAUNCHER(name)                                                                         \
    extern "C" void abm_run_##name(const uint64_t* arguments) { call(abm_##name, arguments); }

static void run_piece(const Launch& launch, uint32_t step, int64_t piece, int64_t pieces) {
    const uint64_t* arguments = launch.arguments;
    uint64_t own[MOST_ARGUMENTS];
    if (launch.step_at >= 0) {
        memcpy(own, arguments, size_t(launch.n_arguments) * sizeof *own);
        memcpy(own + launch.step_at, &step, sizeof step);
        arguments = own;
    }
    shares_ = {piece * SHARES / pieces, (piece + 1) * SHARES / pieces};
    launch.run(arguments);
}

static void wake(int64_t sleepers) {
    if (sleepers != 0) pthread_cond_broadcast(&team.changed);
}

// Let the next launch begin, if there is one; the lock is held, and the current one is done.
static void begin_next() {
    team.launch = nullptr;
    while (team.launch == nullptr && team.finished != team.queued) {
        const Program& program = team.queue[team.finished % MOST_QUEUED];
        if (team.at == program.n) {
            team.at = 0;
            __atomic_store_n(&team.finished, team.finished + 1, __ATOMIC_RELEASE);
            wake(team.waiting);
            continue;
        }
        team.launch = program.launches + team.at++;
        team.step = program.step;
        const int64_t pieces = team.launch->pieces;
        __atomic_store_n(&team.undone, pieces, __ATOMIC_RELAXED);
        __atomic_store_n(&team.pieces, pieces, __ATOMIC_RELAXED);
        __atomic_store_n(&team.left, ~uint64_t(0) >> (SHARES - pieces), __ATOMIC_RELEASE);
        if (pieces >= WORTH_WAKING) wake(team.asleep);
    }
}

// Do a piece of the current launch, the first free one from those of this thread on; false: there is none.
static bool help(int64_t thread) {
    uint64_t left = __atomic_load_n(&team.left, __ATOMIC_ACQUIRE);
    while (left != 0) {
        const int64_t home = thread * __atomic_load_n(&team.pieces, __ATOMIC_RELAXED) / team.threads;
        const uint64_t further = left >> home << home;
        const int64_t piece = __builtin_ctzll(further != 0 ? further : left);
        const uint64_t bit = uint64_t(1) << piece;
        left = __atomic_fetch_and(&team.left, ~bit, __ATOMIC_ACQ_REL);
        if ((left & bit) == 0) continue;  // another was faster
        run_piece(*team.launch, team.step, piece, team.launch->pieces);
        if (__atomic_sub_fetch(&team.undone, 1, __ATOMIC_ACQ_REL) == 0) {
            pthread_mutex_lock(&team.lock);
            begin_next();
            pthread_mutex_unlock(&team.lock);
        }
        return true;
    }
    return false;
}

static bool reached(uint64_t programs) { return __atomic_load_n(&team.finished, __ATOMIC_ACQUIRE) >= programs; }

// Help until so many programs are finished. A thread that finds nothing to do looks again some times before it sleeps.
static void help_until(uint64_t programs, int64_t thread) {
    int64_t looks = 0;
    while (!reached(programs)) {
        if (help(thread)) {
            looks = 0;
        } else if (++looks < team.looks) {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        } else {
            pthread_mutex_lock(&team.lock);
            const int64_t waits = thread == 0;
            ++team.asleep;
            team.waiting += waits;
            while (!reached(programs) && __atomic_load_n(&team.left, __ATOMIC_RELAXED) == 0)
                pthread_cond_wait(&team.changed, &team.lock);
            team.waiting -= waits;
            --team.asleep;
            pthread_mutex_unlock(&team.lock);
            looks = 0;
        }
    }
}

static void* work(void* thread) {
    help_until(~uint64_t(0), int64_t(intptr_t(thread)));
    return nullptr;
}

extern "C" void abm_wait(uint64_t programs) { help_until(programs, 0); }

extern "C" void abm_wait_for_all() { help_until(__atomic_load_n(&team.queued, __ATOMIC_RELAXED), 0); }

// Queue a program; returns which it is, to wait for it. With one thread it is done at once. Nobody is waked for
// launches of few pieces: what they take is less than that, and whoever waits for them will do them.
extern "C" uint64_t abm_queue(const Launch* launches, int64_t n, uint32_t step) {
    if (team.threads == 1) {
        for (int64_t j = 0; j < n; ++j) run_piece(launches[j], step, 0, 1);
        return 0;
    }
    pthread_mutex_lock(&team.lock);
    while (team.queued - team.finished == MOST_QUEUED) {
        const uint64_t next = team.finished + 1;
        pthread_mutex_unlock(&team.lock);
        abm_wait(next);
        pthread_mutex_lock(&team.lock);
    }
    team.queue[team.queued % MOST_QUEUED] = {launches, n, step};
    const uint64_t number = ++team.queued;
    if (team.launch == nullptr) begin_next();
    for (int64_t j = 0; j < n; ++j)
        if (launches[j].pieces >= WORTH_WAKING) {
            wake(team.asleep);
            break;
        }
    pthread_mutex_unlock(&team.lock);
    return number;
}

static void before_fork() {
    abm_wait_for_all();
    pthread_mutex_lock(&team.lock);
}

static void after_fork() { pthread_mutex_unlock(&team.lock); }

// Of the threads only the one that forks lives on in the new process.
static void after_fork_in_child() {
    team.threads = 1;
    team.asleep = team.waiting = 0;
    after_fork();
}

// Start threads, this one included, unless they run already; `looks`: how often one looks for work before it sleeps.
// Returns how many there are.
extern "C" int64_t abm_start(int64_t threads, int64_t looks) {
    if (team.looks != 0) return team.threads;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the thread of the program
    pthread_mutex_lock(&team.lock);
    team.looks = looks;
    pthread_t thread;
    while (team.threads < threads && team.threads < SHARES &&
           pthread_create(&thread, nullptr, work, (void*)intptr_t(team.threads)) == 0) {
        pthread_detach(thread);
        ++team.threads;
    }
    pthread_mutex_unlock(&team.lock);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
    return team.threads;
}

// What else is queued: bytes that become zero, and bytes that are copied.
extern "C" void abm_run_clear(const uint64_t* arguments) {
    const int64_t n = int64_t(arguments[0]), begin = share_of(n, shares_.begin);
    memset((char*)arguments[1] + begin, 0, size_t(share_of(n, shares_.end) - begin));
}

extern "C" void abm_run_copy(const uint64_t* arguments) {
    const int64_t n = int64_t(arguments[0]), begin = share_of(n, shares_.begin);
    memcpy((char*)arguments[1] + begin, (const char*)arguments[2] + begin, size_t(share_of(n, shares_.end) - begin));
}
