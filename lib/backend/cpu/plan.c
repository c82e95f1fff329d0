/* Placing buffers: large ones first, each at the lowest offset that no living neighbour covers. */
#include "backend/cpu/plan.h"

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
            j = -1; /* the new place may touch one looked at before */
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

enum fx_status fx_plan_place(struct fx_plan *plan, int n_lanes, const int *n_forward,
                             const int *worker, int n_workers, struct fx_err *err)
{
    struct fx_buffer **list = calloc((size_t)plan->n_buffers + 1, sizeof *list);
    bool *is_passing = calloc((size_t)plan->n_buffers + 1, sizeof *is_passing);
    size_t used = 0;
    enum fx_status status = FX_OK;

    if (!list || !is_passing) {
        status = fx_fail(err, FX_EFAIL, "out of memory for the memory plan");
        goto out;
    }
    for (int i = 0; i < plan->n_buffers; i++) {
        struct fx_buffer *b = &plan->buffers[i];
        int turn = n_forward[b->lane];

        is_passing[i] = !b->is_kept && (b->last < turn || b->first >= turn);
        if (!is_passing[i]) {
            b->offset = used;
            used += b->n_bytes;
        }
    }
    for (int w = 0; w < n_workers; w++) {
        size_t end = used;

        for (int lane = 0; lane < n_lanes; lane++)
            if (worker[lane] == w) {
                size_t lane_end = place_passing(plan, list, is_passing, lane, used);

                end = lane_end > end ? lane_end : end;
            }
        used = end;
    }
    plan->n_bytes = used;
out:
    free(list);
    free(is_passing);
    return status;
}
