/* JSON Lines over jansson: strict on the way in, canonical on the way out. */
#include "base/jsonl.h"

#include "base/stop.h"
#include "base/utf8.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
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

/* What the value that is being parsed in this thread may still take, and why jansson got none. */
static _Thread_local size_t n_left = SIZE_MAX;
static _Thread_local bool was_short, was_too_much;

static void *allocate(size_t n)
{
    void *bytes = NULL;

    if (n > n_left) {
        was_too_much = true;
        return NULL;
    }
    bytes = malloc(n);
    was_short |= !bytes;
    n_left -= bytes ? n : 0;
    return bytes;
}

enum fx_status fx_json_parse(const char *bytes, size_t n, size_t flags, json_t **value,
                             json_error_t *why)
{
    json_set_alloc_funcs(allocate, free);
    was_short = was_too_much = false;
    n_left = n < (SIZE_MAX - FX_JSON_BYTES) / FX_JSON_FACTOR ? FX_JSON_BYTES + n * FX_JSON_FACTOR
                                                             : SIZE_MAX;
    *value = json_loadb(bytes, n, flags, why);
    n_left = SIZE_MAX; /* for what is made and changed elsewhere */
    /* jansson passes over some failures and leaves members out. */
    if (was_short || was_too_much) {
        json_decref(*value);
        *value = NULL;
    }
    if (was_short)
        snprintf(why->text, sizeof why->text, "out of memory");
    else if (was_too_much)
        snprintf(why->text, sizeof why->text, "needs more than %d MiB and %d times its size",
                 FX_JSON_BYTES >> 20, FX_JSON_FACTOR);
    return *value ? FX_OK : was_short ? FX_EFAIL : FX_EINPUT;
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
