/* Metrics to CSV, one event at a time (see metrics_csv.h).
 *
 * The columns are tables, one for each kind of row; a row is built in memory and leaves with one
 * write.  RFC 4180 with newlines as Unix wants them: a value that was not finite is "nan", one that
 * does not exist is an empty field. */
#include "track/metrics_csv.h"

#include "base/io.h"
#include "base/log.h"
#include "track/events.h"

#include <stdlib.h>
#include <string.h>

enum source {
    EVENT,        /* a member that the row's event must have */
    EVENT_EXPERT, /* an array member that it must have: one column for each expert */
    OPTIONAL,     /* a member that it may have, or an empty field */
    OPTIONAL_EXPERT,
    START /* a member of the start event, or an empty field */
};

struct column {
    const char *title; /* of an array: with %d for the expert */
    enum source source;
    const char *member;
};

/* The original's columns in the original's order, then ours. */
static const struct column epoch_columns[] = {
    { "epoch", EVENT, "epoch" },
    { "train_loss", EVENT, "train_loss" },
    { "val_loss", EVENT, "val_loss" },
    { "val_accuracy", EVENT, "val_accuracy" },
    { "experts_lr", EVENT, "lr_experts" },
    { "fusion_lr", EVENT, "lr_fusion" },
    { "global_head_lr", EVENT, "lr_global_head" },
    { "loss_global", EVENT, "loss_global" },
    { "loss_individual", EVENT, "loss_individual" },
    { "loss_total", EVENT, "loss_total" },
    { "expert_%d_accuracy", EVENT_EXPERT, "expert_accuracy" },
    { "expert_%d_loss", EVENT_EXPERT, "expert_loss" },
    { "alpha", START, "alpha" },
    { "fusion_type", START, "fusion" },
    { "model_architecture", START, "arch" },
    { "timestamp", EVENT, "timestamp" },
    { "step", EVENT, "step" },
    { "train_accuracy", EVENT, "train_accuracy" },
    { "ensemble_accuracy", EVENT, "ensemble_accuracy" },
    { "val_loss_global", EVENT, "val_loss_global" },
    { "images_per_second", EVENT, "images_per_second" },
    { "seconds", EVENT, "seconds" },
    { "val", START, "val" },
    { "ensemble_loss", OPTIONAL, "ensemble_loss" },
    { "val_ece", OPTIONAL, "val_ece" },
    { NULL, EVENT, NULL },
};

static const struct column step_columns[] = {
    { "epoch", EVENT, "epoch" },
    { "step", EVENT, "step" },
    { "experts_lr", EVENT, "lr_experts" },
    { "fusion_lr", EVENT, "lr_fusion" },
    { "loss_global", EVENT, "loss_global" },
    { "loss_individual", EVENT, "loss_individual" },
    { "loss_total", EVENT, "loss_total" },
    { "grad_norm", EVENT, "grad_norm" },
    { "alpha", START, "alpha" },
    { "fusion_type", START, "fusion" },
    { "model_architecture", START, "arch" },
    { NULL, EVENT, NULL },
};

static const struct column eval_columns[] = {
    { "epoch", OPTIONAL, "epoch" },
    { "split", EVENT, "split" },
    { "images", EVENT, "images" },
    { "loss", OPTIONAL, "loss" },
    { "accuracy", OPTIONAL, "accuracy" },
    { "expert_%d_accuracy", EVENT_EXPERT, "expert_accuracy" },
    { "expert_%d_loss", EVENT_EXPERT, "expert_loss" },
    { "ensemble_accuracy", EVENT, "ensemble_accuracy" },
    { "images_per_second", EVENT, "images_per_second" },
    { "seconds", EVENT, "seconds" },
    { "fusion_type", START, "fusion" },
    { "model_architecture", START, "arch" },
    { "timestamp", EVENT, "timestamp" },
    { NULL, EVENT, NULL },
};

static const struct column end_columns[] = {
    { "status", EVENT, "status" },
    { "epoch", OPTIONAL, "epoch" },
    { "step", OPTIONAL, "step" },
    { "best_epoch", OPTIONAL, "best_epoch" },
    { "best_val_accuracy", OPTIONAL, "best_val_accuracy" },
    { "test_images", OPTIONAL, "test_images" },
    { "test_loss", OPTIONAL, "test_loss" },
    { "test_accuracy", OPTIONAL, "test_accuracy" },
    { "test_expert_%d_accuracy", OPTIONAL_EXPERT, "test_expert_accuracy" },
    { "test_ensemble_accuracy", OPTIONAL, "test_ensemble_accuracy" },
    { "val", START, "val" },
    { "alpha", START, "alpha" },
    { "fusion_type", START, "fusion" },
    { "model_architecture", START, "arch" },
    { "seconds", OPTIONAL, "seconds" },
    { "timestamp", OPTIONAL, "timestamp" },
    { NULL, EVENT, NULL },
};

static const struct kind {
    const char *event;   /* the kind of event that makes a row */
    const char *counter; /* its member that ascends from row to row; NULL: none */
    const struct column *columns;
} kinds[] = {
    { "epoch", "epoch", epoch_columns },
    { "step", "step", step_columns },
    { "eval", NULL, eval_columns },
    { "end", NULL, end_columns },
};

struct table {
    struct fx_events events;
    const struct kind *kind;
    int64_t last; /* epoch or step of the last row; 0: none */
    int out_fd;
    const char *out_name; /* borrowed */
    int64_t n_rows;
};

/* ---- fields ---------------------------------------------------------------------------------- */

static void put_text(FILE *row, const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, row);
        return;
    }
    fputc('"', row);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', row);
        fputc(*text, row);
    }
    fputc('"', row);
}

/* The shortest text that reads back as the same number. */
static void put_real(FILE *row, double value)
{
    char text[32];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fputs(text, row);
}

/* False on a value that no field can hold. */
static bool put_value(FILE *row, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        put_text(row, json_string_value(value));
        return true;
    case JSON_INTEGER:
        fprintf(row, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return true;
    case JSON_REAL:
        put_real(row, json_real_value(value));
        return true;
    case JSON_NULL:
        fputs("nan", row);
        return true;
    default:
        return false;
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static enum fx_status put_experts(const struct table *table, const struct column *column,
                                  const json_t *array, FILE *row, struct fx_err *err)
{
    if (array == NULL && column->source == OPTIONAL_EXPERT) {
        for (int k = 1; k < table->events.n_experts; k++)
            fputc(',', row);
        return FX_OK;
    }
    if (!json_is_array(array) || json_array_size(array) != (size_t)table->events.n_experts)
        return fx_events_fail(&table->events, err, column->member,
                              ": not an array with a value for each expert");
    for (int k = 0; k < table->events.n_experts; k++) {
        const json_t *value = json_array_get(array, (size_t)k);
        if (k > 0)
            fputc(',', row);
        if (json_is_string(value) || !put_value(row, value))
            return fx_events_fail(&table->events, err, column->member, ": not a number");
    }
    return FX_OK;
}

static enum fx_status put_field(const struct table *table, const struct column *column,
                                const json_t *event, FILE *row, struct fx_err *err)
{
    const json_t *from = column->source == START ? table->events.start : event;
    const json_t *value = json_object_get(from, column->member);

    if (value == NULL && (column->source == EVENT || column->source == EVENT_EXPERT))
        return fx_events_fail(&table->events, err, column->member, ": is missing");
    if (column->source == EVENT_EXPERT || column->source == OPTIONAL_EXPERT)
        return put_experts(table, column, value, row, err);
    if (value == NULL)
        return FX_OK;
    if (!put_value(row, value))
        return fx_events_fail(&table->events, err, column->member, ": neither a number nor text");
    return FX_OK;
}

static void put_titles(const struct table *table, const struct column *column, FILE *row)
{
    const char *mark = strchr(column->title, '%');

    if (mark == NULL) {
        fputs(column->title, row);
        return;
    }
    for (int k = 0; k < table->events.n_experts; k++)
        fprintf(row, "%s%.*s%d%s", k > 0 ? "," : "", (int)(mark - column->title), column->title, k,
                mark + 2);
}

/* Writes the fields of an event, or with event == NULL the titles, as one line. */
static enum fx_status write_line(const struct table *table, const json_t *event, struct fx_err *err)
{
    char *text = NULL;
    size_t n = 0;
    enum fx_status status = FX_OK;
    FILE *row = open_memstream(&text, &n);

    if (row == NULL)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", table->out_name);
    const struct column *first = table->kind->columns;
    for (const struct column *c = first; c->title != NULL && status == FX_OK; c++) {
        if (c != first)
            fputc(',', row);
        if (event == NULL)
            put_titles(table, c, row);
        else
            status = put_field(table, c, event, row, err);
    }
    fputc('\n', row);
    if (fclose(row) != 0 && status == FX_OK)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", table->out_name);
    if (status == FX_OK)
        status = fx_write_full(table->out_fd, text, n, table->out_name, err);
    free(text);
    return status;
}

/* ---- events ---------------------------------------------------------------------------------- */

static enum fx_status on_row(struct table *table, const json_t *event, struct fx_err *err)
{
    const char *counter = table->kind->counter;

    if (counter != NULL) {
        const json_t *number = json_object_get(event, counter);
        if (!json_is_integer(number))
            return fx_events_fail(&table->events, err, counter, ": not a whole number");
        if (json_integer_value(number) <= table->last)
            return fx_events_fail(&table->events, err, counter, ": does not ascend");
        table->last = json_integer_value(number);
    }
    FX_TRY(write_line(table, event, err));
    table->n_rows++;
    return FX_OK;
}

static void report_end(const struct table *table, const json_t *event)
{
    const char *status = fx_event_text(event, "status");
    const char *reason = fx_event_text(event, "reason");

    if (strcmp(status, "done") != 0)
        fx_log_warn("%s: the run ended with status '%s'%s%s", table->events.reader.name, status,
                    reason != NULL ? ": " : "", reason != NULL ? reason : "");
}

static enum fx_status on_event(struct table *table, const json_t *event, const char *kind,
                               struct fx_err *err)
{
    if (strcmp(kind, "start") == 0)
        return write_line(table, NULL, err);
    if (strcmp(kind, "end") == 0)
        report_end(table, event);
    return strcmp(kind, table->kind->event) == 0 ? on_row(table, event, err) : FX_OK;
}

static enum fx_status read_all(struct table *table, struct fx_err *err)
{
    for (;;) {
        json_t *event;
        const char *kind;
        FX_TRY(fx_events_next(&table->events, &event, &kind, err));
        if (event == NULL)
            return FX_OK;
        enum fx_status status = on_event(table, event, kind, err);
        json_decref(event);
        FX_TRY(status);
    }
}

enum fx_status fx_metrics_csv(FILE *in, const char *in_name, const char *event, int out_fd,
                              const char *out_name, int64_t *n_rows, struct fx_err *err)
{
    struct table table = {
        .events = { .reader = { .in = in, .name = in_name } },
        .kind = kinds,
        .out_fd = out_fd,
        .out_name = out_name,
    };

    while (strcmp(table.kind->event, event) != 0)
        table.kind++;
    enum fx_status status = read_all(&table, err);

    *n_rows = table.n_rows;
    fx_events_fini(&table.events);
    return status;
}
