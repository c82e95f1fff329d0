/* A stream into memory, as open_memstream(3), but one that says when memory was short: glibc's
 * leaves out what found no room and closes without an error. */
#ifndef FX_BASE_MEMORY_STREAM_H
#define FX_BASE_MEMORY_STREAM_H

#include <stddef.h>
#include <stdio.h>

/* fx_memory_stream: what is written is in *bytes, *n of them and a NUL, after fflush or fclose;
 * owned by the caller, to be freed after fclose.  NULL when memory is short, with *bytes NULL too.
 * Where it is short later, fclose fails, and ferror may have told before. */
FILE *fx_memory_stream(char **bytes, size_t *n);

#endif
