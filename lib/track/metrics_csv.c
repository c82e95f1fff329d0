/* Metrics to CSV, one event at a time (see metrics_csv.h).
 *
 * The columns are tables (metrics_columns.c); a row is built in memory and leaves with one write.
 * RFC 4180 with newlines as Unix wants them: a value that was not finite is "nan", one that does
 * not exist is an empty field. */
#include "track/metrics_csv.h"

#include "base/csv.h"
#include "base/io.h"
#include "base/log.h"
#include "base/number.h"
#include "track/events.h"
#include "track/metrics_columns_internal.h"
#include "track/run_scores_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct table {
    const struct fx_csv_kind *kind;
    bool has_many;
    int n_experts;                /* the most that a run has: as many columns */
    const struct fx_csv_out *out; /* borrowed */
    int64_t n_rows;
};

/* The run whose rows are being written. */
struct stream {
    struct fx_events events;
    const char *run; /* borrowed */
    int64_t last;    /* epoch or step of its last row; 0: none */
};

/* ---- fields ---------------------------------------------------------------------------------- */

/* False on a value that no field can hold. */
static bool put_value(FILE *row, const json_t *value)
{
    char text[FX_NUMBER_BYTES];

    switch (json_typeof(value)) {
    case JSON_STRING:
        fx_csv_text(row, json_string_value(value));
        return true;
    case JSON_INTEGER:
        fprintf(row, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return true;
    case JSON_REAL:
        fputs(fx_number_text(json_real_value(value), text, sizeof text), row);
        return true;
    case JSON_NULL:
        fputs("nan", row);
        return true;
    default:
        return false;
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_expert(const struct fx_csv_column *column)
{
    return column->source == FX_CSV_EVENT_EXPERT || column->source == FX_CSV_OPTIONAL_EXPERT;
}

static bool is_in(const struct table *table, const struct fx_csv_column *column)
{
    bool is_wanted = column->source != FX_CSV_RUN_OF_MANY || table->has_many;

    return is_wanted && (!is_expert(column) || table->n_experts > 0);
}

/* A field for each column of experts; a run that has fewer leaves the rest empty. */
static enum fx_status put_experts(const struct table *table, const struct stream *stream,
                                  const struct fx_csv_column *column, const json_t *array,
                                  FILE *row, struct fx_err *err)
{
    int n = !array && column->source == FX_CSV_OPTIONAL_EXPERT ? 0 : stream->events.n_experts;

    if (n > 0 && (!json_is_array(array) || json_array_size(array) != (size_t)n))
        return fx_events_fail(&stream->events, err, column->member,
                              ": not an array with a value for each expert");
    for (int k = 0; k < table->n_experts; k++) {
        const json_t *value = k < n ? json_array_get(array, (size_t)k) : NULL;
        if (k > 0)
            fputc(',', row);
        if (k < n && (json_is_string(value) || !put_value(row, value)))
            return fx_events_fail(&stream->events, err, column->member, ": not a number");
    }
    return FX_OK;
}

static double score_of(const char *name, const json_t *start, const json_t *end)
{
    if (strcmp(name, "images_seen") == 0)
        return fx_scores_seen(start, end);
    if (strcmp(name, "test_gain") == 0)
        return fx_scores_gain(end).points;
    if (strcmp(name, "test_gain_95") == 0)
        return fx_scores_gain(end).half;
    struct fx_expert_scores experts = fx_scores_experts(end, "test_expert_accuracy");
    return strcmp(name, "test_expert_best") == 0 ? experts.best : experts.mean;
}

static void put_score(double score, FILE *row)
{
    char text[FX_NUMBER_BYTES];

    if (isfinite(score))
        fputs(fx_number_text(score, text, sizeof text), row);
}

static enum fx_status put_field(const struct table *table, const struct stream *stream,
                                const struct fx_csv_column *column, const json_t *event, FILE *row,
                                struct fx_err *err)
{
    if (column->source == FX_CSV_RUN || column->source == FX_CSV_RUN_OF_MANY) {
        fx_csv_text(row, stream->run);
        return FX_OK;
    }
    if (column->source == FX_CSV_SCORE) {
        put_score(score_of(column->member, stream->events.start, event), row);
        return FX_OK;
    }
    const json_t *from = column->source == FX_CSV_START ? stream->events.start : event;
    const json_t *value = json_object_get(from, column->member);

    if (!value && (column->source == FX_CSV_EVENT || column->source == FX_CSV_EVENT_EXPERT))
        return fx_events_fail(&stream->events, err, column->member, ": is missing");
    if (is_expert(column))
        return put_experts(table, stream, column, value, row, err);
    if (value && !put_value(row, value))
        return fx_events_fail(&stream->events, err, column->member, ": neither a number nor text");
    return FX_OK;
}

static void put_titles(const struct table *table, const struct fx_csv_column *column, FILE *row)
{
    const char *mark = strchr(column->title, '%');

    if (!mark) {
        fputs(column->title, row);
        return;
    }
    for (int k = 0; k < table->n_experts; k++)
        fprintf(row, "%s%.*s%d%s", k > 0 ? "," : "", (int)(mark - column->title), column->title, k,
                mark + 2);
}

/* Writes the fields of an event, or with !event the titles, as one line. */
static enum fx_status write_line(const struct table *table, const struct stream *stream,
                                 const json_t *event, struct fx_err *err)
{
    char *text = NULL;
    size_t n = 0;
    enum fx_status status = FX_OK;
    const char *comma = "";
    FILE *row = fx_memory_stream(&text, &n);

    if (!row)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", table->out->name);
    for (const struct fx_csv_column *c = table->kind->columns; c->title && status == FX_OK; c++) {
        if (!is_in(table, c))
            continue;
        fputs(comma, row);
        comma = ",";
        if (!event)
            put_titles(table, c, row);
        else
            status = put_field(table, stream, c, event, row, err);
    }
    fputc('\n', row);
    if (fclose(row) != 0 && status == FX_OK)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", table->out->name);
    if (status == FX_OK)
        status = table->out->live ? fx_live_write(table->out->live, text, n, err)
                                  : fx_write_full(table->out->fd, text, n, table->out->name, err);
    free(text);
    return status;
}

/* ---- events ---------------------------------------------------------------------------------- */

static enum fx_status on_row(struct table *table, struct stream *stream, const json_t *event,
                             struct fx_err *err)
{
    const char *counter = table->kind->counter;

    if (counter) {
        const json_t *number = json_object_get(event, counter);
        if (!json_is_integer(number))
            return fx_events_fail(&stream->events, err, counter, ": not a whole number");
        if (json_integer_value(number) <= stream->last)
            return fx_events_fail(&stream->events, err, counter, ": does not ascend");
        stream->last = json_integer_value(number);
    }
    FX_TRY(write_line(table, stream, event, err));
    table->n_rows++;
    return FX_OK;
}

static void report_end(const struct stream *stream, const json_t *event)
{
    const char *status = fx_event_text(event, "status");
    const char *reason = fx_event_text(event, "reason");

    if (strcmp(status, "done") != 0)
        fx_log_warn("%s: the run ended with status '%s'%s%s", stream->events.reader.name, status,
                    reason ? ": " : "", reason ? reason : "");
}

/* The start event of a stream says how many experts it has. */
static enum fx_status read_start(struct stream *stream, struct fx_err *err)
{
    json_t *event;
    const char *kind;

    FX_TRY(fx_events_next(&stream->events, &event, &kind, err));
    json_decref(event);
    return FX_OK;
}

static enum fx_status read_rest(struct table *table, struct stream *stream, struct fx_err *err)
{
    for (;;) {
        json_t *event;
        const char *kind;
        FX_TRY(fx_events_next(&stream->events, &event, &kind, err));
        if (!event)
            return FX_OK;
        if (strcmp(kind, "end") == 0)
            report_end(stream, event);
        enum fx_status status = FX_OK;
        if (strcmp(kind, table->kind->event) == 0)
            status = on_row(table, stream, event, err);
        json_decref(event);
        FX_TRY(status);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Whether the run in which this went wrong is left out, and the others go on. */
static bool is_left_out(struct fx_csv_run *run, enum fx_status status, const struct fx_err *err)
{
    if (status == FX_EINPUT)
        run->why = *err;
    return status == FX_EINPUT;
}

static enum fx_status write_table(struct table *table, struct stream *streams,
                                  struct fx_csv_run *runs, size_t n_runs, struct fx_err *err)
{
    enum fx_status status;
    size_t n_started = 0;

    for (size_t i = 0; i < n_runs; i++) {
        status = read_start(&streams[i], err);
        if (status != FX_OK && !is_left_out(&runs[i], status, err))
            return status;
        n_started += status == FX_OK;
        if (streams[i].events.n_experts > table->n_experts)
            table->n_experts = streams[i].events.n_experts;
    }
    if (n_started > 0)
        FX_TRY(write_line(table, NULL, NULL, err));
    for (size_t i = 0; i < n_runs; i++) {
        if (runs[i].why.status != FX_OK)
            continue;
        status = read_rest(table, &streams[i], err);
        if (status != FX_OK && !is_left_out(&runs[i], status, err))
            return status;
    }
    return FX_OK;
}

enum fx_status fx_metrics_csv(struct fx_csv_run *runs, size_t n_runs, const char *event,
                              const struct fx_csv_out *out, int64_t *n_rows, struct fx_err *err)
{
    struct table table = { .kind = fx_csv_kinds, .has_many = n_runs > 1, .out = out };
    struct stream *streams = calloc(n_runs + 1, sizeof *streams);

    *n_rows = 0;
    if (!streams)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", out->name);
    while (strcmp(table.kind->event, event) != 0)
        table.kind++;
    for (size_t i = 0; i < n_runs; i++)
        streams[i] = (struct stream){
            .events = { .reader = { .in = runs[i].in, .name = runs[i].in_name } },
            .run = runs[i].name,
        };
    enum fx_status status = write_table(&table, streams, runs, n_runs, err);
    for (size_t i = 0; i < n_runs && status == FX_OK; i++)
        status = runs[i].why.status;
    for (size_t i = 0; i < n_runs; i++)
        fx_events_fini(&streams[i].events);
    free(streams);
    *n_rows = table.n_rows;
    return status;
}
