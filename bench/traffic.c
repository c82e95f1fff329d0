/* What a training step moves through a GPU's memory, by kind of instruction, and the time
 * that takes at a given bandwidth: a floor for the memory-bound part, counted from the instructions
 * that the cuda back end would launch, without a GPU.  Each map is counted as often as a kernel
 * reads or writes it; caches are not. */
#include "backend/lower/lower.h"
#include "base/tool.h"
#include "net/model.h"

#include <stdio.h>

enum { BLOCK = 8, N_EXPERTS = 4, N_CLASSES = 100 };

struct args {
    const char *arch, *fusion;
    int64_t batch, gigabytes;
    bool fp32, again, two_passes;
};

static int group_major_of(void *ctx, const struct fx_node *conv, int c_in, int n)
{
    (void)ctx;
    (void)n;
    return fx_weight_layout_of(conv, c_in, BLOCK).merged;
}

/* The values that an instruction's kernels read and write: v[i] are those of its view i. */
static double values_moved(const struct fx_instr *s, const double v[FX_INSTR_MAX_OPERANDS])
{
    double last = s->accumulate ? 2 : 1; /* read before it is written */

    switch (s->op) {
    case FX_INSTR_NORM_STATS:
        return v[0] * (s->operands[0].c - s->first) / s->operands[0].c;
    case FX_INSTR_NORM_BACK: /* sums, then dx */
        return 2 * v[0] + 2 * v[1] + last * v[2];
    case FX_INSTR_NORM_GATHER:
        return v[0] + v[1] + last * v[2];
    case FX_INSTR_NORM_SETTLE: /* as many channels as dx has */
        return 3 * v[2];
    case FX_INSTR_ADD_INTO: /* as many channels as src has */
        return 3 * v[0];
    case FX_INSTR_COPY_OUT:
        return 2 * v[1];
    case FX_INSTR_COPY_IN:
        return 2 * v[0];
    default:
        return v[0] + v[1] + v[2];
    }
}

static void add_instr(const struct fx_lowered *lowered, const struct fx_instr *s, double *values)
{
    double v[FX_INSTR_MAX_OPERANDS] = { 0 };

    for (int i = 0; i < FX_INSTR_MAX_OPERANDS; i++)
        if (s->operands[i].image_bytes > 0)
            v[i] = (double)lowered->n * s->operands[i].c * s->operands[i].area;
    values[s->op] += values_moved(s, v);
}

static void print_table(const struct fx_lowered *lowered, const struct args *args)
{
    double values[FX_N_OPCODES] = { 0 }, total = 0;
    double bytes = args->fp32 ? 4 : 2, rate = 1e9 * (double)args->gigabytes;

    for (int lane = 0; lane < lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_instrs; i++)
            add_instr(lowered, &lowered->lanes[lane].instrs[i], values);
    printf("%s, batch %d, %s, %d lanes: steps of a lane %d, arena %.2f GiB\n\n"
           "| instruction | GB | ms at %lld GB/s |\n|---|---|---|\n",
           args->arch, lowered->n, args->fp32 ? "fp32" : "bf16", lowered->n_lanes,
           lowered->lanes[0].n_instrs, (double)lowered->plan.n_bytes / 0x1p30,
           (long long)args->gigabytes);
    for (int k = 0; k < FX_N_OPCODES; k++) {
        total += values[k] * bytes;
        if (values[k] > 0)
            printf("| %s | %.2f | %.2f |\n", fx_opcode_name((enum fx_opcode)k),
                   values[k] * bytes / 1e9, 1e3 * values[k] * bytes / rate);
    }
    printf("| all | %.2f | %.2f |\n", total / 1e9, 1e3 * total / rate);
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_model_config config = { .arch = args->arch,
                                      .fusion = args->fusion,
                                      .n_experts = N_EXPERTS,
                                      .n_classes = N_CLASSES,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_lower_rules rules = { .block = BLOCK,
                                    .value_bytes = args->fp32 ? 4 : 2,
                                    .norms_add = true,
                                    .keeps_norms = !args->again,
                                    .wgrad_stream = !args->again,
                                    .gathers_norms = !args->two_passes,
                                    .group_major_of = group_major_of };
    size_t base[FX_MAX_LANES_OF_GRAPH], size[FX_MAX_LANES_OF_GRAPH];
    struct fx_graph graph = { 0 };
    struct fx_lowered lowered = { 0 };
    enum fx_status status;

    FX_TRY_OUT(fx_model_build(&graph, &config, err));
    FX_TRY_OUT(fx_lower(&lowered, &rules, &graph, FX_TRAIN, (int)args->batch, err));
    FX_TRY_OUT(fx_lowered_place_lanes(&lowered, base, size, err));
    print_table(&lowered, args);
out:
    fx_lowered_fini(&lowered);
    fx_graph_fini(&graph);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { "resnet18", "multiplicative", 128, 4300, false, false, false };
    struct fx_option options[] = {
        { "arch", 0, "NAME", FX_OPT_STRING, &args.arch, 0, 0, NULL, "the experts", NULL },
        { "fusion", 0, "NAME", FX_OPT_STRING, &args.fusion, 0, 0, NULL, "fusion module", NULL },
        { "batch", 0, "N", FX_OPT_INT, &args.batch, 1, 4096, NULL, "images (128)", NULL },
        { "bandwidth", 0, "GB/S", FX_OPT_INT, &args.gigabytes, 1, 100000, NULL,
          "of the memory (4300, what an H200 copies)", NULL },
        { "fp32", 0, NULL, FX_OPT_FLAG, &args.fp32, 0, 0, NULL, "maps in fp32 (bf16)", NULL },
        { "norms-again", 0, NULL, FX_OPT_FLAG, &args.again, 0, 0, NULL,
          "norms' results are computed again in the backward pass", NULL },
        { "two-passes", 0, NULL, FX_OPT_FLAG, &args.two_passes, 0, 0, NULL,
          "every norm's backward pass by itself", NULL },
        { NULL, 0, NULL, FX_OPT_END, NULL, 0, 0, NULL, NULL, NULL },
    };
    const struct fx_tool tool = {
        .name = "traffic",
        .synopsis = "[options]",
        .summary = "Count what a training step moves through a GPU's memory.",
        .options = options,
        .example = "traffic --arch densenet121",
    };
    struct fx_err err = { 0 };

    fx_tool_start(&tool, argc, argv);
    return fx_tool_exit(run(&args, &err), &err);
}
