/* cudnn-plans: which engine cuDNN runs each convolution of the networks by, on a card that
 * need not be here; not installed.
 *
 * A line for each distinct convolution, direction and precision, then a summary.  Grouped layers
 * are listed as the dense convolution that is run for each group, on maps cut into groups; data
 * gradients also as they are added to what is there ("data+"), which some layers do.  1x1
 * layers of stride 1 are matrix products and run through cuBLASLt ("gemm"); what cuDNN would do is
 * listed all the same.  Exit status 77: a convolution has no plan. */
#include "backend/cuda/vendor/cudnn_plan.h"
#include "base/io.h"
#include "base/tool.h"
#include "net/arch.h"
#include "net/model.h"
#include "cuda/cards.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 256, MAX_ENGINES = 128, BLOCK = 8, MIB = 1 << 20 };

struct args {
    const char *card, *arch, *precision;
    int64_t batch, workspace_mib;
};

/* A distinct convolution and how often it occurs. */
struct layer {
    struct fx_cudnn_shape shape;
    int n_layers, n_groups;
    bool needs_data; /* the gradient of its input is wanted somewhere */
};
struct layers {
    struct layer items[MAX_LAYERS];
    int n;
};

/* What was found out about one kind of plans. */
struct tally {
    int n_plans, n_missing, by_engine[MAX_ENGINES];
    size_t workspace_bytes; /* the largest */
};

/* ---- the convolutions ------------------------------------------------------------------------ */

static int padded(int c)
{
    return (c + BLOCK - 1) / BLOCK * BLOCK;
}

static struct layer layer_of(const struct fx_graph *graph, const struct fx_node *node, int n)
{
    const struct fx_node *input = &graph->nodes[node->inputs[0]];
    struct fx_cudnn_shape shape = { .n = n,
                                    .c_in = padded(input->shape.c / node->groups),
                                    .c_out = padded(node->shape.c / node->groups),
                                    .h_in = input->shape.h,
                                    .w_in = input->shape.w,
                                    .h_out = node->shape.h,
                                    .w_out = node->shape.w,
                                    .kernel = node->kernel,
                                    .stride = node->stride,
                                    .pad = node->pad,
                                    .groups = 1 };

    return (struct layer){ .shape = shape,
                           .n_layers = 1,
                           .n_groups = node->groups,
                           .needs_data = input->kind != FX_NODE_INPUT };
}

static bool same(const struct layer *a, const struct layer *b)
{
    const struct fx_cudnn_shape *s = &a->shape, *t = &b->shape;

    return a->n_groups == b->n_groups && s->c_in == t->c_in && s->c_out == t->c_out &&
           s->h_in == t->h_in && s->w_in == t->w_in && s->h_out == t->h_out &&
           s->w_out == t->w_out && s->kernel == t->kernel && s->stride == t->stride &&
           s->pad == t->pad;
}

static enum fx_status add_layer(struct layers *layers, const struct layer *layer,
                                struct fx_err *err)
{
    for (int i = 0; i < layers->n; i++)
        if (same(&layers->items[i], layer)) {
            layers->items[i].n_layers++;
            layers->items[i].needs_data |= layer->needs_data;
            return FX_OK;
        }
    if (layers->n == MAX_LAYERS)
        return fx_fail(err, FX_EUSAGE, "more than %d distinct convolutions", MAX_LAYERS);
    layers->items[layers->n++] = *layer;
    return FX_OK;
}

/* One lane of the network: the others are equal. */
static enum fx_status add_network(struct layers *layers, const char *arch, int n,
                                  struct fx_err *err)
{
    struct fx_model_config config = {
        .arch = arch, .n_experts = 1, .n_classes = 100, .expert_dropout = -1, .fusion_dropout = -1
    };
    struct fx_graph graph = { 0 };
    enum fx_status status = fx_model_build(&graph, &config, err);

    for (int i = 0; i < graph.n_nodes && status == FX_OK; i++)
        if (graph.nodes[i].kind == FX_NODE_CONV2D) {
            struct layer layer = layer_of(&graph, &graph.nodes[i], n);
            status = add_layer(layers, &layer, err);
        }
    fx_graph_fini(&graph);
    return status;
}

/* ---- the card -------------------------------------------------------------------------------- */

/* The description of a card by its word, or from a file; owned by the caller. */
static enum fx_status read_card(char **json, const char *card, struct fx_err *err)
{
    struct fx_input in;

    *json = NULL;
    if (find_card(card) != NULL) {
        *json = describe_card(find_card(card));
        return *json != NULL ? FX_OK : fx_fail(err, FX_EFAIL, "out of memory");
    }
    FX_TRY(fx_input_open(&in, card, err));
    *json = strndup((const char *)in.bytes, in.n_bytes);
    fx_input_close(&in);
    return *json != NULL ? FX_OK : fx_fail(err, FX_EFAIL, "out of memory");
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What a plan does. */
static const struct work {
    const char *name;
    enum fx_conv_direction direction;
    bool add;
} works[] = {
    { "forward", FX_CONV_FORWARD, false },
    { "data", FX_CONV_DATA, false },
    { "data+", FX_CONV_DATA, true },
    { "weights", FX_CONV_WEIGHTS, false },
};
enum { N_WORKS = sizeof works / sizeof *works };

/* What runs a layer. */
enum kind { CONV, GEMM, N_KINDS };
static const char *const kind_names[N_KINDS] = { [CONV] = "conv", [GEMM] = "gemm" };

static enum kind kind_of(const struct layer *layer)
{
    return layer->shape.kernel == 1 && layer->shape.stride == 1 ? GEMM : CONV;
}

static void print_row(const struct layer *layer, const char *work, const char *precision,
                      const struct fx_cudnn_facts *facts)
{
    static const char *const origins[] = {
        [FX_CUDNN_HEURISTIC] = "heuristic", [FX_CUDNN_TUNED] = "tuned", [FX_CUDNN_CACHED] = "cached"
    };
    const struct fx_cudnn_shape *s = &layer->shape;
    char from[32], to[32];

    snprintf(from, sizeof from, "%dx%dx%d", s->c_in, s->h_in, s->w_in);
    snprintf(to, sizeof to, "%dx%dx%d", s->c_out, s->h_out, s->w_out);
    printf("%-4s %-7s %-10s -> %-10s %dx%d/%d %-4s groups=%d layers=%-2d engine=%-2d %9zu bytes "
           "%-9s [%s] [%s]\n",
           precision, work, from, to, s->kernel, s->kernel, s->stride, kind_names[kind_of(layer)],
           layer->n_groups, layer->n_layers, facts->engine, facts->workspace_bytes,
           origins[facts->origin], facts->notes, facts->knobs);
}

static void count(struct tally *tally, const struct fx_cudnn_facts *facts)
{
    tally->n_plans++;
    if (facts->engine < MAX_ENGINES)
        tally->by_engine[facts->engine]++;
    if (facts->workspace_bytes > tally->workspace_bytes)
        tally->workspace_bytes = facts->workspace_bytes;
}

static void print_tally(const struct tally *tally, const char *card, const char *precision,
                        const char *work, const char *kind)
{
    printf("%s %s %s %s: %d plans, %d without; workspace at most %.1f MiB; engine x plans:", card,
           precision, kind, work, tally->n_plans, tally->n_missing,
           (double)tally->workspace_bytes / MIB);
    for (int i = 0; i < MAX_ENGINES; i++)
        if (tally->by_engine[i] > 0)
            printf(" %d x %d", i, tally->by_engine[i]);
    printf("\n");
}

/* One plan: a row of the table, or why there is none. */
static void print_plan(struct fx_cudnn *cudnn, const struct layer *layer, const struct work *work,
                       const char *precision, struct tally *tally)
{
    struct fx_cudnn_shape shape = layer->shape;
    const struct fx_cudnn_plan *plan;
    struct fx_cudnn_facts facts;
    struct fx_err err = { 0 };

    shape.bf16 = strcmp(precision, "bf16") == 0;
    shape.add = work->add;
    if (fx_cudnn_plan_get(&plan, cudnn, &shape, work->direction, &err) != FX_OK) {
        printf("%s\n", err.msg);
        tally->n_missing++;
        return;
    }
    fx_cudnn_plan_facts(plan, &facts);
    print_row(layer, work->name, precision, &facts);
    count(tally, &facts);
}

/* All layers in one precision; how many plans are missing. */
static int print_plans(struct fx_cudnn *cudnn, const struct layers *layers, const char *card,
                       const char *precision)
{
    struct tally tallies[N_KINDS][N_WORKS] = { 0 };
    int n_missing = 0;

    for (int i = 0; i < layers->n; i++) {
        const struct layer *layer = &layers->items[i];
        for (int w = 0; w < N_WORKS; w++)
            if (works[w].direction != FX_CONV_DATA || layer->needs_data)
                print_plan(cudnn, layer, &works[w], precision, &tallies[kind_of(layer)][w]);
    }
    for (enum kind kind = 0; kind < N_KINDS; kind++)
        for (int w = 0; w < N_WORKS; w++) {
            print_tally(&tallies[kind][w], card, precision, works[w].name, kind_names[kind]);
            n_missing += tallies[kind][w].n_missing;
        }
    return n_missing;
}

/* ---- the program ----------------------------------------------------------------------------- */

static enum fx_status collect(struct layers *layers, const struct args *args, struct fx_err *err)
{
    if (args->arch != NULL)
        return add_network(layers, args->arch, (int)args->batch, err);
    for (int i = 0; fx_archs[i].name != NULL; i++)
        FX_TRY(add_network(layers, fx_archs[i].name, (int)args->batch, err));
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct layers layers = { .n = 0 };
    struct fx_cudnn *cudnn = NULL;
    enum fx_status status;
    char *json = NULL;
    int n_missing = 0;

    FX_TRY(collect(&layers, args, err));
    FX_TRY_OUT(read_card(&json, args->card, err));
    FX_TRY_OUT(fx_cudnn_open_description(&cudnn, json, (size_t)args->workspace_mib * MIB, err));
    if (strcmp(args->precision, "fp32") != 0)
        n_missing += print_plans(cudnn, &layers, args->card, "bf16");
    if (strcmp(args->precision, "bf16") != 0)
        n_missing += print_plans(cudnn, &layers, args->card, "fp32");
    if (n_missing > 0)
        status = fx_fail(err, FX_EDEVICE, "%d convolutions have no plan", n_missing);
out:
    fx_cudnn_close(cudnn);
    free(json);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .card = "h200", .precision = "both", .batch = 128, .workspace_mib = 1024 };
    const struct fx_option options[] = {
        { "card", 0, "CARD", FX_OPT_STRING, &args.card, 0, 0, NULL,
          "h200, a100, v100 or a file of device properties (default: h200)", NULL },
        { "arch", 0, "ARCH", FX_OPT_STRING, &args.arch, 0, 0, NULL,
          "one architecture (default: the four full-size ones)", NULL },
        { "precision", 0, "P", FX_OPT_CHOICE, &args.precision, 0, 0, "fp32|bf16|both",
          "precisions (default: both)", NULL },
        { "batch", 'b', "N", FX_OPT_INT, &args.batch, 1, 65536, NULL, "images (default: 128)",
          NULL },
        { "workspace", 0, "MIB", FX_OPT_INT, &args.workspace_mib, 0, 65536, NULL,
          "what a plan may ask for (default: 1024)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "cudnn-plans",
        .synopsis = "[options]",
        .summary = "Prints which cuDNN engine runs each convolution of the networks.",
        .options = options,
        .example = "cudnn-plans --card a100 --precision bf16"
    };
    struct fx_err err = { 0 };

    if (fx_tool_start(&tool, argc, argv) != 0)
        return fx_tool_exit(fx_fail(&err, FX_EUSAGE, "no operands are taken"), &err);
    return fx_tool_exit(run(&args, &err), &err);
}
