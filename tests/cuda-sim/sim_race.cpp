/* What is remembered of each byte that kernels touch.
 *
 * Time is counted in intervals: a new one begins with each block and behind each barrier and fence.
 * A byte remembers who wrote it last and who read it.  Blocks run one after the other, so whatever
 * was done since the grid began and before the block did was done by another block. */
#include "sim_race.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <execinfo.h>
#include <memory>
#include <pthread.h>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include "sim.h"
#include "sim_order.h"

namespace cuda_sim
{

enum { PAGE = 4096, N_RECENT = 1024, SEVERAL = 0xffff /* threads of one interval */ };

struct access {
    uint32_t interval; /* 0: none */
    uint16_t thread;
};

struct byte_history {
    access written, read;
};

using page_history = std::array<byte_history, PAGE>;

static uint32_t interval;                      /* the present one */
static uint32_t of_grid, of_block, of_barrier; /* the first of them, and behind the last barrier */
static bool watching;
static pthread_t watched; /* the thread of the host that runs the grid */
static uintptr_t shared_begin, shared_bytes;
static std::vector<byte_history> shared_history;
static std::unordered_map<uintptr_t, std::unique_ptr<page_history>> device_history;

/* Pages that were looked up lately; those of the host have no history. */
static struct {
    uintptr_t page;
    page_history *history; /* borrowed */
} recent[N_RECENT];

void watch_grid(const void *shared, size_t bytes)
{
    shared_begin = reinterpret_cast<uintptr_t>(shared);
    shared_bytes = bytes;
    shared_history.resize(bytes);
    of_grid = interval + 1;
    for (auto &entry : recent)
        entry = { 0, nullptr };
    watched = pthread_self();
    watching = getenv("CUDA_SIM_RACES") != nullptr;
    order_grid();
}

void watch_block()
{
    of_block = interval + 1;
    order_block();
}

void watch_barrier()
{
    of_barrier = ++interval;
    order_barrier();
}

/* Threads of the grid; the host may call device functions too. */
static bool is_watched()
{
    return watching && pthread_equal(pthread_self(), watched);
}

void fence()
{
    if (is_watched())
        order_fence({ of_block, of_barrier, interval++, running_thread() });
}

void meet_at(const void *address)
{
    if (is_watched())
        order_atomic(address, running_thread());
}

void watch_nothing()
{
    watching = false;
}

void forget_memory(const void *memory, size_t bytes)
{
    uintptr_t first = reinterpret_cast<uintptr_t>(memory) / PAGE;

    if (!device_history.empty())
        for (uintptr_t page = first; page < first + bytes / PAGE; page++)
            device_history.erase(page);
}

/* Of device memory; NULL for other pages. */
static page_history *page_of(uintptr_t page)
{
    auto &entry = recent[page % N_RECENT];

    if (entry.page == page)
        return entry.history;
    entry = { page, nullptr };
    if (is_device_memory(reinterpret_cast<const void *>(page * PAGE), 1)) {
        std::unique_ptr<page_history> &history = device_history[page];

        if (!history)
            history = std::make_unique<page_history>();
        entry.history = history.get();
    }
    return entry.history;
}

static bool is_shared(uintptr_t address)
{
    return address - shared_begin < shared_bytes;
}

static byte_history *history_of(uintptr_t address)
{
    if (is_shared(address))
        return &shared_history[address - shared_begin];
    page_history *page = page_of(address / PAGE);
    return page ? &(*page)[address % PAGE] : nullptr;
}

/* ---- races ---------------------------------------------------------------------------------- */

/* Done since `begin` by another block, or by another thread since the last barrier. */
static bool clashes(const access &before, const access &self, uint32_t begin)
{
    if (before.interval < begin)
        return false;
    if (before.interval < of_block)
        return !is_over(before.interval, before.thread, self.thread);
    return before.interval >= of_barrier && before.thread != self.thread;
}

[[noreturn]] static void tell(const char *does, const char *where, const access &before,
                              const char *did, void *caller)
{
    char text[200], other[40] = "another block";

    watching = false;
    if (before.interval >= of_block && before.thread == SEVERAL)
        snprintf(other, sizeof other, "several threads");
    else if (before.interval >= of_block)
        snprintf(other, sizeof other, "thread %d", before.thread);
    snprintf(text, sizeof text, "thread %d %s %s memory that %s %s, without a barrier between",
             running_thread(), does, where, other, did);
    backtrace_symbols_fd(&caller, 1, STDERR_FILENO);
    give_up(text);
}

/* What another block has read is kept: no block may write there. */
static void remember_read(byte_history *history, const access &self, uint32_t begin)
{
    access &last = history->read;

    if (last.interval >= of_barrier && last.thread != self.thread)
        last.thread = SEVERAL;
    else if (last.interval < begin || last.interval >= of_block)
        last = self;
}

void watch_access(const void *memory, size_t bytes, bool writes, void *caller)
{
    if (!is_watched())
        return;
    uintptr_t address = reinterpret_cast<uintptr_t>(memory);
    const char *does = writes ? "writes" : "reads";
    const char *where = is_shared(address) ? "shared" : "device";
    uint32_t begin = is_shared(address) ? of_block : of_grid;
    access self = { interval, (uint16_t)running_thread() };
    byte_history *history = nullptr;

    for (size_t i = 0; i < bytes; i++) {
        history = i == 0 || (address + i) % PAGE == 0 ? history_of(address + i) : history + 1;
        if (!history)
            return;
        if (clashes(history->written, self, begin))
            tell(does, where, history->written, "wrote", caller);
        if (writes && clashes(history->read, self, begin))
            tell(does, where, history->read, "read", caller);
        if (writes)
            history->written = self;
        else
            remember_read(history, self, begin);
    }
}

} // namespace cuda_sim
