/* Events are built as jansson objects, in the order in which fusion-metrics(5) lists the members.
 */
#include "run/metrics.h"

#include "base/clock.h"
#include "base/jsonl.h"
#include "base/tool.h"
#include "base/words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An object under construction; a failed allocation is remembered. */
struct event {
    json_t *object;
    bool failed;
};

static void put(struct event *event, const char *key, json_t *value)
{
    event->failed |= json_object_set_new(event->object, key, value) != 0;
}

static void put_text(struct event *event, const char *key, const char *value)
{
    if (value)
        put(event, key, fx_json_text(value));
}

/* A setting, under the name of its option with underscores; nothing where it does not apply. */
static void put_setting(struct event *event, const struct fx_settings *settings,
                        enum fx_setting setting)
{
    char key[FX_WORD_BYTES];

    if (!fx_setting_applies(settings, setting))
        return;
    snprintf(key, sizeof key, "%s", fx_setting_name(setting));
    for (char *at = key; *at; at++)
        if (*at == '-')
            *at = '_';
    put(event, key, fx_setting_value(settings, setting));
}

static void put_int(struct event *event, const char *key, int64_t value)
{
    put(event, key, json_integer(value));
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void put_real(struct event *event, const char *key, double value)
{
    put(event, key, number(value));
}

static struct event begin(const char *name)
{
    struct event event = { .object = json_object() };

    put_text(&event, "event", name);
    return event;
}

static void put_timestamp(struct event *event)
{
    char text[FX_TIMESTAMP_BYTES];

    fx_timestamp(text);
    put_text(event, "timestamp", text);
}

static enum fx_status finish(struct event *event, char **line, struct fx_err *err)
{
    *line = event->failed ? NULL : fx_json_line(event->object);
    json_decref(event->object);
    return !*line ? fx_fail(err, FX_EFAIL, "metrics: out of memory") : FX_OK;
}

/* ---- measurements ---------------------------------------------------------------------------- */

static double loss_of(const struct fx_score *score)
{
    return score->loss;
}

static double accuracy_of(const struct fx_score *score)
{
    return score->accuracy;
}

static double ece_of(const struct fx_score *score)
{
    return score->ece;
}

/* One member of each expert's score. */
static void put_experts(struct event *event, const char *key, const struct fx_measure *measure,
                        double (*get)(const struct fx_score *score))
{
    json_t *array = json_array();

    for (int k = 0; k < measure->n_experts; k++)
        event->failed |= json_array_append_new(array, number(get(&measure->expert[k]))) != 0;
    put(event, key, array);
}

/* The score that decides: of the fused head, or of a lone expert. */
static const struct fx_score *head_score(const struct fx_measure *measure)
{
    return measure->has_fused ? &measure->fused : &measure->expert[0];
}

/* ---- start ----------------------------------------------------------------------------------- */

static int64_t n_trained(const struct fx_graph *graph)
{
    int64_t n = 0;

    for (int i = 0; i < graph->n_params; i++)
        if (graph->params[i].kind == FX_PARAM_TRAINED)
            n += graph->params[i].n_elements;
    return n;
}

/* The dropout that the experts really have: an option, a recipe or the architecture chose it. */
static double expert_dropout(const struct fx_graph *graph)
{
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].kind == FX_NODE_DROPOUT && graph->nodes[i].lane >= 0)
            return (double)graph->nodes[i].p;
    return 0;
}

/* What every stream begins with. */
static void put_tool(struct event *event, const struct fx_settings *settings, const char *command,
                     const struct fx_start_facts *facts)
{
    const struct fx_graph *graph = facts->graph;

    put_text(event, "tool", settings->tool);
    put_text(event, "version", fx_version);
    put_text(event, "command_line", command);
    put_text(event, "task", facts->task);
    put_timestamp(event);
    put_setting(event, settings, FX_SET_arch);
    put_setting(event, settings, FX_SET_fusion);
    put_setting(event, settings, FX_SET_fused);
    put_setting(event, settings, FX_SET_norms);
    put_setting(event, settings, FX_SET_freeze);
    put_setting(event, settings, FX_SET_expert);
    put_int(event, "experts", graph->n_experts);
    put_int(event, "classes", graph->n_classes);
    put_int(event, "parameters", n_trained(graph));
    put_text(event, "data_digest", settings->data_digest);
}

static void put_machine(struct event *event, const struct fx_settings *settings,
                        const struct fx_start_facts *facts)
{
    put_text(event, "device", facts->device);
    put_setting(event, settings, FX_SET_precision);
    put_int(event, "threads", facts->threads);
}

static void put_images(struct event *event, const struct fx_settings *settings,
                       const struct fx_start_facts *facts)
{
    put_int(event, "train_images", facts->train_images);
    put_int(event, "val_images", facts->val_images);
    put_int(event, "test_images", facts->test_images);
    put_setting(event, settings, FX_SET_val);
    put_setting(event, settings, FX_SET_train);
    put_setting(event, settings, FX_SET_share);
    put_setting(event, settings, FX_SET_choose);
    if (settings->val_limit > 0)
        put_setting(event, settings, FX_SET_val_limit);
}

static void put_recipe(struct event *event, const struct fx_settings *settings,
                       const struct fx_start_facts *facts)
{
    put_setting(event, settings, FX_SET_seed);
    put_setting(event, settings, FX_SET_recipe);
    put_setting(event, settings, FX_SET_epochs);
    if (settings->steps > 0)
        put_setting(event, settings, FX_SET_steps);
    put_int(event, "steps_per_epoch", facts->steps_per_epoch);
    put_setting(event, settings, FX_SET_batch);
    put_setting(event, settings, FX_SET_accumulate);
    put_setting(event, settings, FX_SET_shuffle);
    put_setting(event, settings, FX_SET_augment);
    put_setting(event, settings, FX_SET_mix);
    if (settings->mix != FX_MIX_NONE)
        put_real(event, "mix_alpha", fx_settings_mix_alpha(settings));
    if (settings->fusion != FX_NONE) {
        put_setting(event, settings, FX_SET_alpha);
        put_setting(event, settings, FX_SET_distill);
        put_setting(event, settings, FX_SET_dropout);
    }
    put_setting(event, settings, FX_SET_kd);
    put_setting(event, settings, FX_SET_kd_experts);
    if (settings->kd > 0 || settings->kd_experts > 0)
        put_real(event, "kd_temperature", settings->kd_temperature);
    put_setting(event, settings, FX_SET_label_smoothing);
    put_real(event, "expert_dropout", expert_dropout(facts->graph));
}

static void put_optimizer(struct event *event, const struct fx_settings *settings)
{
    double lr[FX_N_GROUPS];

    fx_settings_rates(settings, lr);
    put_text(event, "optimizer", settings->sgd ? "sgd" : "adamw");
    put_setting(event, settings, FX_SET_clip);
    if (settings->clip_experts > 0)
        put_setting(event, settings, FX_SET_clip_experts);
    if (settings->clip_fusion > 0)
        put_setting(event, settings, FX_SET_clip_fusion);
    put_setting(event, settings, FX_SET_weight_decay);
    if (settings->ema > 0)
        put_setting(event, settings, FX_SET_ema);
    put_setting(event, settings, FX_SET_schedule);
    put_setting(event, settings, FX_SET_patience);
    if (settings->fusion != FX_NONE)
        put_setting(event, settings, FX_SET_experts_lr_scale);
    put_real(event, "lr_experts", lr[FX_GROUP_EXPERTS]);
    put_real(event, "lr_fusion", lr[FX_GROUP_FUSION]);
    put_real(event, "lr_global_head", lr[FX_GROUP_HEAD]);
}

enum fx_status fx_metrics_start(const struct fx_settings *settings,
                                const struct fx_start_facts *facts, char **line, struct fx_err *err)
{
    struct event event = begin("start");
    char *command = fx_settings_command(settings);

    event.failed |= !command;
    put_tool(&event, settings, command, facts);
    free(command);
    put_images(&event, settings, facts);
    put_machine(&event, settings, facts);
    put_recipe(&event, settings, facts);
    put_optimizer(&event, settings);
    return finish(&event, line, err);
}

enum fx_status fx_metrics_start_eval(const struct fx_settings *settings,
                                     const struct fx_start_facts *facts, char **line,
                                     struct fx_err *err)
{
    struct event event = begin("start");

    put_tool(&event, settings, fx_tool_command_line(), facts);
    put_machine(&event, settings, facts);
    put_int(&event, "batch", settings->batch);
    return finish(&event, line, err);
}

/* ---- step and epoch -------------------------------------------------------------------------- */

enum fx_status fx_metrics_step(const struct fx_step_facts *facts, char **line, struct fx_err *err)
{
    struct event event = begin("step");

    put_int(&event, "epoch", facts->epoch);
    put_int(&event, "step", facts->step);
    put_real(&event, "loss_total", facts->total);
    put_real(&event, "loss_global", facts->fused);
    put_real(&event, "loss_individual", facts->individual);
    put_real(&event, "grad_norm", facts->grad_norm);
    put_real(&event, "lr_experts", facts->lr_experts);
    put_real(&event, "lr_fusion", facts->lr_fusion);
    return finish(&event, line, err);
}

static void put_training(struct event *event, const struct fx_epoch_sums *sums)
{
    double n = (double)sums->n_images;

    put_real(event, "train_loss", sums->total / n);
    put_real(event, "loss_global", sums->fused / n);
    put_real(event, "loss_individual", sums->individual / n);
    put_real(event, "loss_total", sums->total / n);
    put_real(event, "train_accuracy", 100 * sums->correct / n);
}

static double val_loss(const struct fx_measure *val, double alpha)
{
    double individual = 0;

    for (int k = 0; k < val->n_experts; k++)
        individual += val->expert[k].loss;
    return val->has_fused ? val->fused.loss + alpha * individual : individual;
}

enum fx_status fx_metrics_epoch(const struct fx_epoch_facts *facts, char **line, struct fx_err *err)
{
    struct event event = begin("epoch");
    const struct fx_measure *val = facts->val;

    put_int(&event, "epoch", facts->epoch);
    put_int(&event, "step", facts->step);
    put_training(&event, &facts->sums);
    put_real(&event, "val_loss", val_loss(val, facts->alpha));
    put_real(&event, "val_loss_global", head_score(val)->loss);
    put_real(&event, "val_accuracy", head_score(val)->accuracy);
    put_real(&event, "val_ece", head_score(val)->ece);
    put_experts(&event, "expert_accuracy", val, accuracy_of);
    put_experts(&event, "expert_loss", val, loss_of);
    put_real(&event, "ensemble_accuracy", val->ensemble.accuracy);
    put_real(&event, "ensemble_loss", val->ensemble.loss);
    put_real(&event, "lr_experts", facts->lr[FX_GROUP_EXPERTS]);
    put_real(&event, "lr_fusion", facts->lr[FX_GROUP_FUSION]);
    put_real(&event, "lr_global_head", facts->lr[FX_GROUP_HEAD]);
    put(&event, "best", json_boolean(facts->is_best));
    put_real(&event, "images_per_second", facts->images_per_second);
    put_real(&event, "seconds", facts->seconds);
    put_real(&event, "val_seconds", val->seconds);
    put_timestamp(&event);
    return finish(&event, line, err);
}

/* ---- eval and end ---------------------------------------------------------------------------- */

enum fx_status fx_metrics_eval(const struct fx_measure *measure, const char *split, int64_t epoch,
                               const struct fx_assessment *assessment, char **line,
                               struct fx_err *err)
{
    struct event event = begin("eval");

    put_text(&event, "split", split);
    if (epoch >= 0)
        put_int(&event, "epoch", epoch);
    put_int(&event, "images", measure->n);
    if (measure->has_fused) {
        put_real(&event, "loss", measure->fused.loss);
        put_real(&event, "accuracy", measure->fused.accuracy);
        put_real(&event, "ece", measure->fused.ece);
    }
    put_experts(&event, "expert_accuracy", measure, accuracy_of);
    put_experts(&event, "expert_loss", measure, loss_of);
    put_experts(&event, "expert_ece", measure, ece_of);
    put_real(&event, "ensemble_accuracy", measure->ensemble.accuracy);
    put_real(&event, "ensemble_loss", measure->ensemble.loss);
    put_real(&event, "ensemble_ece", measure->ensemble.ece);
    if (measure->has_fused) {
        put_int(&event, "fused_only", measure->fused_only);
        put_int(&event, "ensemble_only", measure->ensemble_only);
    }
    if (assessment)
        event.failed |= !fx_assessment_put(assessment, event.object);
    put_real(&event, "images_per_second", (double)measure->n / measure->seconds);
    put_real(&event, "seconds", measure->seconds);
    put_timestamp(&event);
    return finish(&event, line, err);
}

static void put_test(struct event *event, const struct fx_measure *test)
{
    put_int(event, "test_images", test->n);
    put_real(event, "test_loss", head_score(test)->loss);
    put_real(event, "test_accuracy", head_score(test)->accuracy);
    put_real(event, "test_ece", head_score(test)->ece);
    put_experts(event, "test_expert_accuracy", test, accuracy_of);
    put_real(event, "test_ensemble_accuracy", test->ensemble.accuracy);
    if (test->has_fused) {
        put_int(event, "test_fused_only", test->fused_only);
        put_int(event, "test_ensemble_only", test->ensemble_only);
    }
}

enum fx_status fx_metrics_end(const struct fx_end_facts *facts, char **line, struct fx_err *err)
{
    struct event event = begin("end");

    put_text(&event, "status", facts->status);
    put_text(&event, "reason", facts->reason);
    if (facts->epoch >= 0) {
        put_int(&event, "epoch", facts->epoch);
        put_int(&event, "step", facts->step);
    }
    if (facts->best.epoch > 0) {
        put_int(&event, "best_epoch", facts->best.epoch);
        put_real(&event, "best_val_accuracy", facts->best.accuracy);
    }
    if (facts->test)
        put_test(&event, facts->test);
    put_real(&event, "seconds", facts->seconds);
    put_timestamp(&event);
    return finish(&event, line, err);
}
