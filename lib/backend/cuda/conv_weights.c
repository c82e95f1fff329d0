/* By which way the weight gradient of a 1x1 layer is computed: as it is kept, else by the fastest
 * on the device, else by the rule. */
#include "backend/cuda/conv_internal.h"
#include "backend/cuda/timing.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 128, NONE = -1 };

static const char *const names[FX_N_CONV_WAYS] = {
    [FX_CONV_WHOLE] = "whole", [FX_CONV_PARTS] = "parts", [FX_CONV_CUDNN] = "cudnn"
};

/* ---- what is kept -----------------------------------------------------------------------------
 */

/* The layer, in all that a timing depends on: its maps are packed. */
static void print_name(char *text, const struct fx_cuda_exec *exec,
                       const struct fx_conv_geometry *g)
{
    const struct fx_cudnn_shape *s = &g->shape;

    snprintf(text, NAME_BYTES, "1x1 weights %s lanes=%d n=%d %dx%dx%d -> %dx%dx%d",
             s->bf16 ? "bf16" : "f32", exec->launch.n_lanes, s->n, s->c_in, s->h_in, s->w_in,
             s->c_out, s->h_out, s->w_out);
}

static int kept_way(const struct fx_plan_cache *cache, const char *layer)
{
    const json_t *entry = fx_plan_cache_find(cache, layer);
    const char *name = json_string_value(json_object_get(entry, "way"));

    for (int way = 0; way < FX_N_CONV_WAYS && name; way++)
        if (strcmp(name, names[way]) == 0)
            return way;
    if (entry)
        fx_plan_cache_complain(cache, layer);
    return NONE;
}

/* ---- trials -----------------------------------------------------------------------------------
 */

/* The layer on memory of its own, where its lanes lie one behind the other. */
struct trial {
    struct fx_lane_batch batch;
    struct fx_cuda_exec exec; /* of this batch */
    struct fx_conv_geometry g;
    struct fx_compiled compiled;
};

static bool trial_map(struct fx_k_map *map, const struct fx_cuda_exec *exec, int rows)
{
    size_t lane = (size_t)rows * (size_t)map->ld;
    size_t value = fx_cuda_value_bytes(exec->program->model->device);

    map->lane = map->lane > 0 ? lane : 0;
    return fx_timing_noise((void **)&map->data, (size_t)exec->launch.n_lanes * lane * value,
                           exec->launch.bf16, exec->launch.stream);
}

static bool trial_open(struct trial *trial, const struct fx_cuda_exec *exec,
                       const struct fx_conv_geometry *g)
{
    size_t lane = fx_weight_floats(&g->layout);

    *trial = (struct trial){ .batch = *exec->batch, .exec = *exec, .g = *g };
    trial->batch.trained_lane = lane;
    trial->exec.batch = &trial->batch;
    trial->g.x.data = trial->g.y.data = NULL;
    trial->g.grad.lane = lane;
    return trial_map(&trial->g.x, exec, g->rows) && trial_map(&trial->g.y, exec, g->rows) &&
           cudaMalloc((void **)&trial->g.grad.data,
                      (size_t)exec->launch.n_lanes * lane * sizeof(float)) == cudaSuccess;
}

static void trial_close(struct trial *trial)
{
    cudaFree(trial->g.x.data);
    cudaFree(trial->g.y.data);
    cudaFree(trial->g.grad.data);
}

static bool run(const void *what)
{
    const struct trial *trial = what;
    struct fx_err ignored = { 0 };

    return fx_conv_launch_weights(&trial->exec, &trial->g, &trial->compiled, &ignored) == FX_OK;
}

/* Whether the way is possible; if not, nothing is compiled. */
static bool compile(const struct fx_cuda_exec *exec, const struct fx_conv_geometry *g,
                    enum fx_conv_way way, struct fx_compiled *compiled, size_t *workspace)
{
    struct fx_err ignored = { 0 };

    *workspace = 0;
    if (fx_conv_compile_way(exec, g, way, compiled, workspace, &ignored) == FX_OK)
        return true;
    fx_compiled_clear(compiled);
    return false;
}

static void time_way(struct trial *trial, enum fx_conv_way way, struct fx_timing *timing)
{
    size_t n;

    if (compile(&trial->exec, &trial->g, way, &trial->compiled, &n) &&
        cudaMalloc((void **)&trial->g.workspace, n) == cudaSuccess)
        fx_timing_try(timing, (int)way, run, trial);
    cudaFree(trial->g.workspace);
    trial->g.workspace = NULL;
    fx_compiled_clear(&trial->compiled);
}

static int fastest_way(const struct fx_cuda_exec *exec, const struct fx_conv_geometry *g,
                       const char *layer)
{
    struct fx_timing timing;
    struct trial trial;

    bool ready = fx_timing_open(&timing, exec->launch.stream);
    ready = trial_open(&trial, exec, g) && ready;
    for (int way = 0; way < FX_N_CONV_WAYS && ready; way++)
        time_way(&trial, (enum fx_conv_way)way, &timing);
    trial_close(&trial);
    fx_timing_close(&timing);
    if (timing.fastest == NONE)
        fx_log_verbose("%s: could not be timed; chosen by the rule", layer);
    else
        fx_log_verbose("%s: %s, %.1f us, fastest of %d", layer, names[timing.fastest],
                       fx_timing_us(&timing), timing.n);
    return timing.fastest;
}

/* ---- the choice -------------------------------------------------------------------------------
 */

/* By a way that is not kept yet, which it hands out. */
static enum fx_status compile_fresh(const struct fx_cuda_exec *exec,
                                    const struct fx_conv_geometry *g, const char *layer, int *way,
                                    struct fx_compiled *compiled, size_t *workspace,
                                    struct fx_err *err)
{
    *way = fastest_way(exec, g, layer);
    if (*way != NONE && compile(exec, g, (enum fx_conv_way) * way, compiled, workspace))
        return FX_OK;
    FX_TRY(fx_conv_compile_by_rule(exec, g, compiled, workspace, err));
    *way = compiled->n_parts > 0 ? FX_CONV_PARTS : FX_CONV_WHOLE;
    return FX_OK;
}

enum fx_status fx_conv_compile_weights(const struct fx_cuda_exec *exec,
                                       const struct fx_conv_geometry *g,
                                       struct fx_compiled *compiled, size_t *workspace,
                                       struct fx_err *err)
{
    const struct fx_device *device = exec->program->model->device;
    struct fx_plan_cache *cache = device->cuts_sums ? fx_cudnn_tuned(device->cudnn) : NULL;
    char layer[NAME_BYTES];

    if (!cache)
        return fx_conv_compile_by_rule(exec, g, compiled, workspace, err);
    print_name(layer, exec, g);
    int way = kept_way(cache, layer);
    if (way != NONE && compile(exec, g, (enum fx_conv_way)way, compiled, workspace))
        return FX_OK;
    FX_TRY(compile_fresh(exec, g, layer, &way, compiled, workspace, err));
    fx_plan_cache_add(cache, layer, json_pack("{s:s}", "way", names[way]));
    return FX_OK;
}
