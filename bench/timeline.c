/* What a training step of the cuda back end should take, foretold from its instructions, without a
 * GPU: the kernels that each kind launches, the bytes that they move through the device's memory,
 * the operations, and with the rates of a card (bench/rates; a matrix product) the time.  A kernel
 * takes as long as its bytes, its operations or its random numbers do, whichever is more, and a gap
 * behind the one before. Each map is counted as often as a kernel reads or writes it; caches are
 * not, but for what --l2 says.  --profile FILE, what `bench/step --profile` says on stderr, puts
 * the measured times beside.
 *
 * The gradients of 1x1 layers' weights have few values, each a long sum: there the rate of products
 * counts for as much of the device as has a tile of 128 x 128 values to work on.
 *
 * The lanes of a model are equal here, so one launch is for all of them; convolutions of cuDNN are
 * a launch for each lane and group, on four streams. */
#include "backend/cuda/parts.h"
#include "backend/lower/lower.h"
#include "base/tool.h"
#include "net/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 8, N_EXPERTS = 4, N_CLASSES = 100, SIDES = 4, TURNS = 4 };
/* AdamW per weight: gradient twice, value and two moments in and out. */
enum { UPDATE_BYTES = 8 + 8 + 16, SHADOW_BYTES = 2 };

struct args {
    const char *arch, *fusion, *profile;
    int64_t batch, gigabytes, teraflops, gigadraws, gap_ns, processors, l2_mib;
    bool fp32, again, two_passes, relu_apart, whole;
};

/* Of a kind of instructions in a step. */
struct cost {
    int nodes;
    double bytes, flops, ms;
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
    case FX_INSTR_NORM_STATS: /* copied, or read where they are */
        return v[1] > 0 ? 2 * v[1] : v[0] * (s->operands[0].c - s->first) / s->operands[0].c;
    case FX_INSTR_CONV_BACK_DATA:
        return v[0] + last * v[1];
    case FX_INSTR_NORM_BACK: /* sums, of what is left of dy behind a ReLU; then dx */
        return 2 * v[0] + 2 * v[1] + last * v[2] + 2 * v[3];
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

/* ---- kernels ---- */

/* Those of the fusion module, the classifiers and the head. */
static int dense_nodes(const struct fx_lowered *lowered, const struct fx_instr *s)
{
    const struct fx_node *node = &lowered->graph->nodes[s->node];
    bool wants_input = lowered->nodes[node->inputs[0]].gradient.buffer >= 0;

    if (s->op == FX_INSTR_DENSE)
        return node->kind == FX_NODE_LINEAR ? 2 : 1; /* product, bias */
    if (node->kind == FX_NODE_LINEAR)
        return 2 + wants_input; /* bias, weights, data */
    if (node->kind == FX_NODE_LAYERNORM)
        return 1 + wants_input; /* columns, rows */
    return node->kind == FX_NODE_WEIGHTED_SUM ? 2 : 1;
}

/* Whether a convolution is a product of all lanes; else it is cuDNN's. */
static bool is_product(const struct fx_node *node)
{
    return node->kernel == 1 && node->stride == 1 && node->pad == 0 && node->groups == 1;
}

/* The gradient of a product's weights: its values, tiles and parts of the sum (parts.h). */
struct cut {
    double values; /* of all lanes */
    int tiles, parts;
};

static struct cut cut_of(const struct fx_lowered *lowered, const struct args *args,
                         const struct fx_instr *s)
{
    int n = fx_blocks(s->operands[0].c, BLOCK) * BLOCK;
    int m = fx_blocks(s->operands[1].c, BLOCK) * BLOCK, rows = lowered->n * s->operands[0].area;
    int parts = fx_count_parts(m, n, rows, lowered->n_lanes, (int)args->processors);

    return (struct cut){ .values = (double)lowered->n_lanes * m * n,
                         .tiles = fx_count_tiles(m, n, lowered->n_lanes),
                         .parts = args->whole ? 1 : parts };
}

/* That of a product's weights. */
static bool is_cut(const struct fx_lowered *lowered, const struct fx_instr *s)
{
    return s->op == FX_INSTR_CONV_BACK_WEIGHTS && is_product(&lowered->graph->nodes[s->node]);
}

static int conv_nodes(const struct fx_lowered *lowered, const struct args *args,
                      const struct fx_instr *s)
{
    const struct fx_node *node = &lowered->graph->nodes[s->node];

    if (is_cut(lowered, s) && cut_of(lowered, args, s).parts > 1)
        return lowered->n_lanes + 1; /* and their sum */
    if (is_product(node))
        return 1;
    return lowered->n_lanes * fx_view_groups(&s->operands[0], BLOCK) +
           (s->op == FX_INSTR_CONV_BACK_WEIGHTS);
}

/* Kernels that an instruction launches for all lanes. */
static int nodes_of(const struct fx_lowered *lowered, const struct args *args,
                    const struct fx_instr *s)
{
    switch (s->op) {
    case FX_INSTR_CONV_FORWARD:
    case FX_INSTR_CONV_BACK_DATA:
    case FX_INSTR_CONV_BACK_WEIGHTS:
        return conv_nodes(lowered, args, s);
    case FX_INSTR_DENSE:
    case FX_INSTR_DENSE_BACK:
        return dense_nodes(lowered, s);
    case FX_INSTR_NORM_STATS:
        return s->first < s->operands[0].c;
    case FX_INSTR_NORM_BACK: /* sums, the pass */
        return 1 + (s->operands[2].image_bytes > 0);
    default:
        return 1;
    }
}

/* ---- work ---- */

static double flops_of(const struct fx_lowered *lowered, const struct fx_instr *s)
{
    const struct fx_node *node = &lowered->graph->nodes[s->node];
    int x_at = s->op == FX_INSTR_CONV_BACK_DATA ? 1 : 0;
    const struct fx_view *x = &s->operands[x_at], *y = &s->operands[1 - x_at];

    if (s->op != FX_INSTR_CONV_FORWARD && s->op != FX_INSTR_CONV_BACK_DATA &&
        s->op != FX_INSTR_CONV_BACK_WEIGHTS)
        return 0;
    return 2.0 * lowered->n * y->area * y->c * (x->c / node->groups) * node->kernel * node->kernel;
}

/* The bytes of dropouts' masks, which are read or written. */
static double mask_bytes(const struct fx_lowered *lowered, const struct fx_instr *s)
{
    bool is_norm = s->op == FX_INSTR_NORM_APPLY || s->op == FX_INSTR_NORM_BACK ||
                   s->op == FX_INSTR_NORM_GATHER;
    int drop = is_norm ? lowered->nodes[s->node].norm_drop : s->node;

    if (drop < 0 || (!is_norm && s->op != FX_INSTR_DROP))
        return 0;
    return (s->op == FX_INSTR_NORM_BACK ? 2.0 : 1.0) * (double)lowered->nodes[drop].mask.n_words;
}

/* The sums of parts, which are written and read. */
static double part_bytes(const struct fx_lowered *lowered, const struct args *args,
                         const struct fx_instr *s)
{
    struct cut cut = is_cut(lowered, s) ? cut_of(lowered, args, s) : (struct cut){ 0 };

    return cut.parts > 1 ? 2 * sizeof(float) * cut.parts * cut.values : 0;
}

/* What a norm's second pass may find in the L2, of each byte that it reads again, if this keeps
 * what was used last: `room` of these bytes and of as many `others` for each.  The pass goes back
 * through the parts of the first in turns (kernels/norm_rows.cuh), and forward in each: a turn
 * needs room for all that was read since the first pass was there, and for the others so far. */
static double found(double room, double others)
{
    double turns = 0;

    for (int turn = 0; turn < TURNS; turn++)
        turns += fmax(0, fmin(1, (room * TURNS - turn * (1 + others) - 1) / others));
    return turns / TURNS;
}

/* Values that the second of a norm's two passes need not read, of all lanes; `before`: the
 * instruction before this one. */
static double values_found(const struct args *args, const struct fx_instr *s,
                           const struct fx_instr *before, const double v[FX_INSTR_MAX_OPERANDS],
                           double value_bytes)
{
    bool is_back = s->op == FX_INSTR_NORM_BACK;
    bool has_sums = before && before->op == FX_INSTR_NORM_STATS && before->first == 0;
    double again = v[0] + (is_back ? v[1] : 0), others = v[2] + (is_back ? 0 : v[1]);
    double first = again + v[3]; /* that the first pass goes through */

    if (others == 0 || !(is_back || (s->op == FX_INSTR_NORM_APPLY && has_sums)))
        return 0;
    return again * found((double)args->l2_mib * 0x1p20 / (first * value_bytes), others / again);
}

/* How much of the device has something to multiply: only asked of the gradients of products'
 * weights, which have few tiles. */
static double filled(const struct fx_lowered *lowered, const struct args *args,
                     const struct fx_instr *s)
{
    if (!is_cut(lowered, s))
        return 1;
    struct cut cut = cut_of(lowered, args, s);
    double turns = (double)(cut.tiles * cut.parts) / (double)args->processors;
    return turns / ceil(turns);
}

/* Of all lanes that run it. */
static struct cost cost_of(const struct fx_lowered *lowered, const struct args *args,
                           const struct fx_instr *s, const struct fx_instr *before, int n_lanes)
{
    struct cost cost = { .nodes = nodes_of(lowered, args, s) };
    double v[FX_INSTR_MAX_OPERANDS] = { 0 }, masks = mask_bytes(lowered, s), s_busy;
    double value_bytes = args->fp32 ? 4 : 2;

    for (int i = 0; i < FX_INSTR_MAX_OPERANDS; i++)
        if (s->operands[i].image_bytes > 0)
            v[i] = (double)n_lanes * lowered->n * s->operands[i].c * s->operands[i].area;
    cost.bytes = value_bytes * (values_moved(s, v) - values_found(args, s, before, v, value_bytes));
    cost.bytes += n_lanes * masks;
    cost.flops = n_lanes * flops_of(lowered, s);
    cost.bytes += part_bytes(lowered, args, s);
    s_busy = fmax(cost.bytes / (1e9 * (double)args->gigabytes),
                  cost.flops / (1e12 * (double)args->teraflops * filled(lowered, args, s)));
    if (s->draws)
        s_busy = fmax(s_busy, n_lanes * BLOCK * masks / (1e9 * (double)args->gigadraws));
    bool is_spread = cost.flops > 0 && cost.nodes > 1; /* over the side streams */
    double gaps = is_spread ? (double)cost.nodes / SIDES : cost.nodes;
    cost.ms = 1e3 * s_busy + 1e-6 * gaps * (double)args->gap_ns;
    return cost;
}

static void add(struct cost *sum, const struct cost *more)
{
    sum->nodes += more->nodes;
    sum->bytes += more->bytes;
    sum->flops += more->flops;
    sum->ms += more->ms;
}

/* What is no instruction: the input, the running statistics, the loss and the optimizer. */
static struct cost cost_of_rest(const struct fx_lowered *lowered, const struct args *args)
{
    struct cost cost = { .nodes = 2 + 1 + 2 + 4 };
    double per_weight = UPDATE_BYTES + (args->fp32 ? 0 : SHADOW_BYTES);

    for (int i = 0; i < lowered->graph->n_params; i++)
        if (lowered->graph->params[i].kind == FX_PARAM_TRAINED)
            cost.bytes += per_weight * (double)lowered->graph->params[i].n_elements;
    cost.ms = 1e3 * cost.bytes / (1e9 * (double)args->gigabytes) +
              1e-6 * cost.nodes * (double)args->gap_ns;
    return cost;
}

/* ---- the table ---- */

/* The last "12.3 ms 40 x NAME" of a profile; negative: none. */
static double measured_ms(const char *profile, const char *name)
{
    FILE *in = profile ? fopen(profile, "r") : NULL;
    char line[256], what[128];
    double ms, last = -1;
    int n;

    while (in && fgets(line, sizeof line, in))
        if (sscanf(line, "%lf ms %d x %127[^\n]", &ms, &n, what) == 3 && strcmp(what, name) == 0)
            last = ms;
    if (in)
        fclose(in);
    return last;
}

static void print_row(const char *name, const struct cost *cost, double measured)
{
    printf("| %s | %d | %.2f | %.2f | %.2f |", name, cost->nodes, cost->bytes / 1e9,
           cost->flops / 1e12, cost->ms);
    if (measured >= 0)
        printf(" %.2f |", measured);
    printf("\n");
}

static void print_head(const struct fx_lowered *lowered, const struct args *args)
{
    printf("%s, batch %d, %s, %d lanes: instructions of a lane %d, arena %.2f GiB; %lld GB/s, %lld "
           "TFLOP/s, %lld ns a kernel\n\n| instruction | kernels | GB | TFLOP | predicted, ms |%s\n"
           "|---|---|---|---|---|%s\n",
           args->arch, lowered->n, args->fp32 ? "fp32" : "bf16", lowered->n_lanes,
           lowered->lanes[0].n_instrs, (double)lowered->plan.n_bytes / 0x1p30,
           (long long)args->gigabytes, (long long)args->teraflops, (long long)args->gap_ns,
           args->profile ? " measured, ms |" : "", args->profile ? "---|" : "");
}

static void print_table(const struct fx_lowered *lowered, const struct args *args)
{
    struct cost costs[FX_N_OPCODES] = { { 0 } }, all = { 0 }, rest = cost_of_rest(lowered, args);
    const struct fx_instr_list *lists[] = { &lowered->lanes[0], &lowered->lanes[lowered->n_lanes] };

    for (int k = 0; k < 2; k++)
        for (int i = 0; i < lists[k]->n_instrs; i++) {
            const struct fx_instr *s = &lists[k]->instrs[i];
            struct cost cost =
                cost_of(lowered, args, s, i > 0 ? s - 1 : NULL, k == 0 ? lowered->n_lanes : 1);
            add(&costs[s->op], &cost);
        }
    print_head(lowered, args);
    for (enum fx_opcode op = 0; op < FX_N_OPCODES; op++) {
        const char *name = fx_opcode_name(op);
        add(&all, &costs[op]);
        if (costs[op].nodes > 0)
            print_row(name, &costs[op], measured_ms(args->profile, name));
    }
    add(&all, &rest);
    print_row("input, loss, update", &rest, -1);
    print_row("all, one after the other", &all, -1);
    all.ms -= costs[FX_INSTR_CONV_BACK_WEIGHTS].ms;
    print_row("all, with weights' gradients wholly beside", &all, -1);
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
                                    .mask_bytes = 1,
                                    .norms_add = true,
                                    .stats_copy = true,
                                    .norms_relu = !args->relu_apart,
                                    .keeps_norms = !args->again,
                                    .conv_adds = true,
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
    struct args args = { .arch = "resnet18",
                         .fusion = "multiplicative",
                         .batch = 128,
                         .gigabytes = 4300,
                         .teraflops = 600,
                         .gigadraws = 500,
                         .gap_ns = 1500,
                         .processors = 132 };
    struct fx_option options[] = {
        { "arch", 0, "NAME", FX_OPT_STRING, &args.arch, 0, 0, NULL, "the experts", NULL },
        { "fusion", 0, "NAME", FX_OPT_STRING, &args.fusion, 0, 0, NULL, "fusion module", NULL },
        { "batch", 0, "N", FX_OPT_INT, &args.batch, 1, 4096, NULL, "images (128)", NULL },
        { "bandwidth", 0, "GB/S", FX_OPT_INT, &args.gigabytes, 1, 100000, NULL,
          "of the memory (4300, what an H200 copies)", NULL },
        { "matmul", 0, "TFLOP/S", FX_OPT_INT, &args.teraflops, 1, 100000, NULL,
          "of convolutions (600, assumed)", NULL },
        { "draws", 0, "G/S", FX_OPT_INT, &args.gigadraws, 1, 100000, NULL,
          "random values of dropout (500, assumed)", NULL },
        { "gap", 0, "NS", FX_OPT_INT, &args.gap_ns, 0, 1000000, NULL,
          "between two kernels of a graph (1500, assumed)", NULL },
        { "processors", 0, "N", FX_OPT_INT, &args.processors, 1, 1024, NULL,
          "multiprocessors (132, an H200's)", NULL },
        { "l2", 0, "MIB", FX_OPT_INT, &args.l2_mib, 0, 1024, NULL,
          "of it, what norms read twice and it keeps is not counted again (0)", NULL },
        { "profile", 0, "FILE", FX_OPT_STRING, &args.profile, 0, 0, NULL,
          "measured times, from `step --profile`", NULL },
        { "fp32", 0, NULL, FX_OPT_FLAG, &args.fp32, 0, 0, NULL, "maps in fp32 (bf16)", NULL },
        { "norms-again", 0, NULL, FX_OPT_FLAG, &args.again, 0, 0, NULL,
          "norms' results are computed again in the backward pass", NULL },
        { "whole", 0, NULL, FX_OPT_FLAG, &args.whole, 0, 0, NULL,
          "gradients of 1x1 layers' weights are not cut into parts", NULL },
        { "two-passes", 0, NULL, FX_OPT_FLAG, &args.two_passes, 0, 0, NULL,
          "every norm's backward pass by itself", NULL },
        { "relu-apart", 0, NULL, FX_OPT_FLAG, &args.relu_apart, 0, 0, NULL,
          "the ReLU of a sum has a backward pass of its own", NULL },
        { NULL, 0, NULL, FX_OPT_END, NULL, 0, 0, NULL, NULL, NULL },
    };
    const struct fx_tool tool = {
        .name = "timeline",
        .synopsis = "[options]",
        .summary = "Foretell the time of a training step on a GPU, kind by kind.",
        .options = options,
        .example = "timeline --arch densenet121",
    };
    struct fx_err err = { 0 };

    fx_tool_start(&tool, argc, argv);
    return fx_tool_exit(run(&args, &err), &err);
}
