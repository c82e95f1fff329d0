/* Where a program's time goes: the time of each instruction, summed by kind over all lanes, the
 * slowest kind first. */
#include "backend/lower/instruction.h"

#include <stdlib.h>

struct cost {
    enum fx_opcode op;
    uint64_t ns;
    int n; /* instructions */
};

static int slower_first(const void *a_, const void *b_)
{
    const struct cost *a = a_, *b = b_;

    return (a->ns < b->ns) - (a->ns > b->ns);
}

void fx_lowered_profile_print(struct fx_lowered *lowered, FILE *out)
{
    struct cost costs[FX_N_OPCODES] = { { 0 } };

    for (int k = 0; k < FX_N_OPCODES; k++)
        costs[k].op = (enum fx_opcode)k;
    for (int lane = 0; lane <= lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_instrs; i++) {
            struct fx_instr *instr = &lowered->lanes[lane].instrs[i];

            costs[instr->op].ns += instr->ns;
            costs[instr->op].n++;
            instr->ns = 0;
        }
    fprintf(out, "program of %d images, lanes of %d instructions\n", lowered->n,
            lowered->lanes[0].n_instrs);
    qsort(costs, FX_N_OPCODES, sizeof *costs, slower_first);
    for (int k = 0; k < FX_N_OPCODES; k++)
        if (costs[k].n > 0)
            fprintf(out, "%9.1f ms %5d x %s\n", (double)costs[k].ns / 1e6, costs[k].n,
                    fx_opcode_name(costs[k].op));
}
