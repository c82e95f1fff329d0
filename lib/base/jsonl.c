/* JSON Lines over jansson: strict on the way in, canonical on the way out. */
#include "base/jsonl.h"

#include "base/stop.h"
#include "base/utf8.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { REAL_DIGITS = 10 };

json_t *fx_json_text(const char *text)
{
    char *mended = fx_utf8_mend(text);
    json_t *string = mended ? json_string(mended) : NULL;

    free(mended);
    return string;
}

/* What jansson (2.14) takes, in bytes: an object with its first buckets, an array with its first
 * slots and an element, a member with its buckets and value, one more element, the least for the
 * text of a string.  A byte of that is copied once, and stands in a buffer that grows by doubling.
 */
enum {
    OBJECT_BYTES = 200,
    ARRAY_BYTES = 128,
    MEMBER_BYTES = 128,
    ELEMENT_BYTES = 56,
    STRING_BYTES = 32,
    CHAR_BYTES = 4,
    LEAST_BYTES = 256, /* the empty buffer and a number */
};

/* Rather more than the parsed value takes, and parsing it. */
static size_t parsed_bytes(const char *text, size_t n)
{
    size_t n_bytes = 0;
    bool in_string = false;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') {
            in_string = !in_string;
            n_bytes += in_string ? STRING_BYTES : 0;
        } else if (in_string && text[i] == '\\') {
            i++;
        }
        if (in_string)
            n_bytes += CHAR_BYTES;
        else if (text[i] == '{')
            n_bytes += OBJECT_BYTES;
        else if (text[i] == '[')
            n_bytes += ARRAY_BYTES;
        else if (text[i] == ':')
            n_bytes += MEMBER_BYTES;
        else if (text[i] == ',')
            n_bytes += ELEMENT_BYTES;
    }
    return n_bytes;
}

/* What jansson gets where memory ends while it parses: its lexer passes over memory that it does
 * not get, and then reads beyond what it has. */
static _Thread_local struct {
    char *bytes;
    size_t n, n_used;
    bool was_needed;
} reserve;

static void *allocate(size_t n)
{
    void *bytes = malloc(n);
    size_t n_aligned = (n + 15) / 16 * 16;

    reserve.was_needed |= !bytes;
    if (bytes || n_aligned > reserve.n - reserve.n_used)
        return bytes;
    bytes = reserve.bytes + reserve.n_used;
    reserve.n_used += n_aligned;
    return bytes;
}

static void release(void *bytes)
{
    uintptr_t at = (uintptr_t)bytes, from = (uintptr_t)reserve.bytes;

    if (at < from || at >= from + reserve.n)
        free(bytes);
}

/* False when memory is short. */
static bool parse(const char *bytes, size_t n, size_t n_reserve, size_t flags, json_t **value,
                  json_error_t *why)
{
    reserve.bytes = malloc(n_reserve);
    if (!reserve.bytes)
        return false;
    reserve.n = n_reserve;
    json_set_alloc_funcs(allocate, release);
    *value = json_loadb(bytes, n, flags, why);
    bool is_short = reserve.was_needed;
    if (is_short) { /* part of it lies in the reserve */
        json_decref(*value);
        *value = NULL;
    }
    free(reserve.bytes);
    memset(&reserve, 0, sizeof reserve);
    return !is_short;
}

enum fx_status fx_json_parse(const char *bytes, size_t n, size_t flags, json_t **value,
                             json_error_t *why)
{
    size_t n_needed = parsed_bytes(bytes, n);

    *value = NULL;
    *why = (json_error_t){ .line = -1 };
    if (n_needed / FX_JSON_FACTOR > n + FX_JSON_BYTES / FX_JSON_FACTOR) {
        snprintf(why->text, sizeof why->text, "needs more than %d MiB and %d times its size",
                 FX_JSON_BYTES >> 20, FX_JSON_FACTOR);
        return FX_EINPUT;
    }
    /* Numbers stand in the buffer, too. */
    if (parse(bytes, n, n_needed + CHAR_BYTES * n + LEAST_BYTES, flags, value, why))
        return *value ? FX_OK : FX_EINPUT;
    snprintf(why->text, sizeof why->text, "out of memory");
    return FX_EFAIL;
}

char *fx_json_dump(const json_t *value, size_t flags)
{
    size_t n = json_dumpb(value, NULL, 0, flags);
    char *text = n > 0 ? malloc(n + 2) : NULL;

    if (!text)
        return NULL;
    if (json_dumpb(value, text, n, flags) != n) { /* it needs memory, too */
        free(text);
        return NULL;
    }
    text[n] = text[n + 1] = '\0';
    return text;
}

char *fx_json_line(const json_t *object)
{
    char *line = fx_json_dump(object, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));

    if (line)
        line[strlen(line)] = '\n';
    return line;
}

enum fx_status fx_json_line_write(const json_t *object, FILE *out, const char *name,
                                  struct fx_err *err)
{
    char *line = fx_json_line(object);

    if (!line)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    bool failed = fputs(line, out) == EOF || fflush(out) != 0;
    int why = errno;
    free(line);
    if (failed && why == EPIPE && fx_stop_signal() == SIGPIPE)
        return fx_fail(err, FX_ESTOPPED, "%s: the reader is gone", name);
    errno = why;
    return failed ? fx_fail_errno(err, "%s", name) : FX_OK;
}

enum fx_status fx_json_line_read(struct fx_json_reader *reader, json_t **object, struct fx_err *err)
{
    json_error_t why;

    *object = NULL;
    errno = 0;
    ssize_t n = getline(&reader->text, &reader->cap_text, reader->in);
    reader->n_text = n > 0 ? (size_t)n : 0;
    if (n < 0 && feof(reader->in))
        return FX_OK;
    /* Also when the first bytes of the line could be read. */
    if (n < 0 || ferror(reader->in))
        return fx_fail_errno(err, "%s", reader->name);
    reader->line++;
    if (reader->text[n - 1] != '\n')
        return fx_fail(err, FX_EINPUT, "%s: line %lld: cut off before its end", reader->name,
                       (long long)reader->line);
    enum fx_status status =
        fx_json_parse(reader->text, (size_t)n, JSON_REJECT_DUPLICATES, object, &why);
    if (status != FX_OK)
        return fx_fail(err, status, "%s: line %lld: %s", reader->name, (long long)reader->line,
                       why.text);
    if (!json_is_object(*object)) {
        json_decref(*object);
        *object = NULL;
        return fx_fail(err, FX_EINPUT, "%s: line %lld: not a JSON object", reader->name,
                       (long long)reader->line);
    }
    return FX_OK;
}

void fx_json_reader_fini(struct fx_json_reader *reader)
{
    free(reader->text);
    reader->text = NULL;
    reader->cap_text = 0;
}
