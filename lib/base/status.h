/* Status codes and the error record: how every failable function of the library reports.
 *
 * A library function returns enum fx_status and fills the caller's struct fx_err once, at the
 * deepest place that knows what happened; callers may prepend context.  The library never prints,
 * exits or aborts on data. */
#ifndef FX_BASE_STATUS_H
#define FX_BASE_STATUS_H

/* The values are the exit codes of the tools (fusion-tools(7), EXIT STATUS). */
enum fx_status {
    FX_OK = 0,
    FX_EFAIL = 1,     /* failed: I/O error, out of memory, disk full */
    FX_EUSAGE = 2,    /* the command line or configuration is wrong */
    FX_EINPUT = 3,    /* bad or truncated input */
    FX_EDIVERGED = 4, /* training diverged: non-finite loss or gradient */
    FX_ESTOPPED = 75, /* stopped by a signal; run the same command again to resume */
    FX_EDEVICE = 77,  /* no such device, or it lacks what was asked of it */
};

/* A path, what another one is about, and a reason. */
enum { FX_ERR_MSG_BYTES = 8192 };

/* Plain data, no ownership: initialise with { 0 }. */
struct fx_err {
    enum fx_status status;
    char msg[FX_ERR_MSG_BYTES]; /* "file: what: why", no trailing newline; cut if longer */
};

#define FX_MUST_CHECK __attribute__((warn_unused_result))
#define FX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Returns early with the status of a failed call; the call has already filled the error record. */
#define FX_TRY(call)                                                                               \
    do {                                                                                           \
        enum fx_status fx_try_status_ = (call);                                                    \
        if (fx_try_status_ != FX_OK)                                                               \
            return fx_try_status_;                                                                 \
    } while (0)

/* As FX_TRY, but sets `status` and jumps to the function's `out` label. */
#define FX_TRY_OUT(call)                                                                           \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != FX_OK)                                                                       \
            goto out;                                                                              \
    } while (0)

/* fx_fail: writes the message and status into err (may be NULL) and returns status, so that a
 * failure is one line: return fx_fail(err, FX_EINPUT, "%s: not a zip file", path); */
enum fx_status fx_fail(struct fx_err *err, enum fx_status status, const char *fmt, ...)
    FX_PRINTF(3, 4);

/* fx_fail_errno: as fx_fail, with ": strerror(errno)" appended; the status is FX_EFAIL. */
enum fx_status fx_fail_errno(struct fx_err *err, const char *fmt, ...) FX_PRINTF(2, 3);

/* fx_err_prepend: puts context before the message ("expert 3: ") and returns err->status; here err
 * may not be NULL. */
enum fx_status fx_err_prepend(struct fx_err *err, const char *fmt, ...) FX_PRINTF(2, 3);

#endif
