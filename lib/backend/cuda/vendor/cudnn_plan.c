/* Plans: one for each shape and direction, found in the table, restored from the cache or chosen.
 */
#include "backend/cuda/vendor/cudnn_plan.h"

#include "backend/cuda/vendor/cudnn_library_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- engines ----------------------------------------------------------------------------------
 */

/* The fastest of the first few that fit, or simply the first: cuDNN puts the best first. */
static bool pick(struct fx_cudnn_plan *plan, const struct fx_cudnn_choices *choices,
                 unsigned wanted)
{
    int fastest = plan->cudnn->tunes ? fx_cudnn_fastest(plan, choices, wanted) : -1;

    plan->origin = FX_CUDNN_TUNED;
    if (fastest >= 0 && fx_cudnn_fit(plan, &choices->items[fastest], wanted))
        return true;
    plan->origin = FX_CUDNN_HEURISTIC;
    for (int i = 0; i < choices->n; i++)
        if (fx_cudnn_fit(plan, &choices->items[i], wanted))
            return true;
    return false;
}

/* In bf16 an engine without tensor cores is the last resort: the heuristics put one that repacks
 * its maps before all others for some 1x1 layers of stride 2.  The fallback heuristic, which is the
 * last resort of cuDNN's own, is asked only where it matters. */
static enum fx_status choose(struct fx_cudnn_plan *plan, struct fx_err *err)
{
    cudnnBackendDescriptor_t device = plan->cudnn->device;
    unsigned wanted = plan->shape.bf16 ? 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE : 0;
    struct fx_cudnn_choices choices = { 0 };
    enum fx_status status;

    FX_TRY_OUT(fx_cudnn_propose(&choices, plan->graph, device, CUDNN_HEUR_MODE_A, err));
    if (!plan->cudnn->tunes && pick(plan, &choices, wanted))
        goto out;
    FX_TRY_OUT(fx_cudnn_propose(&choices, plan->graph, device, CUDNN_HEUR_MODE_FALLBACK, err));
    if (!pick(plan, &choices, wanted) && !pick(plan, &choices, 0))
        status = fx_fail(err, FX_EDEVICE, "cuDNN: %s: no engine fits: %s", plan->name,
                         choices.n > 0    ? plan->set.why
                         : choices.why[0] ? choices.why
                                          : "none is proposed");
out:
    free(choices.items);
    return status;
}

/* ---- plans ------------------------------------------------------------------------------------
 */

static void print_name(char *text, size_t n, const struct fx_cudnn_shape *s,
                       enum fx_conv_direction direction)
{
    static const char *const names[FX_N_CONV_DIRECTIONS] = {
        [FX_CONV_FORWARD] = "forward",
        [FX_CONV_DATA] = "data",
        [FX_CONV_WEIGHTS] = "weights",
    };

    snprintf(text, n, "%s %s n=%d %dx%dx%d -> %dx%dx%d kernel=%d stride=%d pad=%d groups=%d%s",
             names[direction], s->bf16 ? "bf16" : "f32", s->n, s->c_in, s->h_in, s->w_in, s->c_out,
             s->h_out, s->w_out, s->kernel, s->stride, s->pad, s->groups, s->add ? " add" : "");
}

static enum fx_status build(struct fx_cudnn_plan *plan, struct fx_cudnn *cudnn, struct fx_err *err)
{
    struct fx_cudnn_choice cached;

    plan->graph = fx_cudnn_graph(&plan->set, &plan->shape, plan->direction);
    plan->n_graph = plan->set.n;
    if (plan->set.status != CUDNN_STATUS_SUCCESS)
        return fx_fail(err, FX_EDEVICE, "cuDNN: %s: %s", plan->name, plan->set.why);
    if (fx_cudnn_choice_find(&cached, &cudnn->cache, plan->name) &&
        fx_cudnn_fit(plan, &cached, 0)) {
        plan->origin = FX_CUDNN_CACHED;
    } else {
        FX_TRY(choose(plan, err));
        fx_cudnn_choice_add(&plan->choice, &cudnn->cache, plan->name);
    }
    fx_cudnn_print_knobs(plan->knobs, sizeof plan->knobs, &plan->choice);
    fx_cudnn_print_notes(plan->notes, sizeof plan->notes, &plan->engine);
    return FX_OK;
}

/* A plan without an engine, in the table; NULL when memory is short. */
static struct fx_cudnn_plan *add_plan(struct fx_cudnn *cudnn)
{
    if (cudnn->n_plans == cudnn->cap_plans) {
        int cap = cudnn->cap_plans > 0 ? 2 * cudnn->cap_plans : 32;
        void *plans = realloc(cudnn->plans, (size_t)cap * sizeof *cudnn->plans);
        if (!plans)
            return NULL;
        cudnn->plans = plans;
        cudnn->cap_plans = cap;
    }
    struct fx_cudnn_plan *plan = calloc(1, sizeof *plan);
    if (plan)
        cudnn->plans[cudnn->n_plans++] = plan;
    return plan;
}

enum fx_status fx_cudnn_plan_get(const struct fx_cudnn_plan **plan, struct fx_cudnn *cudnn,
                                 const struct fx_cudnn_shape *shape,
                                 enum fx_conv_direction direction, struct fx_err *err)
{
    char name[FX_CUDNN_TEXT_BYTES];

    print_name(name, sizeof name, shape, direction);
    for (int i = 0; i < cudnn->n_plans; i++) {
        *plan = cudnn->plans[i];
        if (strcmp((*plan)->name, name) == 0)
            return FX_OK;
    }
    *plan = NULL;
    struct fx_cudnn_plan *fresh = add_plan(cudnn);
    if (!fresh)
        return fx_fail(err, FX_EFAIL, "cuDNN: out of memory");
    fresh->cudnn = cudnn;
    fresh->shape = *shape;
    fresh->direction = direction;
    memcpy(fresh->name, name, sizeof name);
    enum fx_status status = build(fresh, cudnn, err);
    if (status == FX_OK) {
        *plan = fresh;
        return FX_OK;
    }
    fx_descriptors_fini(&fresh->set);
    free(fresh);
    cudnn->n_plans--;
    return status;
}

void fx_cudnn_plan_facts(const struct fx_cudnn_plan *plan, struct fx_cudnn_facts *facts)
{
    *facts = (struct fx_cudnn_facts){
        .engine = plan->choice.engine,
        .knobs = plan->knobs,
        .notes = plan->notes,
        .workspace_bytes = (size_t)plan->engine.workspace_bytes,
        .origin = plan->origin,
    };
}
