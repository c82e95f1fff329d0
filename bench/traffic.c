/* What a training step moves through a GPU's memory, by kind of step, and the time that takes at a
 * given bandwidth: a floor for the memory-bound part, counted from the steps that the cuda back end
 * would launch, without a GPU.  Each map is counted as often as a kernel reads or writes it; caches
 * are not. */
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

static int split_of(void *ctx, const struct fx_node *conv, int c_in, int n)
{
    (void)ctx;
    (void)n;
    return fx_weight_layout_of(conv, c_in, BLOCK).merged;
}

/* The values that a step's kernels read and write: v[i] are those of its view i. */
static double values_moved(const struct fx_step *s, const double v[FX_STEP_MAX_VIEWS])
{
    double last = s->accumulate ? 2 : 1; /* read before it is written */

    switch (s->kind) {
    case FX_STEP_NORM_STATS:
        return v[0] * (s->views[0].c - s->first) / s->views[0].c;
    case FX_STEP_NORM_BACK: /* sums, then dx */
        return 2 * v[0] + 2 * v[1] + last * v[2];
    case FX_STEP_NORM_GATHER:
        return v[0] + v[1] + last * v[2];
    case FX_STEP_NORM_SETTLE: /* as many channels as dx has */
        return 3 * v[2];
    case FX_STEP_ADD_INTO: /* as many channels as src has */
        return 3 * v[0];
    case FX_STEP_COPY_OUT:
        return 2 * v[1];
    case FX_STEP_COPY_IN:
        return 2 * v[0];
    default:
        return v[0] + v[1] + v[2];
    }
}

static void add_step(const struct fx_lowered *lowered, const struct fx_step *s, double *values)
{
    double v[FX_STEP_MAX_VIEWS] = { 0 };

    for (int i = 0; i < FX_STEP_MAX_VIEWS; i++)
        if (s->views[i].image_bytes > 0)
            v[i] = (double)lowered->n * s->views[i].c * s->views[i].area;
    values[s->kind] += values_moved(s, v);
}

static void print_table(const struct fx_lowered *lowered, const struct args *args)
{
    double values[FX_N_STEP_KINDS] = { 0 }, total = 0;
    double bytes = args->fp32 ? 4 : 2, rate = 1e9 * (double)args->gigabytes;

    for (int lane = 0; lane < lowered->n_lanes; lane++)
        for (int i = 0; i < lowered->lanes[lane].n_steps; i++)
            add_step(lowered, &lowered->lanes[lane].steps[i], values);
    printf("%s, batch %d, %s, %d lanes: steps of a lane %d, arena %.2f GiB\n\n"
           "| kind of step | GB | ms at %lld GB/s |\n|---|---|---|\n",
           args->arch, lowered->n, args->fp32 ? "fp32" : "bf16", lowered->n_lanes,
           lowered->lanes[0].n_steps, (double)lowered->plan.n_bytes / 0x1p30,
           (long long)args->gigabytes);
    for (int k = 0; k < FX_N_STEP_KINDS; k++) {
        total += values[k] * bytes;
        if (values[k] > 0)
            printf("| %s | %.2f | %.2f |\n", fx_step_name((enum fx_step_kind)k),
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
                                    .weights_aside = !args->again,
                                    .gathers_norms = !args->two_passes,
                                    .split_of = split_of };
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
    struct fx_tool tool = { "traffic",
                            "[options]",
                            "Count what a training step moves through a GPU's memory.",
                            options,
                            "traffic --arch densenet121",
                            NULL };
    struct fx_err err = { 0 };

    fx_tool_start(&tool, argc, argv);
    return fx_tool_exit(run(&args, &err), &err);
}
