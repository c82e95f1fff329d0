/* One operator at a time: runs a graph of a single node forward and backward on every back end and
 * compares value and gradients with ref's, and ref's gradients with finite differences.
 *
 * A test gives a function that builds the graph: INPUT nodes of any shape, then nodes of which the
 * last is looked at.  Inputs, parameters and the gradient of the last node are random and the same
 * for every back end. */
#ifndef FX_TESTS_OPS_OP_CASE_H
#define FX_TESTS_OPS_OP_CASE_H

#include "backend/backend.h"
#include "net/builder.h"
#include "required_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* What to build; arg is the test's own. */
typedef void (*op_build)(struct fx_builder *b, const void *arg);

struct op_case {
    const char *what; /* for messages */
    op_build build;
    const void *arg;
    int n; /* images */
    enum fx_mode mode;
    bool has_kink; /* a ReLU: finite differences across it say nothing, they are left out */
};

/* The back ends and precisions that are compared, with the largest error relative to the largest
 * reference value of the tensor.  fp32: another order of summation (or a Winograd transform);
 * bf16: 8 bits of mantissa on inputs, weights and results. */
static const struct op_device {
    const char *name;
    enum fx_precision precision;
    double tolerance;
} op_devices[] = {
    { "cpu", FX_PRECISION_FP32, 1e-4 },
    { "cpu", FX_PRECISION_BF16, 3e-2 },
    { "cuda", FX_PRECISION_FP32, 1e-4 },
    { "cuda", FX_PRECISION_BF16, 3e-2 },
};

/* A graph compiled on one back end. */
struct op_run {
    const struct fx_backend *backend;
    struct fx_graph graph;
    struct fx_device *device;
    struct fx_model *model;
    struct fx_program *program;
    int n;
    int last;
    uint32_t numbers[64]; /* of the images in the data set, for dropout */
};

/* Uniform in [-1, 1), a pure function of (stream, i). */
static float op_random(uint32_t stream, uint32_t i)
{
    uint64_t z = ((uint64_t)stream << 32 | i) + 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u; /* splitmix64 (Steele, Lea, Flood 2014) */
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (float)((double)((z ^ (z >> 31)) >> 40) * 0x1p-23 - 1.0);
}

/* Streams of op_random: inputs by node, parameters, the gradient of the last node, directions. */
enum { OP_INPUT = 1000, OP_PARAM = 2000, OP_GRADIENT = 3000, OP_DIRECTION = 4000 };

static size_t op_size(const struct op_run *run, int node)
{
    return (size_t)run->n * (size_t)fx_shape_elements(run->graph.nodes[node].shape);
}

static void op_check(enum fx_status status, const struct fx_err *err)
{
    if (status != FX_OK)
        fail_msg("status %d: %s", (int)status, err->msg);
}

static float *op_alloc(size_t n)
{
    float *p = calloc(n + 1, sizeof *p);

    assert_non_null(p);
    return p;
}

/* Input node's values; the second and later inputs differ from the first. */
static float *op_input(const struct op_run *run, int node)
{
    size_t n = op_size(run, node);
    float *x = op_alloc(n);

    for (size_t i = 0; i < n; i++)
        x[i] = op_random(OP_INPUT + (uint32_t)node, (uint32_t)i);
    return x;
}

/* A parameter's values: variances are positive. */
static float *op_param(const struct op_run *run, int param)
{
    const struct fx_param *p = &run->graph.params[param];
    float *w = op_alloc((size_t)p->n_elements);

    for (int64_t i = 0; i < p->n_elements; i++) {
        w[i] = op_random(OP_PARAM + (uint32_t)param, (uint32_t)i);
        if (p->kind == FX_PARAM_RUNNING_VAR)
            w[i] = 1.25f + 0.75f * w[i];
    }
    return w;
}

static void op_write_param(struct op_run *run, int param, const float *w)
{
    struct fx_err err = { 0 };

    op_check(run->backend->tensor_write(run->model, param, FX_ROLE_VALUE, w, &err), &err);
}

static void op_write_input(struct op_run *run, int node, const float *x)
{
    struct fx_err err = { 0 };

    op_check(run->backend->value_write(run->program, node, false, x, &err), &err);
}

static void op_close(struct op_run *run)
{
    if (run->model)
        run->backend->model_destroy(run->model);
    if (run->device)
        run->backend->device_close(run->device);
    fx_graph_fini(&run->graph);
    *run = (struct op_run){ 0 };
}

/* Opens the device and compiles the case; false, with a message, when the build or the machine
 * lacks it. */
static bool op_open(struct op_run *run, const struct op_case *c, const char *device,
                    enum fx_precision precision)
{
    struct fx_device_options options = { .n_threads = 2, .precision = precision };
    struct fx_builder b;
    struct fx_err err = { 0 };
    enum fx_status status;

    *run = (struct op_run){ .n = c->n };
    status = fx_backend_find(&run->backend, device, &options, &err);
    if (status == FX_OK)
        status = run->backend->device_open(&run->device, &options, &err);
    if (status == FX_EDEVICE) {
        skip_device(device, err.msg);
        run->device = NULL;
        return false;
    }
    op_check(status, &err);
    fx_builder_init(&b, &run->graph, &err);
    run->graph.input_gradients = true;
    c->build(&b, c->arg);
    op_check(b.status, &err);
    run->last = run->graph.n_nodes - 1;
    op_check(run->backend->model_create(&run->model, run->device, &run->graph, true, &err), &err);
    op_check(run->backend->program_create(&run->program, run->model, c->mode, c->n, &err), &err);
    op_check(run->backend->model_allocate(run->model, &err), &err);
    for (int i = 0; i < c->n; i++)
        run->numbers[i] = 100 + 7 * (uint32_t)i;
    return true;
}

/* Writes inputs, parameters and the gradient of the last node. */
static void op_fill(struct op_run *run, enum fx_mode mode)
{
    struct fx_err err = { 0 };
    size_t n = op_size(run, run->last);
    float *dy = op_alloc(n);

    for (int i = 0; i < run->graph.n_nodes; i++) {
        if (run->graph.nodes[i].kind == FX_NODE_INPUT) {
            float *x = op_input(run, i);

            op_write_input(run, i, x);
            free(x);
        }
    }
    for (int i = 0; i < run->graph.n_params; i++) {
        if (run->graph.params[i].kind != FX_PARAM_COUNTER) {
            float *w = op_param(run, i);

            op_write_param(run, i, w);
            free(w);
        }
    }
    for (size_t i = 0; i < n; i++)
        dy[i] = op_random(OP_GRADIENT, (uint32_t)i);
    if (mode == FX_TRAIN)
        op_check(run->backend->value_write(run->program, run->last, true, dy, &err), &err);
    free(dy);
}

static void op_forward(struct op_run *run)
{
    struct fx_batch batch = { .n = run->n, .numbers = run->numbers, .seed = 42, .epoch = 3 };
    struct fx_err err = { 0 };

    run->backend->step_begin(run->model);
    op_check(run->backend->input(run->program, &batch, &err), &err);
    op_check(run->backend->forward(run->program, &err), &err);
}

static void op_backward(struct op_run *run)
{
    struct fx_err err = { 0 };

    op_check(run->backend->backward(run->program, false, &err), &err);
}

static float *op_read_value(struct op_run *run, int node, bool gradient)
{
    struct fx_err err = { 0 };
    float *x = op_alloc(op_size(run, node));

    op_check(run->backend->value_read(run->program, node, gradient, x, &err), &err);
    return x;
}

static float *op_read_param(struct op_run *run, int param, enum fx_tensor_role role)
{
    struct fx_err err = { 0 };
    float *w = op_alloc((size_t)run->graph.params[param].n_elements);

    op_check(run->backend->tensor_read(run->model, param, role, w, &err), &err);
    return w;
}

/* max |a - b| <= tolerance * max |b| */
static void op_compare(const struct op_case *c, const char *device, const char *tensor,
                       const float *a, const float *b, size_t n, double tolerance)
{
    double largest = 0, worst = 0;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);

        largest = fmax(largest, fabs((double)b[i]));
        if (!(d <= worst)) {
            worst = d;
            at = i;
        }
    }
    if (!(worst <= tolerance * largest + 1e-12))
        fail_msg("%s on %s: %s[%zu] = %.9g, ref has %.9g (largest %.3g, allowed %.1e of it)",
                 c->what, device, tensor, at, (double)a[at], (double)b[at], largest, tolerance);
}

/* |a - b| <= 10 * tolerance * |b| in the Euclidean norm: for bf16 behind a ReLU, where a value that
 * rounds to the other side of zero takes its whole gradient with it. */
static void op_compare_norm(const struct op_case *c, const char *device, const char *tensor,
                            const float *a, const float *b, size_t n, double tolerance)
{
    double difference = 0, norm = 0;

    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];

        difference += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    if (!(sqrt(difference) <= 10 * tolerance * sqrt(norm) + 1e-12))
        fail_msg("%s on %s: %s is off by %.3g of its norm (allowed %.1e)", c->what, device, tensor,
                 sqrt(difference / norm), 10 * tolerance);
}

/* Value, gradients of inputs and of parameters of run against ref's. */
static void op_compare_runs(const struct op_case *c, struct op_run *run, struct op_run *ref,
                            const struct op_device *device)
{
    bool is_bf16 = device->precision == FX_PRECISION_BF16;
    void (*compare)(const struct op_case *, const char *, const char *, const float *,
                    const float *, size_t, double) =
        is_bf16 && c->has_kink ? op_compare_norm : op_compare;
    char label[64];
    float *a, *b;

    snprintf(label, sizeof label, "%s %s", device->name, is_bf16 ? "bf16" : "fp32");
    a = op_read_value(run, run->last, false);
    b = op_read_value(ref, ref->last, false);
    op_compare(c, label, "value", a, b, op_size(ref, ref->last), device->tolerance);
    free(a);
    free(b);
    for (int i = 0; c->mode == FX_TRAIN && i < ref->graph.n_nodes; i++) {
        if (ref->graph.nodes[i].kind != FX_NODE_INPUT)
            continue;
        a = op_read_value(run, i, true);
        b = op_read_value(ref, i, true);
        compare(c, label, "input gradient", a, b, op_size(ref, i), device->tolerance);
        free(a);
        free(b);
    }
    for (int i = 0; c->mode == FX_TRAIN && i < ref->graph.n_params; i++) {
        if (ref->graph.params[i].kind != FX_PARAM_TRAINED)
            continue;
        a = op_read_param(run, i, FX_ROLE_GRAD);
        b = op_read_param(ref, i, FX_ROLE_GRAD);
        compare(c, label, ref->graph.params[i].name, a, b, (size_t)ref->graph.params[i].n_elements,
                device->tolerance);
        free(a);
        free(b);
    }
}

/* sum dy * y of the last node, for the present inputs and parameters. */
static double op_projection(struct op_run *run)
{
    size_t n = op_size(run, run->last);
    double sum = 0;
    float *y;

    op_forward(run);
    y = op_read_value(run, run->last, false);
    for (size_t i = 0; i < n; i++)
        sum += (double)op_random(OP_GRADIENT, (uint32_t)i) * (double)y[i];
    free(y);
    return sum;
}

/* One tensor of the case: an INPUT node's value, or a parameter when node < 0. */
struct op_tensor {
    int node, param;
    size_t n;
};

static void op_write(struct op_run *run, const struct op_tensor *t, const float *x)
{
    if (t->node >= 0)
        op_write_input(run, t->node, x);
    else
        op_write_param(run, t->param, x);
}

/* <gradient, d> against (f(x + h d) - f(x - h d)) / 2h for three random directions d.  Values are
 * f32: with h = 1/64 rounding and truncation are both near 1e-4 of the slope's scale, which is the
 * norm of the gradient times that of a direction (0.577 an element). */
static void op_check_slope(const struct op_case *c, struct op_run *run, const struct op_tensor *t,
                           const float *x, const float *gradient)
{
    const double h = 1.0 / 64;
    float *moved = op_alloc(t->n);
    double norm = 0;

    for (size_t i = 0; i < t->n; i++)
        norm += (double)gradient[i] * (double)gradient[i];
    for (uint32_t k = 0; k < 3; k++) {
        double slope = 0, plus, minus, difference;

        for (size_t i = 0; i < t->n; i++) {
            double d = (double)op_random(OP_DIRECTION + k, (uint32_t)i);

            slope += (double)gradient[i] * d;
            moved[i] = (float)((double)x[i] + h * d);
        }
        op_write(run, t, moved);
        plus = op_projection(run);
        for (size_t i = 0; i < t->n; i++)
            moved[i] = (float)((double)x[i] - h * (double)op_random(OP_DIRECTION + k, (uint32_t)i));
        op_write(run, t, moved);
        minus = op_projection(run);
        difference = (plus - minus) / (2 * h);
        if (!(fabs(slope - difference) <= 2e-3 * sqrt(norm) * 0.577 + 1e-5))
            fail_msg("%s: gradient of %s %d along direction %u is %.9g, finite difference %.9g",
                     c->what, t->node >= 0 ? "input" : "parameter",
                     t->node >= 0 ? t->node : t->param, k, slope, difference);
    }
    op_write(run, t, x);
    free(moved);
}

/* ref's gradients of every input and trained parameter against finite differences. */
static void op_check_slopes(const struct op_case *c, struct op_run *run)
{
    for (int i = 0; i < run->graph.n_nodes; i++) {
        struct op_tensor t = { i, -1, op_size(run, i) };
        float *x, *gradient;

        if (run->graph.nodes[i].kind != FX_NODE_INPUT)
            continue;
        x = op_input(run, i);
        gradient = op_read_value(run, i, true);
        op_check_slope(c, run, &t, x, gradient);
        free(x);
        free(gradient);
    }
    for (int i = 0; i < run->graph.n_params; i++) {
        struct op_tensor t = { -1, i, (size_t)run->graph.params[i].n_elements };
        float *x, *gradient;

        if (run->graph.params[i].kind != FX_PARAM_TRAINED)
            continue;
        x = op_param(run, i);
        gradient = op_read_param(run, i, FX_ROLE_GRAD);
        op_check_slope(c, run, &t, x, gradient);
        free(x);
        free(gradient);
    }
}

/* The whole comparison of one case. */
static inline void op_run_case(const struct op_case *c)
{
    struct op_run ref, run;

    assert_true(op_open(&ref, c, "ref", FX_PRECISION_FP32));
    op_fill(&ref, c->mode);
    op_forward(&ref);
    if (c->mode == FX_TRAIN)
        op_backward(&ref);
    for (size_t i = 0; i < sizeof op_devices / sizeof *op_devices; i++) {
        if (op_open(&run, c, op_devices[i].name, op_devices[i].precision)) {
            op_fill(&run, c->mode);
            op_forward(&run);
            if (c->mode == FX_TRAIN)
                op_backward(&run);
            op_compare_runs(c, &run, &ref, &op_devices[i]);
        }
        op_close(&run);
    }
    if (c->mode == FX_TRAIN && !c->has_kink)
        op_check_slopes(c, &ref);
    op_close(&ref);
}

#endif
