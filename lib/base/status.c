/* The error record: filled once at the deepest place, context put in front on the way up. */
#include "base/status.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum fx_status fx_fail(struct fx_err *err, enum fx_status status, const char *fmt, ...)
{
    if (!err)
        return status;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    fx_utf8_trim(err->msg);
    err->status = status;
    return status;
}

enum fx_status fx_fail_errno(struct fx_err *err, const char *fmt, ...)
{
    int saved = errno;

    if (!err)
        return FX_EFAIL;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, ": %s", strerror(saved));
    fx_utf8_trim(err->msg);
    err->status = FX_EFAIL;
    return FX_EFAIL;
}

enum fx_status fx_err_prepend(struct fx_err *err, const char *fmt, ...)
{
    char rest[FX_ERR_MSG_BYTES];
    va_list args;

    memcpy(rest, err->msg, sizeof rest);
    rest[sizeof rest - 1] = '\0';
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    size_t used = strlen(err->msg);
    snprintf(err->msg + used, sizeof err->msg - used, "%s", rest);
    fx_utf8_trim(err->msg);
    return err->status;
}
