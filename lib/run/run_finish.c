/* How a run ends: with a test, or early and ready to be resumed. */
#include "run/phases_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/stop.h"
#include "run/metrics.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static double run_seconds(const struct fx_training_run *run)
{
    return run->trainer.seconds_before + fx_seconds() - run->start;
}

static struct fx_end_facts end_facts(const struct fx_training_run *run, const char *status)
{
    const struct fx_trainer *t = &run->trainer;

    return (struct fx_end_facts){ .status = status,
                                  .epoch = t->state.epochs_done,
                                  .step = t->state.step,
                                  .best = t->state.best,
                                  .seconds = run_seconds(run) };
}

void fx_run_tidy_up(const struct fx_training_run *run, bool is_best_meant)
{
    fx_rundir_drop_last_previous(&run->rundir);
    if (is_best_meant || run->trainer.state.best.epoch == 0)
        fx_rundir_drop_best_previous(&run->rundir);
}

/* The test images are looked at once, with the checkpoint that validation chose. */
enum fx_status fx_run_finish(struct fx_training_run *run, struct fx_err *err)
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
    fx_progress_test(&test, t->best.epoch, t->best.epoch > t->state.epochs_done ? t->best.step : 0);
    FX_TRY(fx_history_sync(&run->history, err));
    /* From here on the run is finished, whatever happens. */
    fx_run_tidy_up(run, t->best.crc == t->state.best.crc);
    return FX_OK;
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

/* A step that cannot be committed, because it failed or because the history cannot be written,
 * leaves parameters that belong to no state. */
static void save_committed(struct fx_trainer *t)
{
    struct fx_err err = { 0 };

    if (fx_trainer_finish_steps(t, &err) != FX_OK && t->n_in_flight > 0) {
        fx_log_warn("the state was not saved: %s", err.msg);
        return;
    }
    if (!t->is_dirty)
        return;
    if (fx_trainer_save(t, &err) != FX_OK)
        fx_log_warn("the state could not be saved: %s", err.msg);
    else
        fx_log_info("saved the state of epoch %lld, step %lld", (long long)t->state.epoch,
                    (long long)t->state.step);
}

/* Saves what is committed and says why the stream ends here.  Nothing of it goes into the history:
 * a resumed run has no such line.  A second failure is logged; the first one is the reason. */
void fx_run_end_early(struct fx_training_run *run, enum fx_status why, struct fx_err *reason)
{
    struct fx_end_facts facts;
    struct fx_err err = { 0 };
    char *line;

    if (why == FX_ESTOPPED)
        explain_stop(reason);
    save_committed(&run->trainer);
    facts = end_facts(run, status_name(why));
    facts.reason = reason->msg;
    if (!run->has_started || fx_stop_signal() == SIGPIPE ||
        fx_metrics_end(&facts, &line, &err) != FX_OK)
        return;
    if (fx_history_say(&run->history, line, &err) != FX_OK && strcmp(err.msg, reason->msg) != 0)
        fx_log_warn("%s", err.msg);
    free(line);
}
