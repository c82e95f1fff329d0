/* Work that waits for a device: pieces with what must be done before each. */
#ifndef CUDA_SIM_SIM_SCHEDULE_H
#define CUDA_SIM_SIM_SCHEDULE_H

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace cuda_sim
{

using action = std::shared_ptr<const std::function<void()>>;

struct work;
using work_ref = std::shared_ptr<work>;

struct work {
    const char *name; /* a literal */
    action run;       /* empty: it only marks a place in the order */
    bool done = false;
    double done_ms = 0; /* when */

    /* the schedule's */
    uint64_t rank, number;
    int n_missing = 0; /* pieces that must be done before */
    std::vector<work_ref> next;
};

/* Adds a piece that runs behind those of `after`; empty ones and done ones are no obstacle.  Now
 * and then some work is done at once: a device does not wait for the host. */
work_ref add_work(const char *name, action run, const std::vector<work_ref> &after);

/* Does work until this piece is done; anything else that can run may run before. */
void finish(const work_ref &target);
void finish_all();

/* What runs now, for messages: "the host" outside of work. */
const char *running_name();

} // namespace cuda_sim

#endif
