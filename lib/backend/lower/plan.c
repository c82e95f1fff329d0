/* Placing buffers: large ones first, each at the lowest offset that no living neighbour covers.
 * To minimise the size of the arena is NP-hard; greedy by size comes close for neural networks
 * (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). */
#include "backend/lower/plan.h"

#include "backend/host/arena.h"

#include <stdlib.h>

void fx_plan_fini(struct fx_plan *plan)
{
    free(plan->buffers);
    *plan = (struct fx_plan){ 0 };
}

enum fx_status fx_plan_add(struct fx_plan *plan, int lane, size_t n_bytes, int now, int *buffer,
                           struct fx_err *err)
{
    if (plan->n_buffers == plan->cap_buffers) {
        int cap = plan->cap_buffers ? 2 * plan->cap_buffers : 256;
        struct fx_buffer *buffers = realloc(plan->buffers, (size_t)cap * sizeof *buffers);

        if (!buffers)
            return fx_fail(err, FX_EFAIL, "out of memory for the memory plan");
        plan->buffers = buffers;
        plan->cap_buffers = cap;
    }
    plan->buffers[plan->n_buffers] = (struct fx_buffer){
        .n_bytes = fx_arena_round(n_bytes), .lane = lane, .first = now, .last = now
    };
    *buffer = plan->n_buffers++;
    return FX_OK;
}

void fx_plan_touch(struct fx_plan *plan, int buffer, int now)
{
    struct fx_buffer *b = &plan->buffers[buffer];

    if (now > b->last)
        b->last = now;
}

static int by_size(const void *a_, const void *b_)
{
    const struct fx_buffer *const *a = a_, *const *b = b_;

    if ((*a)->n_bytes != (*b)->n_bytes)
        return (*a)->n_bytes < (*b)->n_bytes ? 1 : -1;
    return *a < *b ? -1 : *a > *b; /* equal sizes in the order of birth: one plan, always */
}

static bool overlap(const struct fx_buffer *a, const struct fx_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset from base at which buffers[i] fits beside those placed before it. */
static size_t first_fit(struct fx_buffer *const *buffers, int i, size_t base)
{
    size_t offset = base;

    for (int j = 0; j < i; j++) {
        const struct fx_buffer *p = buffers[j];

        if (overlap(p, buffers[i]) && p->offset < offset + buffers[i]->n_bytes &&
            offset < p->offset + p->n_bytes) {
            offset = p->offset + p->n_bytes;
            j = -1; /* the new offset may overlap one looked at before */
        }
    }
    return offset;
}

/* Places the passing buffers of one lane from base on; returns where they end. */
static size_t place_passing(struct fx_plan *plan, struct fx_buffer **list, const bool *is_passing,
                            int lane, size_t base)
{
    int n = 0;
    size_t end = base;

    for (int i = 0; i < plan->n_buffers; i++)
        if (is_passing[i] && plan->buffers[i].lane == lane)
            list[n++] = &plan->buffers[i];
    qsort(list, (size_t)n, sizeof *list, by_size);
    for (int i = 0; i < n; i++) {
        list[i]->offset = first_fit(list, i, base);
        if (list[i]->offset + list[i]->n_bytes > end)
            end = list[i]->offset + list[i]->n_bytes;
    }
    return end;
}

/* Marks the buffers that live within one pass. */
static void find_passing(const struct fx_plan *plan, const int *n_forward, bool *is_passing)
{
    for (int i = 0; i < plan->n_buffers; i++) {
        const struct fx_buffer *b = &plan->buffers[i];
        int first_backward = n_forward[b->lane];

        is_passing[i] = !b->is_kept && (b->last < first_backward || b->first >= first_backward);
    }
}

/* Places the staying buffers of one lane (-1: of all) from base on, in the order of birth; returns
 * where they end. */
static size_t place_staying(struct fx_plan *plan, const bool *is_passing, int lane, size_t base)
{
    for (int i = 0; i < plan->n_buffers; i++) {
        struct fx_buffer *b = &plan->buffers[i];

        if (is_passing[i] || (lane >= 0 && b->lane != lane))
            continue;
        b->offset = base;
        base += b->n_bytes;
    }
    return base;
}

/* What a placement needs while it works. */
struct placing {
    struct fx_buffer **list; /* owned: room for all buffers */
    bool *is_passing;        /* owned */
};

static enum fx_status begin(struct placing *p, const struct fx_plan *plan, const int *n_forward,
                            struct fx_err *err)
{
    p->list = calloc((size_t)plan->n_buffers + 1, sizeof *p->list);
    p->is_passing = calloc((size_t)plan->n_buffers + 1, sizeof *p->is_passing);
    if (!p->list || !p->is_passing)
        return fx_fail(err, FX_EFAIL, "out of memory for the memory plan");
    find_passing(plan, n_forward, p->is_passing);
    return FX_OK;
}

static void end(struct placing *p)
{
    free(p->list);
    free(p->is_passing);
}

enum fx_status fx_plan_place(struct fx_plan *plan, int n_lanes, const int *n_forward,
                             const int *worker, int n_workers, struct fx_err *err)
{
    struct placing p = { 0 };
    enum fx_status status;

    FX_TRY_OUT(begin(&p, plan, n_forward, err));
    plan->n_bytes = place_staying(plan, p.is_passing, -1, 0);
    for (int w = 0; w < n_workers; w++) {
        size_t used = plan->n_bytes;

        for (int lane = 0; lane < n_lanes; lane++)
            if (worker[lane] == w) {
                size_t lane_end = place_passing(plan, p.list, p.is_passing, lane, used);

                plan->n_bytes = lane_end > plan->n_bytes ? lane_end : plan->n_bytes;
            }
    }
out:
    end(&p);
    return status;
}

enum fx_status fx_plan_place_lanes(struct fx_plan *plan, int n_lanes, const int *n_forward,
                                   size_t *base, size_t *size, struct fx_err *err)
{
    struct placing p = { 0 };
    enum fx_status status;

    FX_TRY_OUT(begin(&p, plan, n_forward, err));
    plan->n_bytes = 0;
    for (int lane = 0; lane < n_lanes; lane++) {
        size_t used = place_staying(plan, p.is_passing, lane, 0);

        used = place_passing(plan, p.list, p.is_passing, lane, used);
        base[lane] = plan->n_bytes;
        size[lane] =
            (used + FX_PLAN_REGION_ALIGN - 1) / FX_PLAN_REGION_ALIGN * FX_PLAN_REGION_ALIGN;
        plan->n_bytes += size[lane];
    }
out:
    end(&p);
    return status;
}
