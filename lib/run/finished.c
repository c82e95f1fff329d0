/* The first line of a history has the settings, the last one says how far they brought it. */
#include "run/finished.h"

#include "base/io.h"
#include "base/jsonl.h"
#include "base/log.h"
#include "run/trainer_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The events at both ends of a history; owned, NULL where a line is none. */
struct ends {
    json_t *start, *end;
    int64_t lines;    /* one that is cut counts, and is no event */
    int64_t at_epoch; /* of the last one that is whole */
};

/* NULL where the line is no JSON. */
static enum fx_status read_event(const struct fx_input *in, size_t from, size_t to, json_t **event,
                                 struct fx_err *err)
{
    json_error_t why;

    if (fx_json_parse((const char *)in->bytes + from, to - from, 0, event, &why) == FX_EFAIL)
        return fx_fail(err, FX_EFAIL, "%s: %s", in->name, why.text);
    return FX_OK;
}

static enum fx_status read_lines(struct ends *ends, const struct fx_input *in, struct fx_err *err)
{
    size_t first = 0, whole = 0, end = 0;
    json_t *last = NULL;

    for (size_t at = 0; at < in->n_bytes; ends->lines++) {
        const uint8_t *newline = memchr(in->bytes + at, '\n', in->n_bytes - at);
        if (newline) {
            whole = at;
            end = (size_t)(newline - in->bytes) + 1;
        }
        at = newline ? end : in->n_bytes;
        first = first == 0 ? at : first;
    }
    FX_TRY(read_event(in, 0, first, &ends->start, err));
    FX_TRY(read_event(in, whole, end, &last, err));
    ends->at_epoch = json_integer_value(json_object_get(last, "epoch"));
    if (ends->lines > 1 && end == in->n_bytes)
        ends->end = last;
    else
        json_decref(last);
    return FX_OK;
}

static enum fx_status read_file(struct ends *ends, const char *path, struct fx_err *err)
{
    struct fx_input in = { 0 };

    if (access(path, F_OK) != 0 && errno == ENOENT)
        return FX_OK;
    FX_TRY(fx_input_open(&in, path, err));
    enum fx_status status = read_lines(ends, &in, err);
    fx_input_close(&in);
    return status;
}

static enum fx_status read_ends(struct ends *ends, const char *dir, struct fx_err *err)
{
    char *path = NULL;

    *ends = (struct ends){ 0 };
    if (asprintf(&path, "%s/history.jsonl", dir) < 0)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
    enum fx_status status = read_file(ends, path, err);
    free(path);
    return status;
}

static bool is_text(const json_t *event, const char *member, const char *text)
{
    const char *value = json_string_value(json_object_get(event, member));

    return value && strcmp(value, text) == 0;
}

static int64_t integer(const json_t *event, const char *member)
{
    return json_integer_value(json_object_get(event, member));
}

/* Where the run stands after its end event, as far as fx_trainer_is_finished looks. */
static struct fx_state state_of(const struct ends *ends)
{
    int64_t per_epoch = integer(ends->start, "steps_per_epoch");
    struct fx_state state = {
        .epochs_done = integer(ends->end, "epoch"),
        .step = integer(ends->end, "step"),
        .best = { .epoch = integer(ends->end, "best_epoch"),
                  .accuracy = json_number_value(json_object_get(ends->end, "best_val_accuracy")) },
    };

    state.batch = per_epoch > 0 ? state.step % per_epoch : 0; /* steps: what matters is whether 0 */
    return state;
}

static enum fx_status compare(const struct ends *ends, const char *dir,
                              const struct fx_settings *settings, const struct fx_state *state,
                              struct fx_err *err)
{
    json_t *started = fx_settings_started(settings, ends->start);

    if (!started)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
    enum fx_status status = fx_settings_check(settings, started, err);
    json_decref(started);
    if (status == FX_OK)
        status = fx_settings_check_length(settings, state->epochs_done, state->step, err);
    return status == FX_OK ? FX_OK : fx_err_prepend(err, "%s: cannot resume: ", dir);
}

enum fx_status fx_finished_look(struct fx_finished *found, const char *dir,
                                const struct fx_settings *settings, struct fx_err *err)
{
    struct ends ends;
    enum fx_status status = read_ends(&ends, dir, err);

    *found = (struct fx_finished){ 0 };
    found->lines = ends.lines;
    found->at_epoch = ends.at_epoch;
    found->was_finished = status == FX_OK && is_text(ends.start, "event", "start") &&
                          is_text(ends.end, "event", "end") && is_text(ends.end, "status", "done");
    if (found->was_finished) {
        struct fx_state state = state_of(&ends);
        found->epochs = state.epochs_done;
        found->steps = state.step;
        found->is_finished = fx_trainer_is_finished(settings, &state);
        status = compare(&ends, dir, settings, &state, err);
    }
    json_decref(ends.start);
    json_decref(ends.end);
    return status;
}

enum fx_status fx_finished_precision(enum fx_precision *precision, const char *dir,
                                     const char *device, struct fx_err *err)
{
    struct ends ends;

    if (*precision != FX_PRECISION_AUTO)
        return FX_OK;
    enum fx_status status = read_ends(&ends, dir, err);
    for (int p = FX_PRECISION_FP32; p < FX_PRECISION_AUTO; p++) {
        char word[FX_WORD_BYTES];

        if (is_text(ends.start, "precision", fx_word_text(FX_PRECISIONS, p, word)))
            *precision = (enum fx_precision)p;
    }
    json_decref(ends.start);
    json_decref(ends.end);
    return status == FX_OK ? fx_choose_precision(precision, device, err) : status;
}

enum fx_status fx_finished_say(const char *dir, const struct fx_settings *settings,
                               struct fx_err *err)
{
    struct fx_finished found;

    FX_TRY(fx_finished_look(&found, dir, settings, err));
    if (!found.is_finished)
        return fx_fail(err, FX_EFAIL, "%s: not finished with these settings", dir);
    fx_log_info("%s: finished: %lld epochs, %lld steps; nothing to be done", dir,
                (long long)found.epochs, (long long)found.steps);
    return FX_OK;
}
