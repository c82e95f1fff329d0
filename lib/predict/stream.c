/* Requests on a descriptor: lines, JSON, base64. */
#include "predict/asker.h"

#include "base/io.h"
#include "base/jsonl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A longer line is no request.  A picture of 64 million pixels is smaller. */
enum { LINE_BYTES_MAX = 256 << 20, READ_BYTES = 1 << 16 };

/* ---- lines ----------------------------------------------------------------------------------- */

struct lines {
    int fd;
    char *buf;            /* owned */
    size_t start, n, cap; /* bytes [start, n) are read and not taken */
    size_t seen;          /* of which no newline is among the first so many */
    bool ended, is_too_long;
};

enum found { FOUND_LINE, FOUND_NONE, FOUND_END };

static bool is_ready(int fd)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };

    return poll(&wait, 1, 0) > 0;
}

static enum fx_status read_more(struct lines *lines, struct fx_err *err)
{
    if (lines->start > 0) {
        memmove(lines->buf, lines->buf + lines->start, lines->n - lines->start);
        lines->n -= lines->start;
        lines->start = 0;
    }
    if (lines->n > LINE_BYTES_MAX) {
        lines->is_too_long = true;
        lines->n = lines->seen = 0;
    }
    if (lines->cap - lines->n < READ_BYTES) {
        char *grown = realloc(lines->buf, 2 * lines->cap + READ_BYTES);
        if (!grown)
            return fx_fail(err, FX_EFAIL, "stdin: out of memory for a line");
        lines->buf = grown;
        lines->cap = 2 * lines->cap + READ_BYTES;
    }
    ssize_t got = read(lines->fd, lines->buf + lines->n, lines->cap - lines->n);
    if (got < 0 && errno != EINTR)
        return fx_fail_errno(err, "stdin");
    lines->ended = got == 0;
    lines->n += got > 0 ? (size_t)got : 0;
    return FX_OK;
}

/* The next line without its newline; the last one need not have one.  FOUND_NONE: it would have to
 * be waited for, and may_wait says not to. */
static enum fx_status next_line(struct lines *lines, bool may_wait, enum found *found, char **line,
                                size_t *n, struct fx_err *err)
{
    for (;;) {
        char *from = lines->buf + lines->start;
        size_t left = lines->n - lines->start;
        char *newline = left > 0 ? memchr(from + lines->seen, '\n', left - lines->seen) : NULL;
        *found = FOUND_LINE;
        if (newline || (lines->ended && (left > 0 || lines->is_too_long))) {
            *line = from;
            *n = newline ? (size_t)(newline - from) : left;
            lines->start += newline ? *n + 1 : left;
            lines->seen = 0;
            return FX_OK;
        }
        lines->seen = left;
        *found = lines->ended ? FOUND_END : FOUND_NONE;
        if (lines->ended || (!may_wait && !is_ready(lines->fd)))
            return FX_OK;
        FX_TRY(read_more(lines, err));
    }
}

/* ---- base64 (RFC 4648, section 4) ------------------------------------------------------------ */

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Into bytes (3 for every 4); -1: it is something else. */
static ssize_t decode_base64(const char *text, size_t n, uint8_t *bytes)
{
    size_t n_padding = 0;
    uint32_t word = 0;
    ssize_t n_bytes = 0;

    if (n % 4 == 0)
        while (n_padding < 2 && n_padding < n && text[n - 1 - n_padding] == '=')
            n_padding++;
    n -= n_padding;
    for (size_t i = 0; i < n; i++) {
        int value = digit(text[i]);
        if (value < 0)
            return -1;
        word = word << 6 | (uint32_t)value;
        if (i % 4 != 0)
            bytes[n_bytes++] = (uint8_t)(word >> (6 - 2 * (i % 4)));
    }
    return n % 4 == 1 ? -1 : n_bytes;
}

/* ---- requests -------------------------------------------------------------------------------- */

static enum fx_status ask_path(struct fx_asker *asker, const char *path, json_t *id,
                               struct fx_err *err)
{
    struct fx_input in = { 0 };
    struct fx_err why = { 0 };
    struct stat st;
    enum fx_status status;

    /* A pipe, or a device, might keep everybody waiting. */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        fx_fail(&why, FX_EINPUT, "%s: is no regular file", path);
        return fx_ask_nothing(asker, path, id, &why, err);
    }
    if (fx_input_open(&in, path, &why) != FX_OK)
        return fx_ask_nothing(asker, path, id, &why, err);
    status = fx_ask_picture(asker, path, id, in.bytes, in.n_bytes, NULL, err);
    fx_input_close(&in);
    return status;
}

static enum fx_status ask_base64(struct fx_asker *asker, const json_t *text, json_t *id,
                                 struct fx_err *err)
{
    size_t n = json_string_length(text);
    uint8_t *bytes = malloc(n / 4 * 3 + 3);
    struct fx_err why = { 0 };
    enum fx_status status;

    if (!bytes)
        return fx_fail(err, FX_EFAIL, "out of memory for an image");
    ssize_t n_bytes = decode_base64(json_string_value(text), n, bytes);
    if (n_bytes >= 0) {
        status = fx_ask_picture(asker, NULL, id, bytes, (size_t)n_bytes, NULL, err);
    } else {
        fx_fail(&why, FX_EINPUT, "image: is no base64");
        status = fx_ask_nothing(asker, NULL, id, &why, err);
    }
    free(bytes);
    return status;
}

static enum fx_status ask_line(struct fx_asker *asker, const char *line, size_t n,
                               struct fx_err *err)
{
    struct fx_err why = { 0 };
    json_error_t error;
    json_t *request = NULL;
    enum fx_status status = fx_json_parse(line, n, JSON_REJECT_DUPLICATES, &request, &error);

    if (status == FX_EFAIL)
        return fx_fail(err, FX_EFAIL, "stdin: %s", error.text);
    const char *path = json_string_value(json_object_get(request, "path"));
    const json_t *image = json_object_get(request, "image");
    json_t *id = json_object_get(request, "id");
    if (path && !image) {
        status = ask_path(asker, path, id, err);
    } else if (json_is_string(image) && !path) {
        status = ask_base64(asker, image, id, err);
    } else {
        if (request)
            fx_fail(&why, FX_EINPUT, "request: takes a \"path\" or an \"image\" in base64");
        else
            fx_fail(&why, FX_EINPUT, "request: is no JSON: %s", error.text);
        status = fx_ask_nothing(asker, NULL, id, &why, err);
    }
    json_decref(request);
    return status;
}

/* What is left of a line that was too long is not looked at. */
static enum fx_status take_line(struct fx_asker *asker, struct lines *lines, const char *line,
                                size_t n, struct fx_err *err)
{
    struct fx_err why = { 0 };

    if (lines->is_too_long) {
        lines->is_too_long = false;
        fx_fail(&why, FX_EINPUT, "request: more than %d bytes in a line", LINE_BYTES_MAX);
        return fx_ask_nothing(asker, NULL, NULL, &why, err);
    }
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", line[i]) || line[i] == '\0')
            return ask_line(asker, line, n, err);
    return FX_OK;
}

enum fx_status fx_ask_stream(struct fx_asker *asker, int fd, struct fx_err *err)
{
    struct lines lines = { .fd = fd };
    enum found found = FOUND_NONE;
    enum fx_status status = FX_OK;
    char *line = NULL;
    size_t n = 0;

    while (status == FX_OK && found != FOUND_END) {
        status = next_line(&lines, asker->n == 0, &found, &line, &n, err);
        if (status == FX_OK && found == FOUND_LINE)
            status = take_line(asker, &lines, line, n, err);
        else if (status == FX_OK)
            status = fx_asker_answer(asker, err);
    }
    free(lines.buf);
    return status;
}
