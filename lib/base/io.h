/* Bytes in and out: whole reads and writes over EINTR, mapped or spooled input, atomic files. */
#ifndef FX_BASE_IO_H
#define FX_BASE_IO_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* fx_read_full: reads exactly n bytes, or up to the end of the stream; *n_read says how many.
 * Restarts on EINTR unless a stop was requested (fx_stop_requested: FX_ESTOPPED). */
enum fx_status fx_read_full(int fd, void *buf, size_t n, size_t *n_read, const char *name,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_write_full: writes all n bytes.  A closed pipe raises SIGPIPE as usual; where fx_stop_catch
 * catches that, the result is FX_ESTOPPED. */
enum fx_status fx_write_full(int fd, const void *buf, size_t n, const char *name,
                             struct fx_err *err) FX_MUST_CHECK;

/* The content of a file or pipe, read-only: mapped when it is a regular file, read into memory
 * otherwise.  The bytes stay valid until fx_input_close (or the next fx_input_need). */
struct fx_input {
    const uint8_t *bytes; /* owned */
    size_t n_bytes;       /* mapped: all of the file; a stream: what was read so far */
    const char *name;     /* borrowed: for messages; "stdin" for "-" */
    bool is_mapped;
    bool is_stream;   /* fd is open and more bytes may come */
    int fd;           /* owned while is_stream, unless it is stdin's */
    size_t cap_bytes; /* allocated for a stream */
};

/* fx_input_open: all of it.  path "-" or NULL is stdin.  After a failure only the name is left. */
enum fx_status fx_input_open(struct fx_input *in, const char *path,
                             struct fx_err *err) FX_MUST_CHECK;

/* For formats that announce their length: fx_input_begin reads nothing of a stream yet,
 * fx_input_need makes the first n bytes available (FX_EINPUT: the input ends before them; memory
 * grows with what arrived, not with n), fx_input_expect_end checks that exactly those n bytes were
 * all (FX_EINPUT: the input goes on). */
enum fx_status fx_input_begin(struct fx_input *in, const char *path,
                              struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_input_need(struct fx_input *in, size_t n, struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_input_expect_end(struct fx_input *in, size_t n, struct fx_err *err) FX_MUST_CHECK;

/* fx_input_peek: for a look at what was refused: makes more of the first n bytes of a stream
 * available, as far as they come without a pause. */
void fx_input_peek(struct fx_input *in, size_t n);

void fx_input_close(struct fx_input *in); /* accepts a zeroed record */

/* A file that appears under its final name only when complete: a temporary file in the same
 * directory, then fsync, rename, fsync of the directory.  With path "-" or NULL the output is
 * stdout, refused with FX_EUSAGE when it is a terminal and `binary` is true.  A path that is a
 * device or a named pipe is written as it stands.  FX_EUSAGE if another open record writes to the
 * same file, however that is spelled, or to stdout. */
struct fx_output {
    int fd;
    bool is_stdout;
    char *path;      /* owned; final name, symbolic links resolved; NULL: stdout or not open */
    char *temp_path; /* owned; NULL: written in place */
    bool is_synced;  /* by fx_output_sync: nothing was written since */
};
enum fx_status fx_output_open(struct fx_output *out, const char *path, bool binary,
                              struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_output_commit(struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;
/* fx_output_sync: the first part of the commit: syncs the bytes under the temporary name, for
 * callers that must act before the rename. */
enum fx_status fx_output_sync(struct fx_output *out, struct fx_err *err) FX_MUST_CHECK;
/* Removes the temporary file; no-op after commit and on a zeroed record. */
void fx_output_abandon(struct fx_output *out);

/* Temporary files still open are removed when the process is ended by SIGINT, SIGTERM, SIGHUP,
 * SIGPIPE, SIGABRT or SIGSEGV (fx_output_guard, called by fx_tool_start, installs fx_output_die as
 * their handler), or by a library... */
void fx_output_guard(void);
/* ... which removes them and ends the process by that signal.  Async-signal-safe. */
void fx_output_die(int signal_number);
/* ... and by fx_tool_exit. */
void fx_output_sweep(void);

/* fx_sync_dir_of: makes the entry of a file in its directory durable, and the directories that its
 * path names, which may be new as well.  A file system that cannot sync a directory is no reason to
 * fail. */
void fx_sync_dir_of(const char *path);

/* fx_make_dirs: mkdir -p. */
enum fx_status fx_make_dirs(const char *path, struct fx_err *err) FX_MUST_CHECK;

/* A stream into memory, as open_memstream(3), but one that reports lack of memory: glibc's drops
 * the data and closes without an error. */

/* fx_memory_stream: what is written is in *bytes, *n of them and a NUL, after fflush or fclose;
 * owned by the caller, to be freed after fclose.  NULL when memory is short, with *bytes NULL too.
 * Where it is short later, fclose fails; ferror may be set before. */
FILE *fx_memory_stream(char **bytes, size_t *n);

#endif
