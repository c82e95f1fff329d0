/* Engines: what cuDNN proposes for a graph, as plain data, and making one of them executable.
 *
 * A plan from the heuristics, from the cache on disk and from a timing is built in the same way,
 * from the engine's number and its knobs; the plan's JSON is the same as that of the configuration
 * the heuristics hand out. */
#include "backend/cuda/vendor/cudnn_engine_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_BYTES = 96 };

/* ---- choices ----------------------------------------------------------------------------------
 */

static void read_knobs(struct fx_descriptors *set, cudnnBackendDescriptor_t config,
                       struct fx_cudnn_choice *choice)
{
    cudnnBackendDescriptor_t knobs[CUDNN_KNOB_TYPE_COUNTS];

    for (int i = 0; i < CUDNN_KNOB_TYPE_COUNTS; i++)
        knobs[i] = fx_descriptor_begin(set, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    choice->n_knobs =
        (int)fx_descriptor_get(set, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                               CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS, knobs);
    for (int i = 0; i < choice->n_knobs; i++) {
        cudnnBackendKnobType_t type = 0;
        fx_descriptor_get(set, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                          &type);
        fx_descriptor_get(set, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1,
                          &choice->knobs[i].value);
        choice->knobs[i].type = (int)type;
    }
}

/* Whether an engine configuration could be read; the set is left as it was. */
static bool read_choice(struct fx_descriptors *set, cudnnBackendDescriptor_t config,
                        struct fx_cudnn_choice *choice)
{
    int mark = set->n;
    int64_t number = 0;

    *choice = (struct fx_cudnn_choice){ 0 };
    cudnnBackendDescriptor_t engine = fx_descriptor_begin(set, CUDNN_BACKEND_ENGINE_DESCRIPTOR);

    fx_descriptor_get(set, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                      &engine);
    fx_descriptor_get(set, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &number);
    choice->engine = (int)number;
    read_knobs(set, config, choice);
    bool done = set->status == CUDNN_STATUS_SUCCESS;
    fx_descriptors_cut(set, mark);
    return done;
}

/* Reads the configurations that a heuristic found. */
static enum fx_status read_choices(struct fx_cudnn_choices *choices, struct fx_descriptors *set,
                                   cudnnBackendDescriptor_t heuristic, int64_t n_configs,
                                   struct fx_err *err)
{
    cudnnBackendDescriptor_t *configs = calloc((size_t)n_configs, sizeof *configs);
    size_t room = (size_t)choices->n + (size_t)n_configs;
    struct fx_cudnn_choice *items = realloc(choices->items, room * sizeof *items);

    if (items)
        choices->items = items;
    if (!configs || !items) {
        free(configs);
        return fx_fail(err, FX_EFAIL, "cuDNN: out of memory");
    }
    for (int64_t i = 0; i < n_configs; i++)
        configs[i] = fx_descriptor_begin(set, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    n_configs = fx_descriptor_get(set, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, n_configs, configs);
    for (int64_t i = 0; i < n_configs; i++)
        choices->n += read_choice(set, configs[i], &items[choices->n]);
    free(configs);
    return FX_OK;
}

enum fx_status fx_cudnn_propose(struct fx_cudnn_choices *choices, cudnnBackendDescriptor_t graph,
                                cudnnBackendDescriptor_t device, cudnnBackendHeurMode_t mode,
                                struct fx_err *err)
{
    enum fx_status status = FX_OK;
    struct fx_descriptors set = { 0 };
    cudnnBackendDescriptor_t heuristic =
        fx_descriptor_begin(&set, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);

    fx_descriptor_put_other(&set, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    fx_descriptor_put(&set, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    fx_descriptor_put_other(&set, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
    fx_descriptor_end(&set, heuristic);
    /* Asked for none, it says how many there may be; fewer may come. */
    int64_t n_configs = fx_descriptor_get(&set, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, NULL);
    if (n_configs > 0)
        status = read_choices(choices, &set, heuristic, n_configs, err);
    if (set.status != CUDNN_STATUS_SUCCESS)
        memcpy(choices->why, set.why, sizeof set.why);
    fx_descriptors_fini(&set);
    return status;
}

/* ---- building ---------------------------------------------------------------------------------
 */

static cudnnBackendDescriptor_t begin_engine(struct fx_descriptors *set,
                                             cudnnBackendDescriptor_t graph,
                                             cudnnBackendDescriptor_t device, int number)
{
    cudnnBackendDescriptor_t d = fx_descriptor_begin(set, CUDNN_BACKEND_ENGINE_DESCRIPTOR);

    fx_descriptor_put_other(set, d, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph);
    fx_descriptor_put_integer(set, d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, number);
    fx_descriptor_put_other(set, d, CUDNN_ATTR_ENGINE_DEVICEPROP, device);
    fx_descriptor_end(set, d);
    return d;
}

static void read_notes(struct fx_descriptors *set, cudnnBackendDescriptor_t d,
                       struct fx_cudnn_engine *engine)
{
    cudnnBackendNumericalNote_t numerical[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behavior[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t n =
        fx_descriptor_get(set, d, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                          CUDNN_NUMERICAL_NOTE_TYPE_COUNT, numerical);

    for (int64_t i = 0; i < n; i++)
        engine->numerical |= 1u << numerical[i];
    n = fx_descriptor_get(set, d, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                          CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, behavior);
    for (int64_t i = 0; i < n; i++)
        engine->behavior |= 1u << behavior[i];
}

static cudnnBackendDescriptor_t configure(struct fx_descriptors *set,
                                          cudnnBackendDescriptor_t engine,
                                          const struct fx_cudnn_choice *choice)
{
    cudnnBackendDescriptor_t knobs[CUDNN_KNOB_TYPE_COUNTS];
    cudnnBackendDescriptor_t d = fx_descriptor_begin(set, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);

    for (int i = 0; i < choice->n_knobs; i++) {
        cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)choice->knobs[i].type;
        knobs[i] = fx_descriptor_begin(set, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        fx_descriptor_put(set, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1,
                          &type);
        fx_descriptor_put_integer(set, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE,
                                  choice->knobs[i].value);
        fx_descriptor_end(set, knobs[i]);
    }
    fx_descriptor_put_other(set, d, CUDNN_ATTR_ENGINECFG_ENGINE, engine);
    if (choice->n_knobs > 0)
        fx_descriptor_put(set, d, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                          choice->n_knobs, knobs);
    fx_descriptor_end(set, d);
    return d;
}

static void finish_plan(struct fx_cudnn_engine *engine, struct fx_descriptors *set,
                        cudnnBackendDescriptor_t config, cudnnBackendDescriptor_t device)
{
    engine->plan = fx_descriptor_begin(set, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    fx_descriptor_put_other(set, engine->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    fx_descriptor_put_other(set, engine->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    fx_descriptor_end(set, engine->plan);
    fx_descriptor_get(set, engine->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                      1, &engine->workspace_bytes);
}

bool fx_cudnn_engine_build(struct fx_cudnn_engine *engine, struct fx_descriptors *set,
                           cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device,
                           const struct fx_cudnn_choice *choice, const struct fx_cudnn_terms *terms)
{
    *engine = (struct fx_cudnn_engine){ 0 };
    cudnnBackendDescriptor_t d = begin_engine(set, graph, device, choice->engine);
    read_notes(set, d, engine);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return false;
    if ((engine->numerical & (terms->refused | terms->wanted)) != terms->wanted) {
        char notes[NOTES_BYTES];
        fx_cudnn_print_notes(notes, sizeof notes, engine);
        snprintf(set->why, sizeof set->why, "engine %d is [%s]", choice->engine, notes);
        return false;
    }
    finish_plan(engine, set, configure(set, d, choice), device);
    if (set->status != CUDNN_STATUS_SUCCESS)
        return false;
    if (engine->workspace_bytes < 0 || (uint64_t)engine->workspace_bytes > terms->workspace_limit) {
        snprintf(set->why, sizeof set->why, "engine %d wants %lld bytes of workspace",
                 choice->engine, (long long)engine->workspace_bytes);
        return false;
    }
    return true;
}

/* ---- texts ------------------------------------------------------------------------------------
 */

void fx_cudnn_print_knobs(char *text, size_t n, const struct fx_cudnn_choice *choice)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < choice->n_knobs && used < n; i++)
        used += (size_t)snprintf(text + used, n - used, "%s%d=%lld", i > 0 ? " " : "",
                                 choice->knobs[i].type, (long long)choice->knobs[i].value);
}

static void print_bits(char *text, size_t n, unsigned bits, const char *const *names,
                       size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        size_t used = strlen(text);
        if ((bits & 1u << i) != 0)
            snprintf(text + used, n - used, "%s%s", used > 0 ? " " : "", names[i]);
    }
}

void fx_cudnn_print_notes(char *text, size_t n, const struct fx_cudnn_engine *engine)
{
    static const char *const numerical[] = {
        "tensor-core",      "down-converting", "reduced-precision", "fft",
        "nondeterministic", "winograd",        "winograd-4x4",      "winograd-6x6",
        "winograd-13x13",   "strict-nan",
    };
    static const char *const behavior[] = {
        "compiled-at-runtime", "filter-reorder", "bias-reorder", "graph-native", "cublaslt",
    };

    text[0] = '\0';
    print_bits(text, n, engine->numerical, numerical, sizeof numerical / sizeof *numerical);
    print_bits(text, n, engine->behavior, behavior, sizeof behavior / sizeof *behavior);
}
