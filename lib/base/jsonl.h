/* JSON Lines: one JSON object per line, the format of every metrics stream (fusion-metrics(5)). */
#ifndef FX_BASE_JSONL_H
#define FX_BASE_JSONL_H

#include "base/status.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* fx_json_text: a new JSON string, owned by the caller; bytes that are not UTF-8 become U+FFFD.
 * NULL when memory is short. */
json_t *fx_json_text(const char *text);

/* A parsed value may take FX_JSON_BYTES plus FX_JSON_FACTOR times its text of memory, which is
 * reckoned before it is parsed.  A header of safetensors takes some 20 times its text;
 * "[[],[],[], ..." would take 60 times. */
enum { FX_JSON_FACTOR = 16, FX_JSON_BYTES = 64 << 20 };

/* fx_json_parse: parses n bytes; *value is owned by the caller.  FX_EINPUT: not JSON, or above the
 * limit; FX_EFAIL: memory is short, which jansson reports as bad JSON.  Either way why->text has
 * the reason. */
enum fx_status fx_json_parse(const char *bytes, size_t n, size_t flags, json_t **value,
                             json_error_t *why) FX_MUST_CHECK;

/* fx_json_dump: as json_dumps, but NULL when memory is short, where that leaves out strings.
 * malloc'ed with room for one more byte, owned by the caller. */
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
