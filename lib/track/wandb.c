/* Events become rows and summaries; the log is opened when the first of them is new.
 *
 * W&B numbers rows by a step that must ascend, and its own client gathers what belongs to one step
 * in one row.  Ours is the optimiser step: the values of a step event wait for those of the epoch
 * that ends with it.  A row that waits is not written when the stream breaks off or the run was
 * only stopped: the resumed run tells it again, complete. */
#include "track/wandb.h"

#include "base/log.h"
#include "track/events.h"
#include "track/series_internal.h"
#include "track/wandb_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct writer {
    const struct fx_wandb_options *options;
    const struct fx_events *events;
    struct fx_wandb_identity identity;
    struct fx_wandb_past past;
    struct fx_pb config;
    struct fx_wandb_log log;
    char *run_dir, *log_path;            /* owned */
    bool is_open;                        /* the log is */
    json_t *row;                         /* owned: waits to be written; NULL: none */
    int64_t row_step, last_step;         /* last_step: of the last row, written or known; -1 */
    int64_t start_seconds, last_seconds; /* since 1970: of the start, of the last time told */
};

static enum fx_status no_memory(struct fx_err *err)
{
    return fx_fail(err, FX_EFAIL, "wandb: out of memory");
}

/* ---- the log --------------------------------------------------------------------------------- */

static enum fx_status put_head(struct writer *w, struct fx_err *err)
{
    const struct fx_wandb_options *o = w->options;
    const char *tool = fx_event_text(w->events->start, "tool");
    bool resumes = w->past.has_run;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    struct fx_wandb_run run = {
        .id = w->identity.id,
        .entity = o->entity,
        .project = w->identity.project,
        .group = o->group,
        .job_type = o->job_type ? o->job_type : tool,
        .name = w->identity.name,
        .notes = o->notes,
        .tags = o->tags,
        .host = w->identity.host,
        .config = &w->config,
        .starting_step = w->past.last_step + 1,
        /* Parts of a run are synced in the order of their start. */
        .start_seconds = resumes ? (int64_t)now.tv_sec : w->start_seconds,
    };
    FX_TRY(fx_wandb_put_header(&w->log, err));
    return fx_wandb_put_run(&w->log, &run, err);
}

static enum fx_status open_log(struct writer *w, struct fx_err *err)
{
    if (w->is_open)
        return FX_OK;
    free(w->run_dir);
    FX_TRY(fx_wandb_make_dir(w->options->dir, w->identity.id, &w->run_dir, err));
    if (asprintf(&w->log_path, "%s/run-%s.wandb", w->run_dir, w->identity.id) < 0) {
        w->log_path = NULL;
        return no_memory(err);
    }
    FX_TRY(fx_wandb_log_create(&w->log, w->log_path, err));
    w->is_open = true;
    fx_log_info("%s: run %s of project %s%s", w->run_dir, w->identity.id, w->identity.project,
                w->past.has_run ? ", continued" : "");
    return put_head(w, err);
}

static enum fx_status on_start(struct writer *w, const json_t *start, struct fx_err *err)
{
    w->start_seconds = w->last_seconds = fx_event_seconds(start, "timestamp", 0);
    FX_TRY(fx_wandb_identify(&w->identity, w->options, start, w->events->reader.text, err));
    fx_wandb_items(&w->config, start);
    if (w->config.failed)
        return no_memory(err);
    FX_TRY(fx_wandb_find_past(w->options->dir, w->identity.id, &w->past, &w->run_dir, err));
    if (!w->past.has_run)
        return open_log(w, err);
    if (w->past.config.n != w->config.n ||
        memcmp(w->past.config.bytes, w->config.bytes, w->config.n) != 0)
        return fx_fail(err, FX_EUSAGE, "%s: run id %s belongs to another run: give --run-id",
                       w->run_dir, w->identity.id);
    return FX_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool put_value(void *object, const char *name, const json_t *value)
{
    return json_object_set(object, name, (json_t *)value) == 0;
}

static void drop_row(struct writer *w)
{
    json_decref(w->row);
    w->row = NULL;
}

static enum fx_status flush_row(struct writer *w, struct fx_err *err)
{
    if (!w->row)
        return FX_OK;
    bool is_new = w->row_step > w->past.last_step;
    bool failed = json_object_set_new(w->row, "_step", json_integer(w->row_step)) != 0 ||
                  json_object_set_new(w->row, "_timestamp", json_integer(w->last_seconds)) != 0 ||
                  json_object_set_new(w->row, "_runtime",
                                      json_integer(w->last_seconds - w->start_seconds)) != 0;

    w->last_step = w->row_step;
    enum fx_status status = failed ? no_memory(err) : FX_OK;
    if (status == FX_OK && is_new)
        status = open_log(w, err);
    if (status == FX_OK && is_new)
        status = fx_wandb_put_history(&w->log, w->row, w->row_step, err);
    /* What the last row says is the summary so far. */
    if (status == FX_OK && is_new && json_object_get(w->row, "epoch"))
        status = fx_wandb_put_summary(&w->log, w->row, err);
    drop_row(w);
    return status;
}

/* Adds the event's numbers to the row of a step; steps never go back. */
static enum fx_status add_to_row(struct writer *w, const json_t *event, const char *kind,
                                 int64_t step, struct fx_err *err)
{
    if (w->row && w->row_step != step)
        FX_TRY(flush_row(w, err));
    if (!w->row) {
        w->row = json_object();
        w->row_step = step > w->last_step ? step : w->last_step + 1;
    }
    w->last_seconds = fx_event_seconds(event, "timestamp", w->last_seconds);
    return fx_series_each(event, kind, put_value, w->row) ? FX_OK : no_memory(err);
}

/* ---- events ---------------------------------------------------------------------------------- */

static int exit_code_of(const char *status)
{
    return strcmp(status, "done") == 0       ? FX_OK
           : strcmp(status, "stopped") == 0  ? FX_ESTOPPED
           : strcmp(status, "diverged") == 0 ? FX_EDIVERGED
                                             : FX_EFAIL;
}

static enum fx_status put_end(struct writer *w, const json_t *end, const char *status,
                              struct fx_err *err)
{
    double seconds = json_number_value(json_object_get(end, "seconds"));
    bool is_length = seconds >= 0 && seconds <= (double)FX_EVENTS_COUNT_MAX;
    json_t *summary = json_object();
    int code = exit_code_of(status);

    bool failed = !fx_series_each(end, "end", put_value, summary) ||
                  json_object_set_new(summary, "status", json_string(status)) != 0;
    enum fx_status result = failed ? no_memory(err) : fx_wandb_put_summary(&w->log, summary, err);
    json_decref(summary);
    FX_TRY(result);
    if (code == FX_ESTOPPED)
        FX_TRY(fx_wandb_put_preempting(&w->log, err));
    return fx_wandb_put_exit(&w->log, code, is_length ? (int64_t)seconds : 0, err);
}

static enum fx_status on_end(struct writer *w, const json_t *end, struct fx_err *err)
{
    const char *status = fx_event_text(end, "status");

    if (strcmp(status, "stopped") == 0)
        drop_row(w);
    FX_TRY(flush_row(w, err));
    if (!w->is_open && w->past.is_done) {
        fx_log_info("%s: holds all of run %s already", w->run_dir, w->identity.id);
        return FX_OK;
    }
    FX_TRY(open_log(w, err));
    return put_end(w, end, status, err);
}

static enum fx_status on_event(void *ctx, const json_t *event, const char *kind, const char *line,
                               struct fx_err *err)
{
    struct writer *w = ctx;
    int64_t step = json_integer_value(json_object_get(event, "step"));

    (void)line;
    if (w->options->is_disabled)
        return FX_OK;
    if (strcmp(kind, "start") == 0)
        return on_start(w, event, err);
    if (strcmp(kind, "end") == 0)
        return on_end(w, event, err);
    if (strcmp(kind, "step") == 0)
        return add_to_row(w, event, kind, step, err);
    if (strcmp(kind, "epoch") == 0) {
        FX_TRY(add_to_row(w, event, kind, step, err));
        return flush_row(w, err);
    }
    if (strcmp(kind, "eval") == 0) { /* has no step of its own */
        FX_TRY(flush_row(w, err));
        FX_TRY(add_to_row(w, event, kind, w->last_step + 1, err));
        return flush_row(w, err);
    }
    return FX_OK;
}

enum fx_status fx_wandb(FILE *in, const char *in_name, const struct fx_wandb_options *options,
                        int pass_fd, char **run_dir, struct fx_err *err)
{
    struct fx_events events = { .reader = { .in = in, .name = in_name } };
    struct writer w = {
        .options = options, .events = &events, .log = { .fd = -1 }, .last_step = -1
    };

    enum fx_status status = fx_events_each(&events, pass_fd, on_event, &w, err);
    *run_dir = w.run_dir;
    drop_row(&w);
    fx_wandb_log_close(&w.log);
    fx_pb_fini(&w.config);
    fx_pb_fini(&w.past.config);
    free(w.log_path);
    fx_events_fini(&events);
    return status;
}
