/* The life of a run: directory, state, engine, loop, test, end. */
#include "train/run.h"

#include "base/log.h"
#include "base/stop.h"
#include "base/tool.h"
#include "train/clock.h"
#include "train/memory.h"
#include "train/metrics.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Everything that fx_run opens and has to close. */
struct run {
    const struct fx_run_plan *plan;
    const struct fx_run_options *options;
    struct fx_rundir rundir;
    struct fx_restored restored; /* open while resumed and not yet loaded */
    bool has_state;
    struct fx_engine engine;
    struct fx_feeder *feeder; /* owned */
    float *logits;            /* owned */
    struct fx_history history;
    struct fx_trainer trainer;
    bool has_started; /* the start event is on stdout */
    double start;     /* fx_seconds */
};

void fx_stream_close(struct fx_stream *stream)
{
    fx_tensor_set_fini(&stream->set);
    fx_input_close(&stream->input);
    *stream = (struct fx_stream){ 0 };
}

static int64_t min_int(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t n_batches(const struct fx_run_plan *plan)
{
    return (plan->images.n + plan->settings->batch - 1) / plan->settings->batch;
}

static int64_t steps_per_epoch(const struct fx_run_plan *plan)
{
    return (n_batches(plan) + plan->settings->accumulate - 1) / plan->settings->accumulate;
}

/* Where the run ends by --epochs and --steps, for the log. */
static int64_t end_step(const struct fx_run_plan *plan)
{
    int64_t steps = plan->settings->epochs * steps_per_epoch(plan);

    return plan->settings->steps > 0 ? min_int(steps, plan->settings->steps) : steps;
}

static int64_t end_images(const struct fx_run_plan *plan)
{
    int64_t per_step = plan->settings->batch * plan->settings->accumulate;
    int64_t epochs = end_step(plan) / steps_per_epoch(plan);
    int64_t rest = end_step(plan) % steps_per_epoch(plan);

    return epochs * plan->images.n + rest * per_step;
}

/* ---- resuming ---------------------------------------------------------------------------------
 */

/* Adds up what earlier processes took, from the events they left. */
static void add_seconds(void *ctx, const char *text)
{
    struct run *run = ctx;
    json_t *line = json_loads(text, 0, NULL);

    run->trainer.seconds_before += json_number_value(json_object_get(line, "seconds"));
    json_decref(line);
}

static enum fx_status check_restored(const struct run *run, struct fx_err *err)
{
    const struct fx_settings *settings = run->plan->settings;
    const struct fx_state *state = &run->restored.state;
    const char *version = fx_tensor_set_meta(&run->restored.set, "version");

    if (fx_settings_check(settings, run->restored.settings, err) != FX_OK)
        return fx_err_prepend(err, "%s: cannot resume: ", run->options->checkpoint_dir);
    if (settings->steps > 0 && state->step > settings->steps)
        return fx_fail(err, FX_EUSAGE, "--steps %lld: the run has done %lld already",
                       (long long)settings->steps, (long long)state->step);
    if (state->epochs_done > settings->epochs || state->batch > n_batches(run->plan))
        return fx_fail(err, FX_EUSAGE, "--epochs %lld: the run has done %lld already",
                       (long long)settings->epochs, (long long)state->epochs_done);
    if (version == NULL || strcmp(version, fx_version) != 0)
        fx_log_warn("the run was started by version %s, this is %s", version, fx_version);
    return FX_OK;
}

/* Reads the state, replays the metrics that belong to it.  *ended: there is nothing left to do. */
static enum fx_status resume(struct run *run, bool *ended, struct fx_err *err)
{
    struct fx_trainer *trainer = &run->trainer;
    const struct fx_state *state = &run->restored.state;

    FX_TRY(fx_restore_last(&run->restored, &run->rundir, err));
    FX_TRY(check_restored(run, err));
    trainer->state = *state;
    trainer->saver.best_epoch_on_disk = state->best.epoch;
    trainer->seconds_before = fx_rundir_clock_read(&run->rundir, state->step);
    FX_TRY(fx_history_resume(
        &run->history, run->rundir.history, STDOUT_FILENO, state->history_lines,
        fx_trainer_is_finished(run->plan->settings, state), ended, add_seconds, run, err));
    run->has_started = true;
    if (*ended)
        fx_log_info("%s: the run is finished: %lld epochs, %lld steps", run->rundir.dir,
                    (long long)state->epochs_done, (long long)state->step);
    else
        fx_log_info("resuming at epoch %lld, step %lld", (long long)state->epoch,
                    (long long)state->step + 1);
    return FX_OK;
}

/* ---- starting ---------------------------------------------------------------------------------
 */

/* The partial batch at the end of an epoch; 0 when there is none or --steps ends before it. */
static int tail_images(const struct fx_run_plan *plan)
{
    const struct fx_settings *settings = plan->settings;
    int64_t whole = plan->images.n / settings->batch;

    if (settings->steps > 0 && settings->steps * settings->accumulate <= whole)
        return 0;
    return (int)(plan->images.n % settings->batch);
}

static struct fx_feeder_options feeder_options(const struct run *run)
{
    const struct fx_settings *settings = run->plan->settings;
    bool is_cutmix = strcmp(settings->mix, "cutmix") == 0;
    bool is_mixup = strcmp(settings->mix, "mixup") == 0;
    struct fx_feeder_options options = {
        .dataset = run->plan->dataset,
        .images = run->plan->images,
        .augment = { .mix = is_cutmix  ? FX_MIX_CUTMIX
                            : is_mixup ? FX_MIX_MIXUP
                                       : FX_MIX_NONE,
                     .mix_alpha = is_mixup ? settings->mixup_alpha : settings->cutmix_alpha,
                     .shuffle = settings->shuffle,
                     .seed = fx_settings_key(settings) },
        .batch = (int)settings->batch,
        .needs_pixels = !run->engine.backend->applies_rows,
    };

    fx_augment_policy_from_name(settings->augment, &options.augment.policy);
    return options;
}

static int64_t max_int(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static enum fx_status open_engine(struct run *run, struct fx_err *err)
{
    const struct fx_settings *settings = run->plan->settings;
    struct fx_engine_options options = {
        .device = run->options->device,
        .precision = settings->precision,
        .threads = (int)run->options->threads,
        .trains = true,
        .train_n = (int)(run->plan->images.n < settings->batch ? 0 : settings->batch),
        .tail_n = tail_images(run->plan),
        .eval_n = (int)min_int(settings->batch, max_int(run->plan->val.n, run->plan->test.n)),
    };

    FX_TRY(fx_engine_open(&run->engine, run->plan->graph, &options, fx_stop_requested, err));
    fx_log_info("device %s, %s, %d threads", options.device, options.precision,
                run->engine.threads);
    return FX_OK;
}

static enum fx_status check_memory(const struct run *run, const struct fx_feeder_options *feeder,
                                   struct fx_err *err)
{
    const struct fx_input *stream = &run->plan->initial->input;
    size_t image = FX_IMAGE_BYTES * sizeof(float);
    struct fx_memory_plan plan = {
        .batches = fx_feeder_bytes(feeder) + (size_t)run->engine.eval_n * image,
        .experts = stream->is_mapped ? 0 : stream->n_bytes,
    };

    run->engine.backend->model_memory(run->engine.model, &plan.model);
    return fx_memory_check(&plan, run->plan->settings->batch, err);
}

static enum fx_status load(struct run *run, struct fx_err *err)
{
    const struct fx_settings *settings = run->plan->settings;

    if (run->has_state)
        FX_TRY(fx_restore_engine(&run->engine, &run->restored, settings->sgd, err));
    else
        FX_TRY(
            fx_engine_load(&run->engine, &run->plan->initial->set, (uint64_t)settings->seed, err));
    fx_restored_close(&run->restored);
    fx_stream_close(run->plan->initial);
    return FX_OK;
}

static enum fx_status prepare(struct run *run, struct fx_err *err)
{
    FX_TRY(open_engine(run, err));
    struct fx_feeder_options options = feeder_options(run);
    FX_TRY(check_memory(run, &options, err));
    FX_TRY(fx_engine_allocate(&run->engine, err));
    if (run->engine.backend->dataset_load != NULL)
        FX_TRY(run->engine.backend->dataset_load(run->engine.device, run->plan->dataset, err));
    FX_TRY(load(run, err));
    run->logits =
        malloc((size_t)options.batch * (size_t)run->plan->graph->n_classes * sizeof *run->logits);
    if (run->logits == NULL)
        return fx_fail(err, FX_EFAIL, "out of memory for logits");
    return fx_feeder_create(&run->feeder, &options, err);
}

/* The trainer around what run.c has opened; state and seconds are set already. */
static void assemble(struct run *run)
{
    const struct fx_run_plan *plan = run->plan;
    const struct fx_settings *settings = plan->settings;
    struct fx_trainer *t = &run->trainer;

    t->settings = settings;
    t->dataset = plan->dataset;
    t->engine = &run->engine;
    t->feeder = run->feeder;
    t->logits = run->logits;
    t->history = &run->history;
    t->saver.rundir = &run->rundir;
    t->saver.engine = &run->engine;
    t->saver.settings = settings;
    t->schedule = (struct fx_schedule){ .epochs = settings->epochs, .floor = settings->lr_floor };
    fx_schedule_kind_from_name(settings->schedule, &t->schedule.kind);
    fx_settings_rates(settings, t->schedule.lr);
    t->val = plan->val;
    t->test = plan->test;
    t->n_batches = n_batches(plan);
    t->save_seconds = 60 * run->options->checkpoint_minutes;
    t->epoch_start = fx_seconds() - fx_rundir_clock_read(&run->rundir, t->state.step);
    t->progress = (struct fx_progress){ .epochs = settings->epochs,
                                        .steps = end_step(plan),
                                        .train_images = plan->images.n,
                                        .end_images = end_images(plan),
                                        .n_experts = plan->graph->n_experts,
                                        .has_fused = plan->graph->fused >= 0 };
}

static enum fx_status start_event(struct run *run, struct fx_err *err)
{
    const struct fx_run_plan *plan = run->plan;
    struct fx_start_facts facts = {
        .task = run->options->task,
        .device = run->options->device,
        .threads = run->engine.threads,
        .graph = plan->graph,
        .train_images = plan->images.n,
        .val_images = plan->val.n,
        .test_images = plan->test.n,
        .steps_per_epoch = steps_per_epoch(plan),
    };
    char *line;

    FX_TRY(fx_history_start(&run->history, run->rundir.history, STDOUT_FILENO, err));
    run->has_started = true;
    FX_TRY(fx_metrics_start(plan->settings, &facts, &line, err));
    return fx_trainer_emit(&run->trainer, line, err);
}

/* How good the experts are before they are trained together. */
static enum fx_status measure_initial(struct run *run, struct fx_err *err)
{
    struct fx_trainer *t = &run->trainer;
    struct fx_measure measure;
    char *line;

    FX_TRY(fx_evaluate(t->engine, t->dataset, &t->val, NULL, NULL, &measure, err));
    FX_TRY(fx_metrics_eval(&measure, t->val.name, 0, &line, err));
    fx_progress_initial(&measure);
    t->epoch_start = fx_seconds();
    return fx_trainer_emit(t, line, err);
}

static enum fx_status start(struct run *run, struct fx_err *err)
{
    run->trainer.state = (struct fx_state){ .epoch = 1 };
    FX_TRY(start_event(run, err));
    return run->plan->settings->initial ? measure_initial(run, err) : FX_OK;
}

/* ---- ending -----------------------------------------------------------------------------------
 */

static double run_seconds(const struct run *run)
{
    return run->trainer.seconds_before + fx_seconds() - run->start;
}

static struct fx_end_facts end_facts(const struct run *run, const char *status)
{
    const struct fx_trainer *t = &run->trainer;

    return (struct fx_end_facts){ .status = status,
                                  .epoch = t->state.epochs_done,
                                  .step = t->state.step,
                                  .best = t->state.best,
                                  .seconds = run_seconds(run) };
}

/* The test images are looked at once, with the checkpoint that validation chose. */
static enum fx_status finish(struct run *run, struct fx_err *err)
{
    struct fx_trainer *t = &run->trainer;
    struct fx_end_facts facts = end_facts(run, "done");
    struct fx_measure test;
    char *line;

    FX_TRY(fx_restore_best(&run->engine, &run->rundir, &t->best, err));
    FX_TRY(fx_evaluate(t->engine, t->dataset, &t->test, NULL, NULL, &test, err));
    facts.best = t->best;
    facts.test = &test;
    facts.seconds = run_seconds(run);
    FX_TRY(fx_metrics_end(&facts, &line, err));
    FX_TRY(fx_trainer_emit(t, line, err));
    fx_progress_test(&test, t->best.epoch);
    if (t->best.step == t->state.best.step)
        unlink(run->rundir.best_previous);
    return fx_history_sync(&run->history, err);
}

static const char *status_name(enum fx_status status)
{
    return status == FX_ESTOPPED ? "stopped" : status == FX_EDIVERGED ? "diverged" : "failed";
}

/* Which signal it was, rather than where it was noticed. */
static void explain_stop(struct fx_err *err)
{
    int number = fx_stop_signal();

    fx_fail(err, FX_ESTOPPED, "stopped by SIG%s; run the same command with --resume to go on",
            number != 0 ? sigabbrev_np(number) : "TERM");
}

/* Saves what is committed and says why the stream ends here.  Nothing of it goes into the history:
 * a resumed run has no such line.  A second failure is logged; the first one is the reason. */
static void end_early(struct run *run, enum fx_status why, const struct fx_err *reason)
{
    struct fx_trainer *t = &run->trainer;
    struct fx_end_facts facts = end_facts(run, status_name(why));
    struct fx_err err = { 0 };
    char *line;

    if (t->is_dirty && !t->is_torn && fx_trainer_save(t, &err) != FX_OK)
        fx_log_warn("the state could not be saved: %s", err.msg);
    else if (t->is_dirty)
        fx_log_info("saved the state of epoch %lld, step %lld", (long long)t->state.epoch,
                    (long long)t->state.step);
    facts.reason = reason->msg;
    if (!run->has_started || fx_stop_signal() == SIGPIPE ||
        fx_metrics_end(&facts, &line, &err) != FX_OK)
        return;
    if (fx_history_say(&run->history, line, &err) != FX_OK)
        fx_log_warn("%s", err.msg);
    free(line);
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static enum fx_status train(struct run *run, struct fx_err *err)
{
    struct fx_trainer *t = &run->trainer;

    FX_TRY(prepare(run, err));
    assemble(run);
    if (run->has_state)
        FX_TRY(fx_restore_best_file(&t->saver, &t->state, err));
    else
        FX_TRY(start(run, err));
    FX_TRY(fx_trainer_loop(t, err));
    return finish(run, err);
}

static void run_close(struct run *run)
{
    fx_feeder_destroy(run->feeder);
    free(run->logits);
    fx_engine_close(&run->engine);
    fx_restored_close(&run->restored);
    fx_history_close(&run->history);
    fx_rundir_close(&run->rundir);
}

enum fx_status fx_run(const struct fx_run_plan *plan, const struct fx_run_options *options,
                      struct fx_err *err)
{
    struct run run = { .plan = plan,
                       .options = options,
                       .rundir.lock_fd = -1,
                       .history.fd = -1,
                       .start = fx_seconds() };
    bool ended = false;
    enum fx_status status;

    fx_stop_catch();
    status =
        fx_rundir_open(&run.rundir, options->checkpoint_dir, options->resume, &run.has_state, err);
    if (status == FX_OK && run.has_state)
        status = resume(&run, &ended, err);
    if (status == FX_OK && !ended)
        status = train(&run, err);
    if (status == FX_ESTOPPED)
        explain_stop(err);
    if (status != FX_OK)
        end_early(&run, status, err);
    run_close(&run);
    return status;
}
