/* From a graph to allocated, loaded programs. */
#include "run/engine.h"

#include "base/log.h"
#include "base/words.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

int fx_engine_default_threads(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

static void say_device(const struct fx_engine *engine, enum fx_precision precision)
{
    const struct fx_choice *choice = &engine->choice;
    char word[FX_WORD_BYTES];

    (choice->warns ? fx_log_warn : fx_log_info)("device: %s, %s, %d threads%s%s", choice->device,
                                                fx_word_text(FX_PRECISIONS, precision, word),
                                                engine->threads, choice->why[0] != '\0' ? ": " : "",
                                                choice->why);
}

static enum fx_status open_device(struct fx_engine *engine, const struct fx_engine_options *options,
                                  bool (*should_stop)(void), struct fx_err *err)
{
    struct fx_device_options device = {
        .n_threads = options->threads > 0 ? options->threads : fx_engine_default_threads(),
        .precision = options->precision,
        .should_stop = should_stop,
    };

    engine->threads = device.n_threads;
    FX_TRY(fx_choose(&engine->choice, options->device, err));
    FX_TRY(fx_choose_precision(&device.precision, engine->choice.device, err));
    say_device(engine, device.precision);
    engine->backend = engine->choice.backend;
    device.ordinal = engine->choice.ordinal;
    return engine->backend->device_open(&engine->device, &device, err);
}

static enum fx_status compile(struct fx_engine *engine, struct fx_program **program,
                              enum fx_mode mode, int n, struct fx_err *err)
{
    return n == 0 ? FX_OK : engine->backend->program_create(program, engine->model, mode, n, err);
}

enum fx_status fx_engine_open(struct fx_engine *engine, const struct fx_graph *graph,
                              const struct fx_engine_options *options, bool (*should_stop)(void),
                              struct fx_err *err)
{
    *engine = (struct fx_engine){ .graph = graph,
                                  .train_n = options->train_n,
                                  .tail_n = options->tail_n,
                                  .eval_n = options->eval_n };
    FX_TRY(open_device(engine, options, should_stop, err));
    int n_workers = engine->threads < graph->n_experts ? engine->threads : graph->n_experts;
    FX_TRY(fx_memory_check_threads(n_workers, err));
    FX_TRY(
        engine->backend->model_create(&engine->model, engine->device, graph, options->trains, err));
    FX_TRY(compile(engine, &engine->train, FX_TRAIN, options->train_n, err));
    FX_TRY(compile(engine, &engine->tail, FX_TRAIN, options->tail_n, err));
    return compile(engine, &engine->eval, FX_EVAL, options->eval_n, err);
}

enum fx_status fx_engine_plan_memory(const struct fx_engine *engine, struct fx_memory_plan *plan,
                                     struct fx_err *err)
{
    const struct fx_backend *backend = engine->backend;

    backend->model_memory(engine->model, &plan->model);
    plan->on_device = backend->memory_left;
    return plan->on_device ? backend->memory_left(engine->device, &plan->device_left, err) : FX_OK;
}

enum fx_status fx_engine_allocate(struct fx_engine *engine, struct fx_err *err)
{
    return engine->backend->model_allocate(engine->model, err);
}

void fx_engine_close(struct fx_engine *engine)
{
    if (engine->model)
        engine->backend->model_destroy(engine->model);
    if (engine->device)
        engine->backend->device_close(engine->device);
    *engine = (struct fx_engine){ 0 };
}

enum fx_status fx_engine_probe(const struct fx_engine_options *options, struct fx_err *err)
{
    struct fx_engine engine = { 0 };
    enum fx_status status = open_device(&engine, options, NULL, err);

    fx_engine_close(&engine);
    return status;
}

/* Bytes of the largest parameter on the host. */
static size_t largest_param(const struct fx_graph *graph)
{
    size_t max = sizeof(int64_t);

    for (int i = 0; i < graph->n_params; i++) {
        size_t n_bytes = (size_t)graph->params[i].n_elements * sizeof(float);
        max = n_bytes > max ? n_bytes : max;
    }
    return max;
}

/* Where parameters come from. */
struct values {
    const struct fx_tensor_set *set;
    fx_tensor_fetch fetch; /* of tensors without data; NULL: all have it */
    void *fetch_ctx;
    uint64_t seed; /* of those that are not in the set */
};

/* The bytes of a parameter: from the set, or its initial value made in buf.  A stream made
 * elsewhere may hold tensors that are not aligned to their type: those are copied. */
static enum fx_status param_data(const struct values *values, const struct fx_param *param,
                                 void *buf, const void **data, struct fx_err *err)
{
    const struct fx_tensor *tensor = fx_tensor_set_find(values->set, param->name);

    *data = buf;
    if (tensor && !tensor->data)
        return values->fetch(values->fetch_ctx, tensor, buf, err);
    if (tensor && (uintptr_t)tensor->data % sizeof(int64_t) == 0)
        *data = tensor->data;
    else if (tensor)
        memcpy(buf, tensor->data, tensor->n_bytes);
    else if (param->kind == FX_PARAM_COUNTER)
        memset(buf, 0, sizeof(int64_t));
    else
        fx_param_init_fill(param, values->seed, buf);
    return FX_OK;
}

static enum fx_status load_param(struct fx_engine *engine, const struct values *values, int i,
                                 void *buf, struct fx_err *err)
{
    const struct fx_param *param = &engine->graph->params[i];
    const void *data;

    FX_TRY(param_data(values, param, buf, &data, err));
    FX_TRY(engine->backend->tensor_write(engine->model, i, FX_ROLE_VALUE, data, err));
    if (!engine->graph->averages || !fx_param_is_averaged(param))
        return FX_OK;
    return engine->backend->tensor_write(engine->model, i, FX_ROLE_AVERAGE, data, err);
}

static enum fx_status load(struct fx_engine *engine, const struct values *values,
                           struct fx_err *err)
{
    enum fx_status status = FX_OK;
    void *buf = malloc(largest_param(engine->graph));

    if (!buf)
        return fx_fail(err, FX_EFAIL, "out of memory for the initial values");
    for (int i = 0; i < engine->graph->n_params && status == FX_OK; i++)
        status = load_param(engine, values, i, buf, err);
    free(buf);
    return status;
}

enum fx_status fx_engine_load(struct fx_engine *engine, const struct fx_tensor_set *set,
                              uint64_t seed, struct fx_err *err)
{
    return load(engine, &(struct values){ .set = set, .seed = seed }, err);
}

enum fx_status fx_engine_load_source(struct fx_engine *engine, const struct fx_model_source *source,
                                     struct fx_err *err)
{
    const struct values values = { .set = source->set,
                                   .fetch = source->fetch,
                                   .fetch_ctx = source->fetch_ctx };

    return load(engine, &values, err);
}
