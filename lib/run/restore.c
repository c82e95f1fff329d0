/* Verified reading, generation by generation. */
#include "run/rundir_internal.h"

#include "base/jsonl.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- last ------------------------------------------------------------------------------------ */

uint32_t fx_checksum_of(const struct fx_tensor_set *set, const struct fx_tensor *stored)
{
    struct fx_checksum sum = { 0 };

    for (size_t i = 0; i < set->n_tensors && &set->tensors[i] != stored; i++)
        fx_checksum_add(&sum, &set->tensors[i], set->tensors[i].data);
    for (size_t i = 0; i < set->n_meta; i++)
        fx_checksum_add_meta(&sum, set->meta[i].key, set->meta[i].value);
    return sum.tensors ^ sum.meta;
}

static enum fx_status verify(const struct fx_tensor_set *set, const char *path, struct fx_err *err)
{
    const struct fx_tensor *stored = fx_tensor_set_find(set, FX_CHECKSUM_TENSOR);
    uint32_t wanted = 0;

    if (!stored || stored->n_bytes != 4)
        return fx_fail(err, FX_EINPUT, "%s: no checksum: not a checkpoint to resume from", path);
    for (int i = 0; i < 4; i++)
        wanted |= (uint32_t)((const uint8_t *)stored->data)[i] << (8 * i);
    if (fx_checksum_of(set, stored) != wanted)
        return fx_fail(err, FX_EINPUT, "%s: damaged: the checksum does not match", path);
    return FX_OK;
}

static enum fx_status parse_state(struct fx_restored *restored, const char *path,
                                  struct fx_err *err)
{
    const struct fx_tensor *tensor = fx_tensor_set_find(&restored->file.set, FX_STATE_TENSOR);
    enum fx_status status = FX_OK;
    json_t *root = NULL;
    json_error_t why;

    if (tensor)
        status = fx_json_parse(tensor->data, tensor->n_bytes, 0, &root, &why);
    if (status != FX_OK)
        return fx_fail(err, status, "%s: train.state: %s", path, why.text);
    restored->settings = json_incref(json_object_get(root, "settings"));
    status = fx_state_parse(&restored->state, json_object_get(root, "state"), err);
    json_decref(root);
    if (status == FX_OK && !json_is_object(restored->settings))
        status = fx_fail(err, FX_EINPUT, "train.state: no settings");
    return status == FX_OK ? FX_OK : fx_err_prepend(err, "%s: ", path);
}

static enum fx_status read_generation(struct fx_restored *restored, const char *path,
                                      struct fx_err *err)
{
    *restored = (struct fx_restored){ 0 };
    FX_TRY(fx_tensor_file_read(&restored->file, path, err));
    FX_TRY(verify(&restored->file.set, path, err));
    return parse_state(restored, path, err);
}

enum fx_status fx_restore_last(struct fx_restored *restored, const struct fx_rundir *rundir,
                               struct fx_err *err)
{
    enum fx_status status = read_generation(restored, rundir->last, err);

    /* Only what is missing or damaged is given up, not what could not be read this time. */
    if (status != FX_EINPUT && access(rundir->last, F_OK) == 0)
        return status;
    fx_log_warn("%s; going back to the checkpoint before it", err->msg);
    fx_restored_close(restored);
    status = read_generation(restored, rundir->last_previous, err);
    /* It takes the place of the damaged one: the next save must not remove what is good. */
    if (status == FX_OK && rename(rundir->last_previous, rundir->last) != 0)
        return fx_fail_errno(err, "%s", rundir->last);
    if (status == FX_OK || status == FX_ESTOPPED)
        return status;
    err->status = FX_EINPUT; /* also where the one before is not there */
    return fx_err_prepend(err, "neither generation of the checkpoint can be read: ");
}

void fx_restored_close(struct fx_restored *restored)
{
    fx_tensor_file_close(&restored->file);
    json_decref(restored->settings);
    *restored = (struct fx_restored){ 0 };
}

/* ---- into the engine ------------------------------------------------------------------------- */

static enum fx_status load_moments(struct fx_engine *engine, const struct fx_tensor_set *set,
                                   const char *prefix, enum fx_tensor_role role, struct fx_err *err)
{
    const struct fx_graph *graph = engine->graph;
    enum fx_status status = FX_OK;
    float *copy = NULL; /* a foreign header need not align what follows it */
    char name[256];

    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];
        if (role == FX_ROLE_AVERAGE ? !fx_param_is_averaged(param)
                                    : param->kind != FX_PARAM_TRAINED)
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, param->name);
        const struct fx_tensor *tensor = fx_tensor_set_find(set, name);
        if (!tensor || tensor->dtype != FX_F32 ||
            tensor->n_bytes != (size_t)param->n_elements * sizeof(float)) {
            status = fx_fail(err, FX_EINPUT, "%s: missing, or not as its parameter", name);
            goto out;
        }
        void *grown = realloc(copy, tensor->n_bytes);
        if (!grown) {
            status = fx_fail(err, FX_EFAIL, "%s: out of memory", name);
            goto out;
        }
        copy = memcpy(grown, tensor->data, tensor->n_bytes);
        FX_TRY_OUT(engine->backend->tensor_write(engine->model, i, role, copy, err));
    }
out:
    free(copy);
    return status;
}

enum fx_status fx_restore_engine(struct fx_engine *engine, const struct fx_restored *restored,
                                 bool sgd, struct fx_err *err)
{
    FX_TRY(fx_checkpoint_check(&restored->file.set, engine->graph, true, err));
    FX_TRY(fx_engine_load(engine, &restored->file.set, 0, err));
    FX_TRY(load_moments(engine, &restored->file.set, FX_EXP_AVG_PREFIX, FX_ROLE_EXP_AVG, err));
    if (engine->graph->averages)
        FX_TRY(load_moments(engine, &restored->file.set, FX_AVERAGE_PREFIX, FX_ROLE_AVERAGE, err));
    if (sgd)
        return FX_OK;
    return load_moments(engine, &restored->file.set, FX_EXP_AVG_SQ_PREFIX, FX_ROLE_EXP_AVG_SQ, err);
}

/* ---- best ------------------------------------------------------------------------------------ */

static uint32_t tensors_crc(const struct fx_tensor_set *set)
{
    struct fx_checksum sum = { 0 };

    for (size_t i = 0; i < set->n_tensors; i++)
        fx_checksum_add(&sum, &set->tensors[i], set->tensors[i].data);
    return sum.tensors;
}

/* What a file that may be best.safetensors is. */
enum best_file { BEST_GONE, BEST_DAMAGED, BEST_AHEAD, BEST_MEANT };

static enum best_file identify(const char *path, const struct fx_best *best)
{
    struct fx_tensor_file file = { 0 };
    enum best_file what = BEST_DAMAGED;
    struct fx_err why; /* not said here: the caller knows whether the file is needed */

    if (access(path, F_OK) != 0)
        return BEST_GONE;
    if (fx_tensor_file_read(&file, path, &why) == FX_OK) {
        const char *step = fx_tensor_set_meta(&file.set, "step");
        if ((int64_t)tensors_crc(&file.set) == best->crc)
            what = BEST_MEANT;
        else if (step && strtoll(step, NULL, 10) > best->step)
            what = BEST_AHEAD;
    }
    fx_tensor_file_close(&file);
    return what;
}

bool fx_restore_best_is_meant(const struct fx_rundir *rundir, const struct fx_best *best)
{
    return identify(rundir->best, best) == BEST_MEANT;
}

enum fx_status fx_restore_best_file(struct fx_saver *saver, struct fx_state *state,
                                    struct fx_err *err)
{
    const struct fx_rundir *rundir = saver->rundir;
    enum best_file what = identify(rundir->best, &state->best);

    if (state->best.epoch == 0 || what == BEST_MEANT)
        return FX_OK;
    if (identify(rundir->best_previous, &state->best) == BEST_MEANT) {
        if (rename(rundir->best_previous, rundir->best) != 0)
            return fx_fail_errno(err, "%s", rundir->best);
        return FX_OK;
    }
    /* The parameters at hand are the best ones: write them again. */
    if (state->best.step == state->step)
        return fx_save_best(saver, state, err);
    if (what == BEST_AHEAD)
        return FX_OK; /* the epoch that wrote it is about to be trained again */
    if (what == BEST_GONE) {
        fx_log_warn("%s: gone; the best of the epochs to come is kept instead", rundir->best);
        state->best = (struct fx_best){ 0 };
        return FX_OK;
    }
    return fx_fail(err, FX_EINPUT,
                   "%s: damaged; remove it to go on with the best of the epochs to come",
                   rundir->best);
}

enum fx_status fx_restore_best(struct fx_engine *engine, const struct fx_rundir *rundir,
                               const struct fx_best *best, struct fx_err *err)
{
    struct fx_tensor_file file = { 0 };
    enum fx_status status;

    FX_TRY_OUT(fx_tensor_file_read(&file, rundir->best, err));
    if ((int64_t)tensors_crc(&file.set) != best->crc) {
        status = fx_fail(err, FX_EINPUT, "%s: damaged: not what epoch %lld wrote", rundir->best,
                         (long long)best->epoch);
        goto out;
    }
    FX_TRY_OUT(fx_checkpoint_check(&file.set, engine->graph, true, err));
    FX_TRY_OUT(fx_engine_load(engine, &file.set, 0, err));
out:
    fx_tensor_file_close(&file);
    return status;
}
