/* A checkpoint is described as a set whose tensors are fetched from the device one by one while
 * the file is written: no second copy of the model is ever in memory. */
#include "run/rundir_internal.h"

#include "base/jsonl.h"
#include "base/number.h"
#include "base/tool.h"
#include "base/words.h"
#include "checkpoint/checkpoint.h"
#include "data/image_facts.h"
#include "net/fusion.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- checksum -------------------------------------------------------------------------------- */

void fx_checksum_add(struct fx_checksum *sum, const struct fx_tensor *tensor, const void *bytes)
{
    const char *dtype = fx_dtype_name(tensor->dtype);
    uLong crc = sum->tensors;

    crc = crc32_z(crc, (const Bytef *)tensor->name, strlen(tensor->name) + 1);
    crc = crc32_z(crc, (const Bytef *)dtype, strlen(dtype) + 1);
    crc =
        crc32_z(crc, (const Bytef *)tensor->shape, (size_t)tensor->n_dims * sizeof *tensor->shape);
    sum->tensors = (uint32_t)crc32_z(crc, bytes, tensor->n_bytes);
}

/* Pairs are combined by exclusive or: their order in the file does not matter.  "format" is the
 * writer's own. */
void fx_checksum_add_meta(struct fx_checksum *sum, const char *key, const char *value)
{
    if (strcmp(key, "format") == 0)
        return;
    uLong crc = crc32_z(0, (const Bytef *)key, strlen(key) + 1);
    sum->meta ^= (uint32_t)crc32_z(crc, (const Bytef *)value, strlen(value));
}

/* ---- the set --------------------------------------------------------------------------------- */

static enum fx_status put_int(struct fx_tensor_set *set, const char *key, int64_t value,
                              struct fx_err *err)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)value);
    return fx_tensor_set_put_meta(set, key, text, err);
}

static enum fx_status put_command(struct fx_tensor_set *set, const struct fx_settings *settings,
                                  struct fx_err *err)
{
    char *command = fx_settings_command(settings);

    if (!command)
        return fx_fail(err, FX_EFAIL, "out of memory");
    enum fx_status status = fx_tensor_set_put_meta(set, "command", command, err);
    free(command);
    return status;
}

/* epoch 0: nothing has been measured yet. */
static enum fx_status describe(const struct fx_saver *saver, struct fx_tensor_set *set,
                               int64_t epoch, int64_t step, double val_accuracy, struct fx_err *err)
{
    const struct fx_settings *settings = saver->settings;
    const struct fx_graph *graph = saver->engine->graph;
    char number[FX_NUMBER_BYTES], word[FX_WORD_BYTES];

    FX_TRY(fx_tensor_set_put_meta(set, "arch", settings->arch, err));
    if (settings->fusion != FX_NONE)
        FX_TRY(fx_tensor_set_put_meta(set, "fusion", fx_fusions[settings->fusion].name, err));
    if (settings->fusion != FX_NONE && settings->fused != FX_FUSED_HEAD)
        FX_TRY(fx_tensor_set_put_meta(set, "fused",
                                      fx_word_text(FX_FUSED_FORMS, settings->fused, word), err));
    FX_TRY(put_int(set, "experts", graph->n_experts, err));
    FX_TRY(put_int(set, "classes", graph->n_classes, err));
    FX_TRY(put_int(set, "epoch", epoch, err));
    FX_TRY(put_int(set, "step", step, err));
    if (epoch > 0)
        FX_TRY(fx_tensor_set_put_meta(set, "val_accuracy",
                                      fx_number_text(val_accuracy, number, sizeof number), err));
    FX_TRY(put_int(set, "seed", settings->seed, err));
    FX_TRY(fx_tensor_set_put_meta(set, "data_digest", settings->data_digest, err));
    FX_TRY(fx_image_facts_copy(&saver->dataset->file.set, set, err));
    FX_TRY(fx_tensor_set_put_meta(set, "tool", settings->tool, err));
    FX_TRY(fx_tensor_set_put_meta(set, "version", fx_version, err));
    return put_command(set, settings, err);
}

/* Whether a parameter has what is saved under a prefix. */
static bool has_role(const struct fx_param *param, const char *prefix)
{
    if (strcmp(prefix, FX_AVERAGE_PREFIX) == 0)
        return fx_param_is_averaged(param);
    return *prefix == '\0' || param->kind == FX_PARAM_TRAINED;
}

/* The parameters under their own names, or what they have under a prefix. */
static enum fx_status add_params(const struct fx_graph *graph, struct fx_tensor_set *set,
                                 const char *prefix, struct fx_err *err)
{
    char name[256];

    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];
        enum fx_dtype dtype = fx_param_dtype(param);
        if (!has_role(param, prefix))
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, param->name);
        FX_TRY(fx_tensor_set_add(set, name, dtype, param->n_dims, param->shape, NULL, err));
    }
    return FX_OK;
}

/* ---- fetching -------------------------------------------------------------------------------- */

struct fetch {
    struct fx_engine *engine;
    struct fx_checksum sum;
    const char *state_text; /* borrowed: content of train.state */
    bool averages;          /* the parameters under their own names are the averages */
};

static const char *strip(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncmp(name, prefix, n) == 0 ? name + n : NULL;
}

static enum fx_status fetch_param(struct fetch *fetch, const struct fx_tensor *tensor, void *buf,
                                  struct fx_err *err)
{
    const struct fx_engine *engine = fetch->engine;
    enum fx_tensor_role role = FX_ROLE_VALUE;
    const char *name = tensor->name, *rest;

    if ((rest = strip(name, FX_EXP_AVG_PREFIX)))
        role = FX_ROLE_EXP_AVG;
    else if ((rest = strip(name, FX_EXP_AVG_SQ_PREFIX)))
        role = FX_ROLE_EXP_AVG_SQ;
    else if ((rest = strip(name, FX_AVERAGE_PREFIX)))
        role = FX_ROLE_AVERAGE;
    int param = fx_graph_find_param(engine->graph, rest ? rest : name);
    if (fetch->averages && fx_param_is_averaged(&engine->graph->params[param]))
        role = FX_ROLE_AVERAGE;
    return engine->backend->tensor_read(engine->model, param, role, buf, err);
}

static enum fx_status fetch(void *ctx, const struct fx_tensor *tensor, void *buf,
                            struct fx_err *err)
{
    struct fetch *self = ctx;

    if (strcmp(tensor->name, FX_CHECKSUM_TENSOR) == 0) {
        uint32_t crc = self->sum.tensors ^ self->sum.meta;
        for (int i = 0; i < 4; i++)
            ((uint8_t *)buf)[i] = (uint8_t)(crc >> (8 * i));
        return FX_OK;
    }
    if (strcmp(tensor->name, FX_STATE_TENSOR) == 0)
        memcpy(buf, self->state_text, tensor->n_bytes);
    else
        FX_TRY(fetch_param(self, tensor, buf, err));
    fx_checksum_add(&self->sum, tensor, buf);
    return FX_OK;
}

/* Writes the set under its final name; what the name meant before becomes `older`. */
static enum fx_status write_set(const struct fx_tensor_set *set, struct fetch *ctx,
                                const char *path, const char *older, struct fx_err *err)
{
    struct fx_output out;
    enum fx_status status;

    for (size_t i = 0; i < set->n_meta; i++)
        fx_checksum_add_meta(&ctx->sum, set->meta[i].key, set->meta[i].value);
    FX_TRY(fx_output_open(&out, path, true, err));
    FX_TRY_OUT(fx_safetensors_write(set, out.fd, path, fetch, ctx, err));
    FX_TRY_OUT(fx_output_sync(&out, err));
    FX_TRY_OUT(fx_rundir_keep(path, older, err));
    FX_TRY_OUT(fx_output_commit(&out, err));
out:
    if (status != FX_OK)
        fx_output_abandon(&out);
    return status;
}

/* ---- best ------------------------------------------------------------------------------------ */

enum fx_status fx_save_best(struct fx_saver *saver, struct fx_state *state, struct fx_err *err)
{
    struct fx_tensor_set set;
    struct fetch ctx = { .engine = saver->engine, .averages = saver->engine->graph->averages };
    struct fx_best *best = &state->best;
    enum fx_status status;

    fx_tensor_set_init(&set);
    FX_TRY_OUT(describe(saver, &set, best->epoch, best->step, best->accuracy, err));
    FX_TRY_OUT(add_params(saver->engine->graph, &set, "", err));
    FX_TRY_OUT(write_set(&set, &ctx, saver->rundir->best, saver->rundir->best_previous, err));
    best->crc = ctx.sum.tensors;
out:
    fx_tensor_set_fini(&set);
    return status;
}

/* ---- last ------------------------------------------------------------------------------------ */

/* train.state: {"state":{...},"settings":{...}}; malloc'ed, NULL when memory is short. */
static char *state_text(const struct fx_state *state, const struct fx_settings *settings)
{
    json_t *root = json_pack("{s:o, s:o}", "state", fx_state_json(state), "settings",
                             fx_settings_json(settings));
    char *text = root ? fx_json_dump(root, JSON_COMPACT) : NULL;

    json_decref(root);
    return text;
}

static enum fx_status add_state(const struct fx_saver *saver, struct fx_tensor_set *set,
                                const char *text, struct fx_err *err)
{
    const struct fx_graph *graph = saver->engine->graph;
    int64_t n_text = (int64_t)strlen(text), n_checksum = 4;

    FX_TRY(add_params(graph, set, "", err));
    FX_TRY(add_params(graph, set, FX_EXP_AVG_PREFIX, err));
    /* SGD keeps its momentum in exp_avg and has no second moment. */
    if (!saver->settings->sgd)
        FX_TRY(add_params(graph, set, FX_EXP_AVG_SQ_PREFIX, err));
    if (graph->averages)
        FX_TRY(add_params(graph, set, FX_AVERAGE_PREFIX, err));
    FX_TRY(fx_tensor_set_add(set, FX_STATE_TENSOR, FX_U8, 1, &n_text, NULL, err));
    return fx_tensor_set_add(set, FX_CHECKSUM_TENSOR, FX_U8, 1, &n_checksum, NULL, err);
}

enum fx_status fx_save_last(struct fx_saver *saver, const struct fx_state *state,
                            struct fx_err *err)
{
    struct fx_tensor_set set;
    char *text = state_text(state, saver->settings);
    struct fetch ctx = { .engine = saver->engine, .state_text = text };
    enum fx_status status;

    fx_tensor_set_init(&set);
    if (!text) {
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", saver->rundir->last);
        goto out;
    }
    FX_TRY_OUT(describe(saver, &set, state->epochs_done, state->step, state->val_accuracy, err));
    FX_TRY_OUT(add_state(saver, &set, text, err));
    FX_TRY_OUT(write_set(&set, &ctx, saver->rundir->last, saver->rundir->last_previous, err));
    /* Both generations of `last` mean the same best now: nobody needs the one before. */
    if (saver->best_epoch_on_disk == state->best.epoch)
        fx_rundir_drop_best_previous(saver->rundir);
    saver->best_epoch_on_disk = state->best.epoch;
out:
    fx_tensor_set_fini(&set);
    free(text);
    return status;
}
