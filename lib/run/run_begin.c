/* How a run begins: afresh, or where an earlier process left it. */
#include "run/phases_internal.h"

#include "base/clock.h"
#include "base/jsonl.h"
#include "base/log.h"
#include "base/tool.h"
#include "run/finished.h"
#include "run/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- resuming -------------------------------------------------------------------------------- */

/* Adds up what earlier processes took, from the events they left. */
static void add_seconds(void *ctx, const char *text)
{
    struct fx_training_run *run = ctx;
    json_error_t why;
    json_t *line;

    /* Seconds that memory is short for are no reason to end a run. */
    if (fx_json_parse(text, strlen(text), 0, &line, &why) != FX_OK)
        return;
    run->trainer.seconds_before += json_number_value(json_object_get(line, "seconds"));
    json_decref(line);
}

/* A step takes a batch or more.  The counts that go on are bounded by what the data set has. */
static bool can_be_of(const struct fx_run_plan *plan, const struct fx_state *state)
{
    int64_t n_batches = fx_run_n_batches(plan);

    return state->batch <= n_batches && state->step <= state->epoch * n_batches &&
           state->sums.n_images <= state->batch * plan->settings->batch;
}

static enum fx_status check_restored(const struct fx_training_run *run, struct fx_err *err)
{
    const struct fx_settings *settings = run->plan->settings;
    const struct fx_state *state = &run->restored.state;
    const char *version = fx_tensor_set_meta(&run->restored.file.set, "version");

    if (fx_settings_check(settings, run->restored.settings, err) != FX_OK)
        return fx_err_prepend(err, "%s: cannot resume: ", run->options->checkpoint_dir);
    FX_TRY(fx_settings_check_length(settings, state->epochs_done, state->step, err));
    if (!can_be_of(run->plan, state))
        return fx_fail(err, FX_EINPUT, "%s: impossible state", run->options->checkpoint_dir);
    if (!version || strcmp(version, fx_version) != 0)
        fx_log_warn("the run was started by version %s, this is %s", version ? version : "?",
                    fx_version);
    return FX_OK;
}

static void say_finished(const struct fx_training_run *run, int64_t epochs, int64_t steps)
{
    fx_log_info("%s: the run is finished: %lld epochs, %lld steps", run->rundir.dir,
                (long long)epochs, (long long)steps);
}

/* Without a checkpoint a run begins anew, and what it had so far is written over.  That is right
 * where it was killed before the first one, which is written at the end of epoch 1 at the latest.
 */
static enum fx_status check_nothing_is_lost(const struct fx_training_run *run,
                                            const struct fx_finished *found, struct fx_err *err)
{
    bool has_best = access(run->rundir.best, F_OK) == 0;

    if (found->at_epoch <= 1 && (found->lines > 0 || !has_best))
        return FX_OK;
    return fx_fail(err, FX_EINPUT,
                   "%s: cannot go on: last.safetensors and the one before it are gone, of a run "
                   "that has come to epoch %lld; another --checkpoint-dir begins anew",
                   run->rundir.dir, (long long)found->at_epoch);
}

enum fx_status fx_run_repeat(struct fx_training_run *run, bool *ended, struct fx_err *err)
{
    struct fx_finished found;

    FX_TRY(fx_finished_look(&found, run->rundir.dir, run->plan->settings, err));
    if (!found.was_finished)
        return check_nothing_is_lost(run, &found, err);
    if (!found.is_finished)
        return fx_fail(err, FX_EUSAGE,
                       "%s: cannot go on: last.safetensors is gone, the run was finished and made "
                       "slim; a longer one needs another --checkpoint-dir (make: OUT=)",
                       run->rundir.dir);
    FX_TRY(fx_history_resume(&run->history, run->rundir.history, fx_run_metrics(run),
                             found.lines - 1, true, ended, add_seconds, run, err));
    run->has_started = true;
    say_finished(run, found.epochs, found.steps);
    return FX_OK;
}

enum fx_status fx_run_resume(struct fx_training_run *run, bool *ended, struct fx_err *err)
{
    struct fx_trainer *trainer = &run->trainer;
    const struct fx_state *state = &run->restored.state;

    FX_TRY(fx_restore_last(&run->restored, &run->rundir, err));
    FX_TRY(check_restored(run, err));
    trainer->state = *state;
    trainer->saver.best_epoch_on_disk = state->best.epoch;
    trainer->seconds_before = fx_rundir_clock_read(&run->rundir, state->step);
    FX_TRY(fx_history_resume(
        &run->history, run->rundir.history, fx_run_metrics(run), state->history_lines,
        fx_trainer_is_finished(run->plan->settings, state), ended, add_seconds, run, err));
    run->has_started = true;
    if (!*ended) {
        fx_log_info("resuming at epoch %lld, step %lld", (long long)state->epoch,
                    (long long)state->step + 1);
        return FX_OK;
    }
    say_finished(run, state->epochs_done, state->step);
    /* The process that ended the run may have been killed before it did. */
    fx_run_tidy_up(run, fx_restore_best_is_meant(&run->rundir, &state->best));
    return FX_OK;
}

/* ---- afresh ---------------------------------------------------------------------------------- */

static enum fx_status start_event(struct fx_training_run *run, struct fx_err *err)
{
    const struct fx_run_plan *plan = run->plan;
    struct fx_start_facts facts = {
        .task = run->options->task,
        .device = run->engine.choice.device,
        .threads = run->engine.threads,
        .graph = plan->graph,
        .train_images = plan->images.n,
        .val_images = plan->val.n,
        .test_images = plan->test.n,
        .steps_per_epoch = fx_run_steps_per_epoch(plan),
    };
    char *line;

    FX_TRY(fx_history_start(&run->history, run->rundir.history, fx_run_metrics(run), err));
    run->has_started = true;
    FX_TRY(fx_metrics_start(plan->settings, &facts, &line, err));
    return fx_trainer_emit(&run->trainer, line, err);
}

/* How good the experts are before they are trained together. */
static enum fx_status measure_initial(struct fx_training_run *run, struct fx_err *err)
{
    struct fx_trainer *t = &run->trainer;
    struct fx_measure measure;
    char *line;

    FX_TRY(fx_evaluate(t->engine, t->dataset, &t->val, NULL, NULL, &measure, err));
    FX_TRY(fx_metrics_eval(&measure, t->val.name, 0, NULL, &line, err));
    fx_progress_initial(&measure);
    t->epoch_start = fx_seconds();
    return fx_trainer_emit(t, line, err);
}

enum fx_status fx_run_begin(struct fx_training_run *run, struct fx_err *err)
{
    run->trainer.state = (struct fx_state){ .epoch = 1 };
    FX_TRY(start_event(run, err));
    return run->plan->settings->initial ? measure_initial(run, err) : FX_OK;
}
