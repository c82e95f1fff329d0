/* Recording, cutting and replaying.
 *
 * The file may be longer than the state it belongs to (the run was killed after a line and before
 * the checkpoint) and may end within a line; it is never shorter, since it is synced before each
 * checkpoint. */
#include "run/history_internal.h"

#include "base/jsonl.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum fx_status fx_history_start(struct fx_history *history, const char *path,
                                const struct fx_output *out, struct fx_err *err)
{
    *history = (struct fx_history){ .path = path, .out = out };
    history->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (history->fd < 0)
        return fx_fail_errno(err, "%s", path);
    fx_sync_dir_of(path); /* no checkpoint without it */
    return FX_OK;
}

enum fx_status fx_history_record(struct fx_history *history, const char *text, struct fx_err *err)
{
    FX_TRY(fx_write_full(history->fd, text, strlen(text), history->path, err));
    history->n_lines++;
    return FX_OK;
}

static enum fx_status say(const struct fx_history *history, const void *text, size_t n,
                          struct fx_err *err)
{
    const struct fx_output *out = history->out;

    return fx_write_full(out->fd, text, n, out->is_stdout ? "stdout" : out->path, err);
}

enum fx_status fx_history_say(const struct fx_history *history, const char *text,
                              struct fx_err *err)
{
    return say(history, text, strlen(text), err);
}

bool fx_history_listener_is_gone(const struct fx_history *history)
{
    struct pollfd out = { .fd = history->out->fd, .events = POLLOUT };

    return poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0;
}

enum fx_status fx_history_sync(struct fx_history *history, struct fx_err *err)
{
    return fdatasync(history->fd) == 0 ? FX_OK : fx_fail_errno(err, "%s", history->path);
}

void fx_history_close(struct fx_history *history)
{
    if (history->fd >= 0)
        close(history->fd);
    history->fd = -1;
}

/* The end of the line that starts at byte `at`, its newline included; 0 when it is cut. */
static size_t line_end(const struct fx_input *in, size_t at)
{
    const uint8_t *newline =
        at < in->n_bytes ? memchr(in->bytes + at, '\n', in->n_bytes - at) : NULL;

    return !newline ? 0 : (size_t)(newline - in->bytes) + 1;
}

/* Whether the line is an end event of a finished run; what is no JSON is none. */
static enum fx_status look_for_end(const struct fx_input *in, size_t from, size_t to, bool *done,
                                   struct fx_err *err)
{
    json_t *line;
    json_error_t why;

    enum fx_status read = fx_json_parse((const char *)in->bytes + from, to - from, 0, &line, &why);
    if (read == FX_EFAIL)
        return fx_fail(err, read, "%s: %s", in->name, why.text);
    const char *event = json_string_value(json_object_get(line, "event"));
    const char *status = json_string_value(json_object_get(line, "status"));
    *done = event && status && strcmp(event, "end") == 0 && strcmp(status, "done") == 0;
    json_decref(line);
    return FX_OK;
}

/* The bytes of the history that stay: n_lines lines, or up to and with an end event after them. */
static enum fx_status measure(const struct fx_input *in, int64_t n_lines, bool keep_end,
                              size_t *n_keep, int64_t *n_kept, struct fx_err *err)
{
    size_t at = 0, next;
    int64_t line = 0;

    *n_keep = 0;
    *n_kept = 0;
    for (; (next = line_end(in, at)) != 0; at = next, line++) {
        bool ends = false;
        if (line >= n_lines && keep_end)
            FX_TRY(look_for_end(in, at, next, &ends, err));
        if (line < n_lines || ends) {
            *n_keep = next;
            *n_kept = line + 1;
        }
    }
    if (*n_kept < n_lines)
        return fx_fail(err, FX_EINPUT,
                       "%s: %lld lines where the checkpoint counts %lld: the file was cut",
                       in->name, (long long)line, (long long)n_lines);
    return FX_OK;
}

static enum fx_status replay(struct fx_history *history, const struct fx_input *in, size_t n_keep,
                             fx_history_visit visit, void *ctx, struct fx_err *err)
{
    for (size_t at = 0, next; at < n_keep; at = next) {
        next = line_end(in, at);
        if (next == 0 || next > n_keep) /* the mapping shows what the file has become */
            return fx_fail(err, FX_EINPUT, "%s: changed while it was read", in->name);
        char *line = strndup((const char *)in->bytes + at, next - at - 1);
        if (!line)
            return fx_fail(err, FX_EFAIL, "%s: out of memory", in->name);
        visit(ctx, line);
        free(line);
    }
    return say(history, in->bytes, n_keep, err);
}

enum fx_status fx_history_resume(struct fx_history *history, const char *path,
                                 const struct fx_output *out, int64_t n_lines, bool keep_end,
                                 bool *ended, fx_history_visit visit, void *ctx, struct fx_err *err)
{
    struct fx_input in = { 0 };
    size_t n_keep;
    int64_t n_kept;
    enum fx_status status;

    *history = (struct fx_history){ .path = path, .out = out, .fd = -1 };
    FX_TRY_OUT(fx_input_open(&in, path, err));
    FX_TRY_OUT(measure(&in, n_lines, keep_end, &n_keep, &n_kept, err));
    FX_TRY_OUT(replay(history, &in, n_keep, visit, ctx, err));
    *ended = n_kept > n_lines;
    history->n_lines = n_kept;
    history->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (history->fd < 0 || ftruncate(history->fd, (off_t)n_keep) != 0)
        status = fx_fail_errno(err, "%s", path);
out:
    fx_input_close(&in);
    return status;
}
