/* What fences publish at which address, and who took it over. */
#include "sim_order.h"

#include <iterator>
#include <map>
#include <set>

namespace cuda_sim
{

using addresses = std::set<const void *>;

/* What a thread knows of order: its last fence, the addresses of its atomic operations since then,
 * and those of which it took over what was published. */
struct knowledge {
    bool has_fence;
    moment fence;
    addresses met, taken;
};

/* By address: fences that were published there, by the first interval of their block. */
static std::map<const void *, std::map<uint32_t, moment>> published;
static std::map<int, knowledge> threads; /* of the running block */
static addresses taken_by_all;

void order_grid()
{
    published.clear();
}

void order_block()
{
    threads.clear();
    taken_by_all.clear();
}

void order_barrier()
{
    for (auto &[number, thread] : threads)
        taken_by_all.merge(thread.taken);
}

void order_fence(const moment &self)
{
    knowledge &thread = threads[self.thread];

    thread.has_fence = true;
    thread.fence = self;
    thread.taken.merge(thread.met);
}

void order_atomic(const void *address, int number)
{
    knowledge &thread = threads[number];

    if (thread.has_fence)
        published[address][thread.fence.block] = thread.fence;
    thread.met.insert(address);
}

static bool is_published(const addresses &where, uint32_t interval, int thread)
{
    for (const void *address : where) {
        const auto &fences = published[address];
        auto next = fences.upper_bound(interval);

        if (next == fences.begin())
            continue;
        const moment &fence = std::prev(next)->second;
        if (interval < fence.barrier || (interval <= fence.now && thread == fence.thread))
            return true;
    }
    return false;
}

bool is_over(uint32_t interval, int thread, int running)
{
    return is_published(taken_by_all, interval, thread) ||
           is_published(threads[running].taken, interval, thread);
}

} // namespace cuda_sim
