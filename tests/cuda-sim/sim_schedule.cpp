/* Of the work that can run, the piece of the highest rank runs next.  A piece mostly inherits its
 * rank from one before it and sometimes draws a new one, so that now whole chains overtake each
 * other and now single pieces do: an order that nothing forbids comes up sooner or later. */
#include "sim_schedule.h"

#include <ctime>
#include <set>

#include "sim_random.h"
#include "sim_runtime.h"
#include "sim.h"

namespace cuda_sim
{

static constexpr uint64_t ONE_IN_NEW_RANK = 8, ONE_IN_EAGER = 64, MAX_EAGER = 128;

struct runs_before {
    bool operator()(const work_ref &a, const work_ref &b) const
    {
        return a->rank != b->rank ? a->rank > b->rank : a->number < b->number;
    }
};

static std::set<work_ref, runs_before> ready;
static uint64_t n_added;
static const char *running = "the host";

const char *running_name()
{
    return running;
}

static double spent_ms;

void spend(double ms)
{
    spent_ms += ms;
}

static double clock_ms()
{
    timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6 + spent_ms;
}

static void run_next()
{
    work_ref first = *ready.begin();

    ready.erase(ready.begin());
    if (first->run) {
        running = first->name;
        (*first->run)();
        running = "the host";
    }
    first->run.reset();
    first->done = true;
    first->done_ms = clock_ms();
    for (const work_ref &next : first->next)
        if (--next->n_missing == 0)
            ready.insert(next);
    first->next.clear();
}

static void maybe_run_some()
{
    if (random_below(ONE_IN_EAGER) != 0)
        return;
    open_memory open;
    for (uint64_t n = random_below(MAX_EAGER); n > 0 && !ready.empty(); n--)
        run_next();
}

work_ref add_work(const char *name, action run, const std::vector<work_ref> &after)
{
    work_ref added = std::make_shared<work>();

    added->name = name;
    added->run = std::move(run);
    added->number = n_added++;
    added->rank = random_word();
    for (const work_ref &before : after) {
        if (!before || before->done)
            continue;
        if (added->n_missing++ == 0 && random_below(ONE_IN_NEW_RANK) != 0)
            added->rank = before->rank;
        before->next.push_back(added);
    }
    if (added->n_missing == 0)
        ready.insert(added);
    maybe_run_some();
    return added;
}

void finish(const work_ref &target)
{
    if (!target || target->done)
        return;
    open_memory open;
    while (!target->done)
        run_next();
}

void finish_all()
{
    if (ready.empty())
        return;
    open_memory open;
    while (!ready.empty())
        run_next();
}

} // namespace cuda_sim
