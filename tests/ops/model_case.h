/* Whole small models on any back end: opening, filling, and running steps on made-up images. */
#ifndef FX_TESTS_OPS_MODEL_CASE_H
#define FX_TESTS_OPS_MODEL_CASE_H

#include "backend/backend.h"
#include "net/model.h"
#include "required_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MODEL_CLASSES = 10, MODEL_IMAGE = 3 * 32 * 32, MODEL_MAX_N = 8 };

/* The back ends that are compared with ref. */
static const char *const model_devices[] = { "cpu", "cuda" };
enum { N_MODEL_DEVICES = sizeof model_devices / sizeof *model_devices };

#define MODEL_EMA 0.75

/* One model with a training and an evaluation program of n images. */
struct model_case {
    const struct fx_backend *backend;
    struct fx_graph graph;
    struct fx_device *device;
    struct fx_model *model;
    struct fx_program *train, *eval;
    int n;
    float *pixels;
    uint8_t labels[MODEL_MAX_N];
    uint32_t numbers[MODEL_MAX_N], partner[MODEL_MAX_N];
    struct fx_mix mix;
    struct fx_loss_config loss; /* of training */
};

struct model_options {
    const char *arch, *fusion;
    int n_experts, n;
    double dropout; /* of experts and fusion */
    enum fx_fused_form fused;
    enum fx_norm_start norms;
    bool freeze, attack;
    bool averages; /* of decay MODEL_EMA */
    enum fx_precision precision;
    bool (*should_stop)(void);
    bool only_evaluates;
    int n_threads; /* 0: 2 */
};

static void model_check(enum fx_status status, const struct fx_err *err)
{
    if (status != FX_OK)
        fail_msg("status %d: %s", (int)status, err->msg);
}

/* A smooth pattern that differs from image to image. */
static void model_fill_images(struct model_case *m)
{
    m->pixels = calloc((size_t)m->n * MODEL_IMAGE, sizeof *m->pixels);
    assert_non_null(m->pixels);
    for (int i = 0; i < m->n; i++) {
        for (int j = 0; j < MODEL_IMAGE; j++)
            m->pixels[i * MODEL_IMAGE + j] =
                (float)(sin(0.11 * (i + 1) * j) + cos(0.013 * (i + 2) * j));
        m->labels[i] = (uint8_t)(3 * i % MODEL_CLASSES);
        m->numbers[i] = 50 + (uint32_t)i;
        m->partner[i] = (uint32_t)((i + 1) % m->n);
    }
}

/* Initial values from seed 1. */
static void model_fill_params(struct model_case *m, const struct model_options *o)
{
    struct fx_err err = { 0 };

    for (int i = 0; i < m->graph.n_params; i++) {
        const struct fx_param *p = &m->graph.params[i];
        float *values;

        if (p->kind == FX_PARAM_COUNTER)
            continue;
        values = calloc((size_t)p->n_elements, sizeof *values);
        assert_non_null(values);
        fx_param_init_fill(p, 1, values);
        model_check(m->backend->tensor_write(m->model, i, FX_ROLE_VALUE, values, &err), &err);
        if (m->graph.averages && !o->only_evaluates)
            model_check(m->backend->tensor_write(m->model, i, FX_ROLE_AVERAGE, values, &err), &err);
        free(values);
    }
}

static void model_close(struct model_case *m)
{
    if (m->model)
        m->backend->model_destroy(m->model);
    if (m->device)
        m->backend->device_close(m->device);
    fx_graph_fini(&m->graph);
    free(m->pixels);
    *m = (struct model_case){ 0 };
}

/* False, with a message, when the build or the machine lacks the device. */
static bool model_open(struct model_case *m, const char *device, const struct model_options *o)
{
    struct fx_device_options options = { .n_threads = o->n_threads ? o->n_threads : 2,
                                         .precision = o->precision,
                                         .should_stop = o->should_stop };
    struct fx_model_config config = { .arch = o->arch,
                                      .fusion = o->fusion,
                                      .n_experts = o->n_experts,
                                      .n_classes = MODEL_CLASSES,
                                      .expert_dropout = o->dropout,
                                      .fusion_dropout = o->dropout,
                                      .fused = o->fused,
                                      .norms = o->norms,
                                      .freeze = o->freeze,
                                      .attack = o->attack };
    struct fx_err err = { 0 };
    enum fx_status status;

    *m = (struct model_case){ .n = o->n };
    status = fx_backend_find(&m->backend, device, &options, &err);
    if (status == FX_OK)
        status = m->backend->device_open(&m->device, &options, &err);
    if (status == FX_EDEVICE) {
        skip_device(device, err.msg);
        return false;
    }
    model_check(status, &err);
    model_check(fx_model_build(&m->graph, &config, &err), &err);
    m->graph.averages = o->averages;
    model_check(m->backend->model_create(&m->model, m->device, &m->graph, !o->only_evaluates, &err),
                &err);
    if (!o->only_evaluates)
        model_check(m->backend->program_create(&m->train, m->model, FX_TRAIN, o->n, &err), &err);
    model_check(m->backend->program_create(&m->eval, m->model, FX_EVAL, o->n, &err), &err);
    model_check(m->backend->model_allocate(m->model, &err), &err);
    m->mix = (struct fx_mix){ .kind = FX_MIX_CUTMIX, .lam = 0.7f };
    m->loss = (struct fx_loss_config){ .alpha = 0.5f,
                                       .label_smoothing = 0.1f,
                                       .distill = 0.1f,
                                       .kd = 0.3f,
                                       .kd_experts = 0.2f,
                                       .kd_temperature = 2 };
    model_fill_images(m);
    model_fill_params(m, o);
    return true;
}

static struct fx_batch model_batch(const struct model_case *m, bool is_training)
{
    return (struct fx_batch){
        .n = m->n,
        .pixels = m->pixels,
        .labels = m->labels,
        .numbers = m->numbers,
        .mix = is_training ? &m->mix : NULL,
        .partner = is_training ? m->partner : NULL,
        .seed = 42,
        .epoch = 1,
    };
}

/* Forward, loss and backward; the gradients are those of one micro-batch. */
static enum fx_status model_gradients(struct model_case *m, bool accumulate, struct fx_err *err)
{
    struct fx_batch batch = model_batch(m, true);

    FX_TRY(m->backend->input(m->train, &batch, err));
    FX_TRY(m->backend->forward(m->train, err));
    FX_TRY(m->backend->loss(m->train, &m->loss, err));
    return m->backend->backward(m->train, accumulate, err);
}

/* update and step_end. */
static enum fx_status model_commit(struct model_case *m, const struct fx_update *update,
                                   const struct fx_sgd *sgd, struct fx_step_result *result,
                                   struct fx_err *err)
{
    FX_TRY(m->backend->update(m->train, update, sgd, err));
    return m->backend->step_end(m->model, result, err);
}

static enum fx_status model_update(struct model_case *m, int step, double *grad_norm,
                                   struct fx_err *err)
{
    struct fx_update update = { .step = step,
                                .lr = { 1e-6, 1e-5, 1e-5 },
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .weight_decay = 1e-4,
                                .clip = 1.0,
                                .grad_scale = 1.0,
                                .ema = MODEL_EMA };
    struct fx_step_result result = { 0 };
    enum fx_status status = model_commit(m, &update, NULL, &result, err);

    *grad_norm = result.grad_norm;
    return status;
}

/* Evaluation of the batch: losses and counts. */
static struct fx_losses model_evaluate(struct model_case *m)
{
    struct fx_loss_config loss = { .alpha = 1 };
    struct fx_batch batch = model_batch(m, false);
    struct fx_losses losses;
    struct fx_err err = { 0 };

    m->backend->step_begin(m->model);
    model_check(m->backend->input(m->eval, &batch, &err), &err);
    model_check(m->backend->forward(m->eval, &err), &err);
    model_check(m->backend->loss(m->eval, &loss, &err), &err);
    model_check(m->backend->losses_read(m->model, &losses, &err), &err);
    return losses;
}

#endif
