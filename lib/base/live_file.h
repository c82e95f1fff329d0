/* A file that others follow, written again from its beginning by a writer that was restarted: what
 * the file has already is left as it is, so that `tail -f` sees every line once. */
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
    off_t at;         /* the text so far */
    bool is_behind;   /* old text follows */
};

/* fx_live_write: the next n bytes of the text.  The same bytes in the file stay; where it differs,
 * it is cut and goes on with these. */
enum fx_status fx_live_write(struct fx_live_file *file, const char *text, size_t n,
                             struct fx_err *err) FX_MUST_CHECK;

/* fx_live_finish: the text is complete: old text behind it goes, and what is left is on the disk.
 */
enum fx_status fx_live_finish(struct fx_live_file *file, struct fx_err *err) FX_MUST_CHECK;

void fx_live_close(struct fx_live_file *file); /* old text behind stays; no-op where not open */

#endif
