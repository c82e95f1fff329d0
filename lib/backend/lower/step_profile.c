/* Where a program's time goes: the time of each step, summed by kind over all lanes, the slowest
 * kind first. */
#include "backend/lower/steps.h"

#include <stdlib.h>

struct cost {
    enum fx_step_kind kind;
    uint64_t ns;
    int n; /* steps */
};

static int slower_first(const void *a_, const void *b_)
{
    const struct cost *a = a_, *b = b_;

    return (a->ns < b->ns) - (a->ns > b->ns);
}

void fx_lowered_profile_print(struct fx_lowered *lowered, FILE *out)
{
    struct cost costs[FX_N_STEP_KINDS] = { { 0 } };

    for (int k = 0; k < FX_N_STEP_KINDS; k++)
        costs[k].kind = (enum fx_step_kind)k;
    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_steps; i++) {
            struct fx_step *step = &lowered->lanes[lane].steps[i];

            costs[step->kind].ns += step->ns;
            costs[step->kind].n++;
            step->ns = 0;
        }
    fprintf(out, "program of %d images, lanes of %d steps\n", lowered->n,
            lowered->lanes[0].n_steps);
    qsort(costs, FX_N_STEP_KINDS, sizeof *costs, slower_first);
    for (int k = 0; k < FX_N_STEP_KINDS; k++)
        if (costs[k].n > 0)
            fprintf(out, "%9.1f ms %5d x %s\n", (double)costs[k].ns / 1e6, costs[k].n,
                    fx_step_name(costs[k].kind));
}
