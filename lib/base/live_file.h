/* A file for `tail -f` whose writer may be restarted and then writes the same text from the start:
 * bytes that are already in the file are left in place, so a reader sees every line once. */
#ifndef FX_BASE_LIVE_FILE_H
#define FX_BASE_LIVE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Initialise with { .path = PATH, .fd = -1 }; the file is opened, or made, at the first write. */
struct fx_live_file {
    const char *path; /* borrowed; a regular file */
    int fd;           /* owned; -1: not open */
    off_t at;         /* bytes of the text so far */
    bool is_behind;   /* the file has more bytes than the text */
};

/* fx_live_write: the next n bytes of the text.  Where the file differs from them it is truncated
 * and continued with them. */
enum fx_status fx_live_write(struct fx_live_file *file, const char *text, size_t n,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_live_finish: the text is complete: truncates the file to it and syncs it. */
enum fx_status fx_live_finish(struct fx_live_file *file, struct fx_err *err) FX_MUST_CHECK;

/* fx_live_close: leaves what follows the text in the file; no-op where not open. */
void fx_live_close(struct fx_live_file *file);

#endif
