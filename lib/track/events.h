/* Reads a metrics stream event by event and checks the order of fusion-metrics(5): one start event,
 * then the others, then one end event.  Used by all of lib/track. */
#ifndef FX_TRACK_EVENTS_H
#define FX_TRACK_EVENTS_H

#include "base/jsonl.h"
#include "base/status.h"

#include <stdbool.h>

enum { FX_EVENTS_EXPERTS_MAX = 64 };
/* The most epochs or steps: whole numbers up to here are the same in every reader of JSON. */
#define FX_EVENTS_COUNT_MAX ((int64_t)1 << 53)

/* Initialise with { .reader = { .in = FILE, .name = NAME } }. */
struct fx_events {
    struct fx_json_reader reader;
    json_t *start; /* owned; NULL before the start event */
    int n_experts;
    bool is_ended; /* the end event has been read */
};

/* fx_events_next: the next event, owned by the caller, and its kind, which lives as long; NULL
 * when the stream is over.  The line itself is in events->reader.text until the next call.
 * FX_EINPUT, "NAME: line 7: why": a line that is no event, anything before start or after end, an
 * epoch or step that cannot be one, an end with an unknown status; "NAME: stream ends without an
 * end event". */
enum fx_status fx_events_next(struct fx_events *events, json_t **event, const char **kind,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_events_each: calls on_event with each event until the stream is over, and passes the line on
 * to pass_fd (-1: none) once on_event is done with it. */
typedef enum fx_status fx_event_fn(void *ctx, const json_t *event, const char *kind,
                                   const char *line, struct fx_err *err);
enum fx_status fx_events_each(struct fx_events *events, int pass_fd, fx_event_fn *on_event,
                              void *ctx, struct fx_err *err) FX_MUST_CHECK;

/* fx_events_fail: FX_EINPUT about the line just read: "NAME: line 7: what why". */
enum fx_status fx_events_fail(const struct fx_events *events, struct fx_err *err, const char *what,
                              const char *why);

void fx_events_fini(struct fx_events *events);

/* fx_event_text: the text in a member, or NULL where there is none. */
const char *fx_event_text(const json_t *event, const char *member);

/* fx_event_seconds: the local time in a member as seconds since 1970; `otherwise` where the member
 * is missing or no time. */
int64_t fx_event_seconds(const json_t *event, const char *member, int64_t otherwise);

#endif
