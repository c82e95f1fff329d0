/* Where a program's time goes: the processor time of each step (of the worker, not of its OpenMP
 * team), summed by kind over all lanes, the slowest kind first. */
#include "backend/cpu/program.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_KINDS = 32 };

struct kind {
    const char *name;
    uint64_t ns;
    int n;
};

static int slower_first(const void *a_, const void *b_)
{
    const struct kind *a = a_, *b = b_;

    return (a->ns < b->ns) - (a->ns > b->ns);
}

void fx_cpu_profile_print(struct fx_program *program, FILE *out)
{
    struct kind kinds[MAX_KINDS] = { { 0 } };
    int n_kinds = 0;

    for (int lane = 0; lane <= program->model->n_lanes; lane++)
        for (int i = 0; i < program->lanes[lane].n_steps; i++) {
            struct fx_step *step = &program->lanes[lane].steps[i];
            int k = 0;

            while (k < n_kinds && strcmp(kinds[k].name, step->name) != 0)
                k++;
            if (k == MAX_KINDS)
                continue;
            if (k == n_kinds)
                kinds[n_kinds++] = (struct kind){ .name = step->name };
            kinds[k].ns += step->ns;
            kinds[k].n++;
            step->ns = 0;
        }
    fprintf(out, "program of %d images, lanes of %d steps\n", program->n,
            program->lanes[0].n_steps);
    qsort(kinds, (size_t)n_kinds, sizeof *kinds, slower_first);
    for (int k = 0; k < n_kinds; k++)
        fprintf(out, "%9.1f ms %5d x %s\n", (double)kinds[k].ns / 1e6, kinds[k].n, kinds[k].name);
}
