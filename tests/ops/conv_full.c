/* Every convolution of the four networks as the cuda back end runs it: compiled with the whole
 * training program of four experts at batch 128, with its plan, workspace, streams and all lanes at
 * once, and launched alone on random data, each direction beside naive loops on the device
 * (naive_conv.h).  Those look at every seventh row and third output channel, which keeps the whole
 * in seconds and meets every position of a tile.  The simulator runs small members.
 *
 * Limits: f32 sums of up to 131,072 products, in the order of tensor cores or of Winograd's
 * transforms; a value that is rounded to bf16 is off by at most 2^-8 of itself. */
#include "backend/cuda/cuda_internal.h"
#include "backend/cuda/wgrad_stream_internal.h"
#include "naive_conv.h"
#include "net/model.h"
#include "required_device.h"

enum { BATCH = 128, SMALL_BATCH = 2, EXPERTS = 4, CLASSES = 100, MAX_PLANS = 1024 };
enum { ROW_STEP = 7, CHANNEL_STEP = 3 };
#define OF_SUM 1e-5f
#define OF_BF16 0x1p-8f

struct net {
    const char *arch, *fusion, *small;
};
static const struct net nets[] = {
    { "densenet121", "multiplicative", "densenet121:growth=12,blocks=1-1-1-1" },
    { "resnet18", "multiplicativeAddition", "resnet18:width=8,blocks=1-1-1-1" },
    { "improved_wideresnet28_10", "TransformerBase", "improved_wideresnet28_10:depth=10,width=1" },
    { "preact_resnext29_8x64d", "concatenation",
      "preact_resnext29_8x64d:depth=11,cardinality=4,base_width=8,width=8" },
};
enum { N_NETS = sizeof nets / sizeof *nets };

/* A network compiled for training, and what of it was compared; owned. */
struct full {
    struct fx_device *device;
    struct fx_graph graph;
    struct fx_model *model;
    struct fx_program *program;
    struct naive_conv seen[MAX_PLANS];
    enum fx_opcode seen_op[MAX_PLANS];
    int n_seen;
    int *worst; /* on the device */
};

static void good(enum fx_status status, const struct fx_err *err)
{
    if (status != FX_OK)
        fail_msg("status %d: %s", (int)status, err->msg);
}

static void done(cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s", cudaGetErrorString(error));
}

/* False, with a message, where there is no device. */
static bool open_full(struct full *f, const struct net *net, enum fx_precision precision)
{
    struct fx_device_options options = { .n_threads = 1, .precision = precision };
    struct fx_model_config config = { .fusion = net->fusion,
                                      .n_experts = EXPERTS,
                                      .n_classes = CLASSES,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_err err = { 0 };
    bool is_small = strstr(fx_backend_names(), "simulated") != NULL;
    enum fx_status status = fx_cuda_device_open(&f->device, &options, &err);

    if (status == FX_EDEVICE) {
        skip_device("cuda", err.msg);
        return false;
    }
    good(status, &err);
    config.arch = is_small ? net->small : net->arch;
    good(fx_model_build(&f->graph, &config, &err), &err);
    good(fx_cuda_model_create(&f->model, f->device, &f->graph, true, &err), &err);
    good(fx_cuda_program_create(&f->program, f->model, FX_TRAIN, is_small ? SMALL_BATCH : BATCH,
                                &err),
         &err);
    good(fx_cuda_model_allocate(f->model, &err), &err);
    done(cudaMalloc((void **)&f->worst, sizeof *f->worst));
    return true;
}

static void close_full(struct full *f)
{
    cudaFree(f->worst);
    fx_cuda_model_destroy(f->model);
    fx_cuda_device_close(f->device);
    fx_graph_fini(&f->graph);
}

/* ---- one instruction ---- */

static bool is_convolution(enum fx_opcode op)
{
    return op == FX_INSTR_CONV_FORWARD || op == FX_INSTR_CONV_BACK_DATA ||
           op == FX_INSTR_CONV_BACK_WEIGHTS;
}

static enum fx_conv_direction direction_of(enum fx_opcode op)
{
    return op == FX_INSTR_CONV_FORWARD     ? FX_CONV_FORWARD
           : op == FX_INSTR_CONV_BACK_DATA ? FX_CONV_DATA
                                           : FX_CONV_WEIGHTS;
}

static struct naive_conv conv_of(const struct fx_cuda_exec *exec, const struct fx_instr *s)
{
    const struct fx_node *node = &exec->program->model->graph->nodes[s->node];
    int x_at = s->op == FX_INSTR_CONV_BACK_DATA ? 1 : 0;
    const struct fx_view *x = &s->operands[x_at], *y = &s->operands[1 - x_at];

    return (struct naive_conv){ .x = fx_cuda_map(exec, x),
                                .y = fx_cuda_map(exec, y),
                                .w = s->op == FX_INSTR_CONV_BACK_WEIGHTS
                                         ? fx_cuda_param(exec, node->params[0], FX_ROLE_GRAD).data
                                         : fx_cuda_weight(exec, node->params[0]),
                                .w_lane = exec->batch->trained_lane,
                                .layout = fx_weight_layout_of(node, x->c, FX_K_BLOCK),
                                .n = exec->program->lowered.n,
                                .h_in = x->area / x->w,
                                .w_in = x->w,
                                .h_out = y->area / y->w,
                                .w_out = y->w,
                                .stride = node->stride,
                                .pad = node->pad,
                                .adds = s->accumulate };
}

/* Whether two are run by the same plan: all but the addresses. */
static bool are_alike(const struct naive_conv *a, const struct naive_conv *b)
{
    return memcmp(&a->layout, &b->layout, sizeof a->layout) == 0 && a->h_in == b->h_in &&
           a->w_in == b->w_in && a->h_out == b->h_out && a->w_out == b->w_out &&
           a->stride == b->stride && a->pad == b->pad && a->adds == b->adds && a->x.ld == b->x.ld &&
           a->y.ld == b->y.ld && a->x.group_c == b->x.group_c && a->y.group_c == b->y.group_c &&
           (a->x.lane == 0) == (b->x.lane == 0);
}

static bool is_new(struct full *f, const struct naive_conv *c, enum fx_opcode op)
{
    for (int i = 0; i < f->n_seen; i++)
        if (f->seen_op[i] == op && are_alike(&f->seen[i], c))
            return false;
    assert_true(f->n_seen < MAX_PLANS);
    f->seen_op[f->n_seen] = op;
    f->seen[f->n_seen++] = *c;
    return true;
}

/* What is read gets numbers, what is written over NaN.  (Gradients of weights are f32.) */
static void fill(const struct fx_cuda_exec *exec, const struct naive_conv *c,
                 enum fx_conv_direction direction)
{
    const struct fx_k_launch *l = &exec->launch;
    int rows_x = c->n * c->h_in * c->w_in, rows_y = c->n * c->h_out * c->w_out;
    uint32_t seed = c->x_seed;

    done(naive_fill_map(l, &c->x, rows_x, seed));
    done(naive_fill_map(l, &c->y, rows_y, seed + 1));
    if (direction == FX_CONV_FORWARD)
        done(naive_spoil_map(l, &c->y, rows_y));
    if (direction == FX_CONV_DATA && !c->adds)
        done(naive_spoil_map(l, &c->x, rows_x));
    if (direction != FX_CONV_WEIGHTS) {
        done(naive_fill_weights(l, c, seed + 2));
        return;
    }
    for (int lane = 0; lane < l->n_lanes; lane++)
        done(cudaMemsetAsync((float *)c->w + (size_t)lane * c->w_lane, 0xff,
                             fx_weight_floats(&c->layout) * sizeof(float), l->stream));
}

/* The largest error in parts of what is allowed. */
static double run_one(const struct full *f, const struct fx_cuda_exec *exec,
                      const struct fx_instr *instr, const struct fx_compiled *compiled,
                      const struct naive_conv *c)
{
    enum fx_conv_direction direction = direction_of(instr->op);
    bool rounds = exec->launch.bf16; /* also the gradients of weights, on their way */
    int step = direction == FX_CONV_WEIGHTS ? CHANNEL_STEP : ROW_STEP;
    struct fx_err err = { 0 };
    float worst;

    fill(exec, c, direction);
    good(fx_cuda_conv.launch(exec, instr, compiled, &err), &err);
    done(cudaMemsetAsync(f->worst, 0, sizeof *f->worst, exec->launch.stream));
    done(naive_compare(&exec->launch, c, direction, step, OF_SUM, rounds ? OF_BF16 : 0, f->worst));
    done(cudaStreamSynchronize(exec->launch.stream));
    done(cudaMemcpy(&worst, f->worst, sizeof worst, cudaMemcpyDeviceToHost));
    return (double)worst;
}

/* ---- a network ---- */

/* Prints what is wrong; whether it is. */
static bool is_bad(double worst, const struct fx_cuda_exec *exec, const struct fx_instr *instr,
                   const struct naive_conv *c)
{
    const struct fx_graph *graph = exec->program->model->graph;

    if (worst <= 1)
        return false;
    print_message(
        "# %s%s of %s, %d lanes, %d to %d channels, %dx%d to %dx%d: %g of what is allowed\n",
        fx_opcode_name(instr->op), c->adds ? ", added," : "",
        graph->params[graph->nodes[instr->node].params[0]].name, exec->launch.n_lanes, c->x.c,
        c->y.c, c->h_in, c->w_in, c->h_out, c->w_out, worst);
    return true;
}

static int compare_batch(struct full *f, const struct fx_lane_batch *batch, double *largest)
{
    const struct fx_instr_list *list = &f->program->lowered.lanes[batch->first];
    int n_bad = 0;

    for (int i = 0; i < list->n_instrs; i++) {
        const struct fx_instr *instr = &list->instrs[i];
        struct fx_cuda_exec exec = fx_cuda_exec_of(f->program, batch);

        if (!is_convolution(instr->op))
            continue;
        exec.queue = fx_wgrad_queue_of(instr);
        struct naive_conv c = conv_of(&exec, instr);
        if (!is_new(f, &c, instr->op))
            continue;
        c.x_seed = (uint32_t)f->n_seen;
        double worst = run_one(f, &exec, instr, &f->program->compiled[batch->first][i], &c);
        *largest = worst > *largest ? worst : *largest;
        n_bad += is_bad(worst, &exec, instr, &c);
    }
    return n_bad;
}

static void compare_net(const struct net *net, enum fx_precision precision)
{
    struct full *f = calloc(1, sizeof *f);
    double largest = 0;
    int n_bad = 0;

    assert_non_null(f);
    if (open_full(f, net, precision)) {
        for (int i = 0; i <= f->program->n_batches; i++)
            n_bad += compare_batch(f, &f->program->batches[i], &largest);
        print_message("# %s %s: %d plans, errors of at most %.3f of what is allowed\n", net->arch,
                      precision == FX_PRECISION_BF16 ? "bf16" : "fp32", f->n_seen, largest);
        assert_true(f->n_seen > 10);
        /* Some values are rounded by nearly half a place: more is not allowed. */
        assert_true(precision == FX_PRECISION_FP32 || largest > 0.5);
        close_full(f);
    }
    free(f);
    assert_int_equal(n_bad, 0);
}

static void bf16_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < N_NETS; i++)
        compare_net(&nets[i], FX_PRECISION_BF16);
}

static void fp32_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < N_NETS; i++)
        compare_net(&nets[i], FX_PRECISION_FP32);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(bf16_convolutions),
                                        cmocka_unit_test(fp32_convolutions) };

    return cmocka_run_group_tests_name("conv_full", tests, NULL, NULL);
}
