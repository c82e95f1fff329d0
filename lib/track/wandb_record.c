/* Field numbers, in one place. */
#include "track/wandb_internal.h"

#include "base/jsonl.h"
#include "base/tool.h"
#include "track/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields of Record: its number, and one of the messages. */
enum {
    RECORD_NUM = 1,
    HISTORY = 2,
    SUMMARY = 3,
    RUN = 17,
    RUN_EXIT = 18,
    FINAL = 20,
    HEADER = 21,
    FOOTER = 22,
    PREEMPTING = 23,
};
enum { HEADER_VERSION = 1, VERSION_PRODUCER = 1, VERSION_MIN_CONSUMER = 2 };
enum {
    RUN_ID = 1,
    RUN_ENTITY = 2,
    RUN_PROJECT = 3,
    RUN_CONFIG = 4,
    RUN_GROUP = 6,
    RUN_JOB_TYPE = 7,
    RUN_DISPLAY_NAME = 8,
    RUN_NOTES = 9,
    RUN_TAGS = 10,
    RUN_HOST = 13,
    RUN_STARTING_STEP = 14,
    RUN_START_TIME = 17,
};
enum { TIMESTAMP_SECONDS = 1 };
enum { ITEMS_UPDATE = 1, ITEM_KEY = 1, ITEM_VALUE_JSON = 16 };
enum { HISTORY_ITEM = 1, HISTORY_STEP = 2, STEP_NUM = 1 };
enum { EXIT_CODE = 1, EXIT_RUNTIME = 2 };

/* The oldest reader that understands such a log, as W&B's own writer names it. */
static const char min_consumer[] = "0.40.0";

/* Appends a record that holds one message. */
static enum fx_status put_record(struct fx_wandb_log *log, int field, const struct fx_pb *message,
                                 struct fx_err *err)
{
    struct fx_pb record = { 0 };

    fx_pb_int(&record, RECORD_NUM, log->n_records + 1);
    fx_pb_message(&record, field, message);
    enum fx_status status = fx_wandb_log_append(log, &record, err);
    fx_pb_fini(&record);
    return status;
}

/* As put_record; frees the message. */
static enum fx_status put_and_free(struct fx_wandb_log *log, int field, struct fx_pb *message,
                                   struct fx_err *err)
{
    enum fx_status status = put_record(log, field, message, err);

    fx_pb_fini(message);
    return status;
}

/* ---- items ----------------------------------------------------------------------------------- */

/* A number that is not finite came as null; W&B's JSON knows NaN. */
static void put_item(struct fx_pb *message, int field, const char *key, const json_t *value)
{
    struct fx_pb item = { 0 };
    char *text =
        json_is_null(value)
            ? strdup("NaN")
            : fx_json_dump(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));

    item.failed = !text;
    fx_pb_text(&item, ITEM_KEY, key);
    fx_pb_text(&item, ITEM_VALUE_JSON, text);
    fx_pb_message(message, field, &item);
    free(text);
    fx_pb_fini(&item);
}

static void put_items(struct fx_pb *message, int field, const json_t *object)
{
    json_t *members = (json_t *)object; /* iterating changes nothing, but jansson wants it so */

    for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at))
        if (strcmp(json_object_iter_key(at), "event") != 0)
            put_item(message, field, json_object_iter_key(at), json_object_iter_value(at));
}

void fx_wandb_items(struct fx_pb *message, const json_t *object)
{
    put_items(message, ITEMS_UPDATE, object);
}

/* ---- records --------------------------------------------------------------------------------- */

enum fx_status fx_wandb_put_header(struct fx_wandb_log *log, struct fx_err *err)
{
    struct fx_pb header = { 0 }, version = { 0 };
    char producer[64];

    snprintf(producer, sizeof producer, "fusion-tools %s", fx_version);
    fx_pb_text(&version, VERSION_PRODUCER, producer);
    fx_pb_text(&version, VERSION_MIN_CONSUMER, min_consumer);
    fx_pb_message(&header, HEADER_VERSION, &version);
    fx_pb_fini(&version);
    return put_and_free(log, HEADER, &header, err);
}

static void put_tags(struct fx_pb *message, const char *tags)
{
    char *copy = tags ? strdup(tags) : NULL, *rest = copy;

    message->failed |= tags && !copy;
    for (char *tag; (tag = strsep(&rest, ","));)
        if (tag[0] != '\0')
            fx_pb_text(message, RUN_TAGS, tag);
    free(copy);
}

enum fx_status fx_wandb_put_run(struct fx_wandb_log *log, const struct fx_wandb_run *run,
                                struct fx_err *err)
{
    struct fx_pb message = { 0 }, start = { 0 };

    fx_pb_text(&message, RUN_ID, run->id);
    fx_pb_text(&message, RUN_ENTITY, run->entity);
    fx_pb_text(&message, RUN_PROJECT, run->project);
    fx_pb_message(&message, RUN_CONFIG, run->config);
    fx_pb_text(&message, RUN_GROUP, run->group);
    fx_pb_text(&message, RUN_JOB_TYPE, run->job_type);
    fx_pb_text(&message, RUN_DISPLAY_NAME, run->name);
    fx_pb_text(&message, RUN_NOTES, run->notes);
    put_tags(&message, run->tags);
    fx_pb_text(&message, RUN_HOST, run->host);
    fx_pb_int(&message, RUN_STARTING_STEP, run->starting_step);
    fx_pb_int(&start, TIMESTAMP_SECONDS, run->start_seconds);
    fx_pb_message(&message, RUN_START_TIME, &start);
    fx_pb_fini(&start);
    return put_and_free(log, RUN, &message, err);
}

enum fx_status fx_wandb_put_history(struct fx_wandb_log *log, const json_t *row, int64_t step,
                                    struct fx_err *err)
{
    struct fx_pb message = { 0 }, number = { 0 };

    put_items(&message, HISTORY_ITEM, row);
    fx_pb_int(&number, STEP_NUM, step);
    fx_pb_message(&message, HISTORY_STEP, &number);
    fx_pb_fini(&number);
    return put_and_free(log, HISTORY, &message, err);
}

enum fx_status fx_wandb_put_summary(struct fx_wandb_log *log, const json_t *values,
                                    struct fx_err *err)
{
    struct fx_pb message = { 0 };

    fx_wandb_items(&message, values);
    return put_and_free(log, SUMMARY, &message, err);
}

enum fx_status fx_wandb_put_preempting(struct fx_wandb_log *log, struct fx_err *err)
{
    const struct fx_pb nothing = { 0 };

    return put_record(log, PREEMPTING, &nothing, err);
}

enum fx_status fx_wandb_put_exit(struct fx_wandb_log *log, int code, int64_t runtime_seconds,
                                 struct fx_err *err)
{
    const struct fx_pb nothing = { 0 };
    struct fx_pb message = { 0 };

    fx_pb_int(&message, EXIT_CODE, code);
    fx_pb_int(&message, EXIT_RUNTIME, runtime_seconds);
    FX_TRY(put_and_free(log, RUN_EXIT, &message, err));
    FX_TRY(put_record(log, FINAL, &nothing, err));
    return put_record(log, FOOTER, &nothing, err);
}

/* ---- looking back ---------------------------------------------------------------------------- */

static int64_t first_int(struct fx_pb_view view, int number, int64_t otherwise)
{
    struct fx_pb_field field;

    while (fx_pb_next(&view, &field))
        if (field.number == number)
            return (int64_t)field.value;
    return otherwise;
}

static void look_at_history(struct fx_wandb_past *past, struct fx_pb_view view)
{
    struct fx_pb_field field;

    while (fx_pb_next(&view, &field)) {
        int64_t step = field.number == HISTORY_STEP ? first_int(field.inside, STEP_NUM, 0) : -1;
        if (step > past->last_step && step <= FX_EVENTS_COUNT_MAX)
            past->last_step = step;
    }
}

static void look_at_run(struct fx_wandb_past *past, struct fx_pb_view view)
{
    struct fx_pb_field field;

    past->has_run = true;
    while (fx_pb_next(&view, &field))
        if (field.number == RUN_CONFIG) {
            fx_pb_clear(&past->config);
            fx_pb_raw(&past->config, field.inside.bytes, field.inside.n);
        }
}

void fx_wandb_look(struct fx_wandb_past *past, const struct fx_pb *record)
{
    struct fx_pb_view view = { record->bytes, record->n };
    struct fx_pb_field field;

    while (fx_pb_next(&view, &field)) {
        if (field.number == HISTORY)
            look_at_history(past, field.inside);
        else if (field.number == RUN)
            look_at_run(past, field.inside);
        else if (field.number == RUN_EXIT)
            past->is_done |= first_int(field.inside, EXIT_CODE, 0) == 0;
    }
}
