/* JSON Lines: one JSON object per line, the format of every metrics stream (fusion-metrics(5)). */
#ifndef FX_BASE_JSONL_H
#define FX_BASE_JSONL_H

#include "base/status.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* fx_json_text: a new string with this text, in which what is no UTF-8 is U+FFFD: JSON knows no
 * other.  NULL when memory is short. */
json_t *fx_json_text(const char *text);

/* A value may take so many times the memory of its text, and so much in any case.  A header of
 * safetensors takes 10 times its text; "[[],[],[], ..." would take 80 times. */
enum { FX_JSON_FACTOR = 16, FX_JSON_BYTES = 64 << 20 };

/* fx_json_parse: the value that these bytes spell, owned by the caller.  FX_EINPUT: they are no
 * JSON, or need more memory than that; FX_EFAIL: memory was short, which jansson alone calls bad
 * JSON.  Either way why->text says it. */
enum fx_status fx_json_parse(const char *bytes, size_t n, size_t flags, json_t **value,
                             json_error_t *why) FX_MUST_CHECK;

/* fx_json_dump: json_dumps, which leaves texts out when memory is short for them: malloc'ed with
 * room for one more byte, owned by the caller; NULL when memory is short. */
char *fx_json_dump(const json_t *value, size_t flags);

/* fx_json_line: the object as one compact line with "\n", keys in the order they were set, reals
 * with 10 significant digits.  malloc'ed, owned by the caller; NULL when memory is short. */
char *fx_json_line(const json_t *object);

/* fx_json_line_write: writes that line to the stream and flushes it, so that the next tool sees it
 * at once. */
enum fx_status fx_json_line_write(const json_t *object, FILE *out, const char *name,
                                  struct fx_err *err) FX_MUST_CHECK;

/* Reads a stream line by line. */
struct fx_json_reader {
    FILE *in;         /* borrowed */
    const char *name; /* borrowed: "stdin", for messages */
    int64_t line;     /* number of the last line read, from 1 */
    char *text;       /* owned: the last line, with its newline; the object in its own bytes */
    size_t n_text;
    size_t cap_text;
};

/* fx_json_line_read: the next object, owned by the caller (json_decref), or NULL at the end of the
 * stream.  FX_EFAIL when it cannot be read; FX_EINPUT on a line that is not one JSON object, has a
 * key twice or lacks its newline: "stdin: line 7: why". */
enum fx_status fx_json_line_read(struct fx_json_reader *reader, json_t **object,
                                 struct fx_err *err) FX_MUST_CHECK;
void fx_json_reader_fini(struct fx_json_reader *reader);

#endif
