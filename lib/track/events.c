/* The order of a metrics stream, in one place for everyone who reads one. */
#include "track/events.h"

#include "base/io.h"
#include "base/kind.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum fx_status fx_events_fail(const struct fx_events *events, struct fx_err *err, const char *what,
                              const char *why)
{
    return fx_fail(err, FX_EINPUT, "%s: line %" PRId64 ": %s%s", events->reader.name,
                   events->reader.line, what, why);
}

const char *fx_event_text(const json_t *event, const char *member)
{
    return json_string_value(json_object_get(event, member));
}

int64_t fx_event_seconds(const json_t *event, const char *member, int64_t otherwise)
{
    const char *text = fx_event_text(event, member);
    struct tm local = { .tm_isdst = -1 };
    const char *end = text ? strptime(text, "%Y-%m-%d %H:%M:%S", &local) : NULL;

    return end && *end == '\0' ? (int64_t)mktime(&local) : otherwise;
}

static enum fx_status on_start(struct fx_events *events, json_t *event, struct fx_err *err)
{
    const json_t *experts = json_object_get(event, "experts");

    if (events->start)
        return fx_events_fail(events, err, "", "a second start event");
    if (!json_is_integer(experts) || json_integer_value(experts) < 0 ||
        json_integer_value(experts) > FX_EVENTS_EXPERTS_MAX)
        return fx_events_fail(events, err, "experts", ": not a number of experts");
    events->n_experts = (int)json_integer_value(experts);
    events->start = json_incref(event);
    return FX_OK;
}

static enum fx_status on_end(struct fx_events *events, const json_t *event, struct fx_err *err)
{
    static const char *const known[] = { "done", "stopped", "diverged", "failed" };
    const char *status = fx_event_text(event, "status");

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (status && strcmp(status, known[i]) == 0)
            events->is_ended = true;
    return events->is_ended ? FX_OK
                            : fx_events_fail(events, err, "status",
                                             ": not one of done, stopped, diverged, failed");
}

/* Readers add and subtract these. */
static enum fx_status check_counts(const struct fx_events *events, const json_t *event,
                                   struct fx_err *err)
{
    static const char *const counts[] = { "epoch", "step", "epochs", "steps", "steps_per_epoch" };

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        json_int_t count = json_integer_value(json_object_get(event, counts[i]));
        if (count < 0 || count > FX_EVENTS_COUNT_MAX)
            return fx_events_fail(events, err, counts[i], ": out of range");
    }
    return FX_OK;
}

static enum fx_status check(struct fx_events *events, json_t *event, const char *kind,
                            struct fx_err *err)
{
    if (!kind)
        return fx_events_fail(events, err, "", "not an event: has no text 'event'");
    FX_TRY(check_counts(events, event, err));
    if (events->is_ended)
        return fx_events_fail(events, err, "", "stands after the end event");
    if (strcmp(kind, "start") == 0)
        return on_start(events, event, err);
    if (!events->start)
        return fx_events_fail(events, err, "", "stands before the start event");
    return strcmp(kind, "end") == 0 ? on_end(events, event, err) : FX_OK;
}

static enum fx_status next(struct fx_events *events, json_t **event, const char **kind,
                           struct fx_err *err)
{
    FX_TRY(fx_json_line_read(&events->reader, event, err));
    if (!*event)
        return events->is_ended ? FX_OK
                                : fx_fail(err, FX_EINPUT, "%s: stream ends without an end event",
                                          events->reader.name);
    *kind = fx_event_text(*event, "event");
    return check(events, *event, *kind, err);
}

/* The beginning of what is no metrics.  Of a pipe that is the line just read; where that is not
 * text, and so no one types it, also what follows. */
static size_t read_head(const struct fx_json_reader *reader, uint8_t head[FX_KIND_BYTES])
{
    ssize_t n_file = pread(fileno(reader->in), head, FX_KIND_BYTES, 0);
    size_t n = reader->n_text < FX_KIND_BYTES ? reader->n_text : FX_KIND_BYTES;

    if (n_file >= 0 || n == 0)
        return n_file >= 0 ? (size_t)n_file : 0;
    memcpy(head, reader->text, n);
    if (head[0] >= 0x80 || memchr(head, 0, n))
        n += fread(head + n, 1, FX_KIND_BYTES - n, reader->in);
    return n;
}

/* Says what the stream is instead of metrics, if its beginning shows it. */
static void explain(const struct fx_events *events, struct fx_err *err)
{
    uint8_t head[FX_KIND_BYTES];
    size_t n = read_head(&events->reader, head);

    (void)!fx_kind_check(FX_WANTED_METRICS, events->reader.name, head, n, err);
}

enum fx_status fx_events_next(struct fx_events *events, json_t **event, const char **kind,
                              struct fx_err *err)
{
    enum fx_status status = next(events, event, kind, err);
    if (status != FX_OK) {
        if (!events->start)
            explain(events, err);
        json_decref(*event);
        *event = NULL;
        status = err->status;
    }
    return status;
}

enum fx_status fx_events_each(struct fx_events *events, int pass_fd, fx_event_fn *on_event,
                              void *ctx, struct fx_err *err)
{
    for (;;) {
        const char *kind, *line;
        json_t *event;

        FX_TRY(fx_events_next(events, &event, &kind, err));
        if (!event)
            return FX_OK;
        line = events->reader.text;
        enum fx_status status = on_event(ctx, event, kind, line, err);
        if (status == FX_OK && pass_fd >= 0)
            status = fx_write_full(pass_fd, line, strlen(line), "stdout", err);
        json_decref(event);
        FX_TRY(status);
    }
}

void fx_events_fini(struct fx_events *events)
{
    fx_json_reader_fini(&events->reader);
    json_decref(events->start);
    events->start = NULL;
}
