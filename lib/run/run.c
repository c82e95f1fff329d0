/* The life of a run: directory, state, engine, loop, test, end. */
#include "run/run.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stop.h"
#include "run/memory.h"
#include "run/phases_internal.h"

#include <string.h>

/* The partial batch at the end of an epoch; 0 when there is none or --steps ends before it. */
static int tail_images(const struct fx_run_plan *plan)
{
    const struct fx_settings *settings = plan->settings;
    int64_t whole = plan->images.n / settings->batch;

    if (settings->steps > 0 && settings->steps * settings->accumulate <= whole)
        return 0;
    return (int)(plan->images.n % settings->batch);
}

static struct fx_data_loader_options data_loader_options(const struct fx_training_run *run)
{
    const struct fx_settings *settings = run->plan->settings;
    struct fx_data_loader_options options = {
        .dataset = run->plan->dataset,
        .images = run->plan->images,
        .augment = { .policy = settings->augment,
                     .mix = settings->mix,
                     .mix_alpha = fx_settings_mix_alpha(settings),
                     .shuffle = settings->shuffle,
                     .seed = fx_settings_key(settings) },
        .batch = (int)settings->batch,
        .needs_pixels = !run->engine.backend->applies_rows,
    };

    return options;
}

static int64_t min_int(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_int(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static enum fx_status open_engine(struct fx_training_run *run, struct fx_err *err)
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

    return fx_engine_open(&run->engine, run->plan->graph, &options, fx_stop_requested, err);
}

static enum fx_status check_memory(const struct fx_training_run *run,
                                   const struct fx_data_loader_options *loader, struct fx_err *err)
{
    const struct fx_input *stream = &run->plan->initial->input;
    size_t image = FX_IMAGE_BYTES * sizeof(float);
    struct fx_memory_plan plan = {
        .batches = fx_data_loader_bytes(loader) + (size_t)run->engine.eval_n * image,
        .experts = stream->is_mapped ? 0 : stream->n_bytes,
    };

    if (run->engine.backend->dataset_load)
        plan.images = (size_t)run->plan->dataset->train.n * FX_IMAGE_BYTES;
    FX_TRY(fx_engine_plan_memory(&run->engine, &plan, err));
    return fx_memory_check(&plan, run->plan->settings->batch, err);
}

static enum fx_status load(struct fx_training_run *run, struct fx_err *err)
{
    const struct fx_settings *settings = run->plan->settings;

    if (run->has_state)
        FX_TRY(fx_restore_engine(&run->engine, &run->restored, settings->sgd, err));
    else
        FX_TRY(
            fx_engine_load(&run->engine, &run->plan->initial->set, fx_settings_key(settings), err));
    fx_restored_close(&run->restored);
    fx_tensor_file_close(run->plan->initial);
    return FX_OK;
}

static enum fx_status prepare(struct fx_training_run *run, struct fx_err *err)
{
    FX_TRY(open_engine(run, err));
    struct fx_data_loader_options options = data_loader_options(run);
    FX_TRY(check_memory(run, &options, err));
    FX_TRY(fx_engine_allocate(&run->engine, err));
    if (run->engine.backend->dataset_load)
        FX_TRY(run->engine.backend->dataset_load(run->engine.device, run->plan->dataset, err));
    FX_TRY(load(run, err));
    return fx_data_loader_create(&run->loader, &options, err);
}

/* Where the run ends by --epochs and --steps, for the log. */
static int64_t end_step(const struct fx_run_plan *plan)
{
    int64_t steps = plan->settings->epochs * fx_run_steps_per_epoch(plan);

    return plan->settings->steps > 0 ? min_int(steps, plan->settings->steps) : steps;
}

static int64_t end_images(const struct fx_run_plan *plan)
{
    int64_t per_step = plan->settings->batch * plan->settings->accumulate;
    int64_t epochs = end_step(plan) / fx_run_steps_per_epoch(plan);
    int64_t rest = end_step(plan) % fx_run_steps_per_epoch(plan);

    return epochs * plan->images.n + rest * per_step;
}

/* The trainer around what run.c has opened; state and seconds are set already. */
static void set_trainer(struct fx_training_run *run)
{
    const struct fx_run_plan *plan = run->plan;
    const struct fx_settings *settings = plan->settings;
    struct fx_trainer *t = &run->trainer;

    t->settings = settings;
    t->dataset = plan->dataset;
    t->engine = &run->engine;
    t->loader = run->loader;
    t->history = &run->history;
    t->saver.rundir = &run->rundir;
    t->saver.engine = &run->engine;
    t->saver.settings = settings;
    t->saver.dataset = plan->dataset;
    t->schedule = (struct fx_schedule){ .kind = settings->schedule,
                                        .epochs = settings->epochs,
                                        .floor = settings->lr_floor };
    fx_settings_rates(settings, t->schedule.lr);
    t->val = plan->val;
    t->test = plan->test;
    t->n_batches = fx_run_n_batches(plan);
    t->save_seconds = 60 * run->options->checkpoint_minutes;
    t->epoch_start = fx_seconds() - fx_rundir_clock_read(&run->rundir, t->state.step);
    t->progress = (struct fx_progress){ .epochs = settings->epochs,
                                        .steps = end_step(plan),
                                        .train_images = plan->images.n,
                                        .end_images = end_images(plan),
                                        .n_experts = plan->graph->n_experts,
                                        .has_fused = plan->graph->fused >= 0 };
}

static enum fx_status train(struct fx_training_run *run, struct fx_err *err)
{
    struct fx_trainer *t = &run->trainer;

    FX_TRY(prepare(run, err));
    set_trainer(run);
    if (run->has_state)
        FX_TRY(fx_restore_best_file(&t->saver, &t->state, err));
    else
        FX_TRY(fx_run_begin(run, err));
    FX_TRY(fx_trainer_loop(t, err));
    return fx_run_finish(run, err);
}

static void run_close(struct fx_training_run *run)
{
    fx_data_loader_destroy(run->loader);
    fx_engine_close(&run->engine);
    fx_restored_close(&run->restored);
    fx_history_close(&run->history);
    fx_rundir_close(&run->rundir);
}

enum fx_status fx_train(const struct fx_run_plan *plan, const struct fx_run_options *options,
                        struct fx_err *err)
{
    struct fx_training_run run = { .plan = plan,
                                   .options = options,
                                   .rundir.lock_fd = -1,
                                   .history.fd = -1,
                                   .start = fx_seconds() };
    bool ended = false;
    enum fx_status status;

    status =
        fx_rundir_open(&run.rundir, options->checkpoint_dir, options->resume, &run.has_state, err);
    if (status == FX_OK && run.has_state)
        status = fx_run_resume(&run, &ended, err);
    else if (status == FX_OK && options->resume)
        status = fx_run_repeat(&run, &ended, err);
    if (status == FX_OK && !ended)
        status = train(&run, err);
    if (status != FX_OK)
        fx_run_end_early(&run, status, err);
    run_close(&run);
    return status;
}
