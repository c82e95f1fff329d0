/* One block at a time.  Its threads run one after the other on one stack as long as none waits; a
 * thread that waits keeps the stack, and the next one runs on another.  Which thread runs when is
 * random where a device does not say: a missing barrier reads what was there before. */
#include "sim_block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <unistd.h>
#include <vector>

#include "cuda_runtime.h"
#include "sim_fiber.h"
#include "sim_race.h"
#include "sim_random.h"
#include "sim_runtime.h"
#include "sim_shared.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_sim
{

enum thread_state { FRESH, RUNNING, AT_BARRIER, IN_EXCHANGE, ENDED };

struct grid_thread {
    thread_state state;
    fiber *stack; /* of one that waits; borrowed from the pool */
    place where;  /* it waits */
};

/* Values that the lanes of a warp give each other.  Two sets: a lane may still read the last ones
 * while another gives the next. */
struct warp {
    uint64_t values[2][warpSize];
    int n_waiting;
    unsigned round;
    bool hurries; /* to the next barrier, before others run on */
};

/* The block that runs. */
static struct {
    const kernel_launch *launch;
    int n_threads;
    std::vector<grid_thread> threads;
    std::vector<warp> warps;
    std::deque<int> ready; /* threads that can run, in the order in which they will */
    int n_waiting, n_ended;
    int self; /* the thread that runs */
    const shared_memory *shared;
} now;

static fiber scheduler;
static std::vector<std::unique_ptr<fiber>> stacks;
static std::vector<fiber *> idle; /* those on which no thread waits; borrowed */

/* ---- what went wrong ------------------------------------------------------------------------ */

static const char *describe(thread_state state)
{
    return state == AT_BARRIER ? "at __syncthreads()" : "in a shuffle";
}

/* Tells where the threads of the block are, and ends the program. */
[[noreturn]] void give_up(const char *what)
{
    std::map<std::tuple<std::string, int, thread_state>, int> places;

    fprintf(stderr, "cuda-sim: kernel %s, block (%u, %u, %u) of %d threads: %s\n", now.launch->name,
            blockIdx.x, blockIdx.y, blockIdx.z, now.n_threads, what);
    for (const grid_thread &thread : now.threads)
        if (thread.state == AT_BARRIER || thread.state == IN_EXCHANGE)
            places[{ thread.where.file, thread.where.line, thread.state }]++;
    for (const auto &[where, n] : places)
        fprintf(stderr, "cuda-sim: %s:%d: %d wait %s\n", std::get<0>(where).c_str(),
                std::get<1>(where), n, describe(std::get<2>(where)));
    fprintf(stderr, "cuda-sim: %d have ended\n", now.n_ended);
    abort();
}

static void check_same_place(int first, int n)
{
    const place &here = now.threads[(size_t)now.self].where;

    for (int i = first; i < first + n; i++) {
        const place &there = now.threads[(size_t)i].where;

        if (there.line != here.line || std::string(there.file) != here.file)
            give_up("threads wait for each other at different places");
    }
}

/* ---- scheduling ----------------------------------------------------------------------------- */

/* Makes threads first .. first+n-1 ready, upwards or downwards from a random one on: behind those
 * that are, or before them. */
static void make_ready(int first, int n, bool before)
{
    int begin = (int)random_below((uint64_t)n);
    int step = random_below(2) ? 1 : n - 1;

    for (int i = 0; i < n; i++) {
        int number = first + (int)((begin + (int64_t)i * step) % n);

        if (before)
            now.ready.push_front(number);
        else
            now.ready.push_back(number);
    }
}

/* All threads stand at the begin, or behind the same barrier. */
static void release_block()
{
    watch_barrier();
    for (warp &each : now.warps)
        each.hurries = random_below(2);
    make_ready(0, now.n_threads, false);
}

static void enter_thread(int number)
{
    unsigned x = now.launch->block.x, y = now.launch->block.y, n = (unsigned)number;

    now.self = number;
    now.threads[(size_t)number].state = RUNNING;
    threadIdx = uint3{ n % x, n / x % y, n / (x * y) };
}

/* What a stack does: threads that have not begun, to their end, while they are next; then it is
 * idle until the scheduler needs it. */
static void run_threads()
{
    fiber *self = idle.back();

    for (;;) {
        idle.pop_back();
        while (!now.ready.empty()) {
            int number = now.ready.front();

            if (now.threads[(size_t)number].state != FRESH)
                break;
            now.ready.pop_front();
            now.threads[(size_t)number].stack = self;
            enter_thread(number);
            now.launch->thread();
            now.threads[(size_t)number].state = ENDED;
            now.n_ended++;
        }
        idle.push_back(self);
        fiber_switch(*self, scheduler);
    }
}

static fiber &idle_stack()
{
    if (idle.empty()) {
        stacks.push_back(std::make_unique<fiber>(run_threads));
        idle.push_back(stacks.back().get());
    }
    return *idle.back();
}

/* Leaves the running thread until it is made ready. */
static void wait(thread_state state)
{
    int self = now.self;
    grid_thread &thread = now.threads[(size_t)self];

    thread.state = state;
    fiber_switch(*thread.stack, scheduler);
    enter_thread(self);
}

static void run_block()
{
    now.threads.assign((size_t)now.n_threads, { FRESH, nullptr, { "", 0 } });
    now.warps.assign((size_t)(now.n_threads + warpSize - 1) / warpSize, warp());
    now.ready.clear();
    now.n_waiting = now.n_ended = 0;
    watch_block();
    release_block();
    while (!now.ready.empty()) {
        int number = now.ready.front();

        if (now.threads[(size_t)number].state == FRESH) {
            fiber_switch(scheduler, idle_stack());
        } else {
            now.ready.pop_front();
            fiber_switch(scheduler, *now.threads[(size_t)number].stack);
        }
    }
    if (now.n_ended < now.n_threads)
        give_up("some threads wait for others that do not come");
}

/* A kernel whose name begins with CUDA_SIM_HANG does not end. */
static void hang(const char *name)
{
    const char *hangs = getenv("CUDA_SIM_HANG");

    while (hangs && *hangs && strncmp(name, hangs, strlen(hangs)) == 0)
        pause();
}

void run_grid(const kernel_launch &launch)
{
    uint64_t n_blocks = (uint64_t)launch.grid.x * launch.grid.y * launch.grid.z;
    std::vector<uint64_t> order(n_blocks);
    shared_memory shared;

    std::iota(order.begin(), order.end(), 0);
    for (uint64_t i = n_blocks; i > 1; i--)
        std::swap(order[i - 1], order[random_below(i)]);
    hang(launch.name);
    now.launch = &launch;
    now.shared = &shared;
    now.n_threads = (int)(launch.block.x * launch.block.y * launch.block.z);
    gridDim = launch.grid;
    blockDim = launch.block;
    shared.watch();
    for (uint64_t number : order) {
        blockIdx =
            uint3{ (unsigned)(number % gridDim.x), (unsigned)(number / gridDim.x % gridDim.y),
                   (unsigned)(number / gridDim.x / gridDim.y) };
        shared.poison();
        run_block();
    }
    now.launch = nullptr;
    watch_nothing();
}

/* ---- what kernels touch --------------------------------------------------------------------- */

extern "C" char __executable_start, _end; /* of the program, with its constants; the linker's */

static bool lies_between(const void *address, const void *first, const void *end)
{
    return (uintptr_t)address - (uintptr_t)first < (uintptr_t)end - (uintptr_t)first;
}

void check_access(const void *address)
{
    const fiber *stack = now.launch ? now.threads[(size_t)now.self].stack : nullptr;
    memory_kind kind;

    if (is_device_address(address) || !stack || !stack->holds(__builtin_frame_address(0)))
        return; /* closed pages see to the rest, or this is not a thread of a kernel */
    if (stack->holds(address) || now.shared->holds(address) ||
        lies_between(address, &__executable_start, &_end) ||
        lies_between(address, now.launch, now.launch + 1) ||
        lies_between(address, now.warps.data(), now.warps.data() + now.warps.size()))
        return; /* the last two are the simulator's own */
    if (!find_memory(address, 1, &kind) || kind != memory_kind::PINNED)
        give_up("it touches memory of the host");
}

int running_thread()
{
    return now.self;
}

/* ---- what kernels call ---------------------------------------------------------------------- */

void wait_block(place here)
{
    now.threads[(size_t)now.self].where = here;
    if (++now.n_waiting == now.n_threads) {
        now.n_waiting = 0;
        check_same_place(0, now.n_threads);
        release_block();
    }
    wait(AT_BARRIER);
}

const uint64_t *exchange(uint64_t value, place here)
{
    int first = now.self - lane();
    warp &mine = now.warps[(size_t)now.self / warpSize];
    uint64_t *values = mine.values[mine.round & 1];

    now.threads[(size_t)now.self].where = here;
    values[lane()] = value;
    if (++mine.n_waiting == warpSize) {
        mine.n_waiting = 0;
        mine.round++;
        check_same_place(first, warpSize);
        make_ready(first, warpSize, mine.hurries);
    }
    wait(IN_EXCHANGE);
    return values;
}

int lane()
{
    return now.self % warpSize;
}

void check_mask(unsigned mask, place here)
{
    now.threads[(size_t)now.self].where = here;
    if (mask != 0xffffffffu || now.n_threads % warpSize != 0) {
        now.threads[(size_t)now.self].state = IN_EXCHANGE;
        give_up("a shuffle of less than a whole warp");
    }
}

} // namespace cuda_sim
