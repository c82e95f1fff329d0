/* One record for each event that has numbers. */
#include "track/tensorboard.h"

#include "base/io.h"
#include "track/events.h"
#include "base/protobuf.h"
#include "track/series_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* CRC-32C (Castagnoli), which zlib does not have; of "123456789" it is 0xe3069283.  Bit by bit: the
 * records are short and few.  Source: RFC 3720, B.4. */
static uint32_t crc32c(const void *bytes, size_t n)
{
    const uint32_t polynomial = 0x82f63b78; /* reflected */
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    return ~crc;
}

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2 };

struct writer {
    const char *dir;
    int fd;
    char *path;
    int64_t step, seconds; /* of the event told last */
    struct fx_pb framed;   /* one record, reused */
};

/* ---- records --------------------------------------------------------------------------------- */

static void put_masked_crc(struct fx_pb *out, const void *bytes, size_t n)
{
    uint32_t crc = crc32c(bytes, n);
    uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8u;

    fx_pb_raw(out, &masked, sizeof masked); /* little-endian, as protobuf.c asserts */
}

static enum fx_status put_record(struct writer *w, const struct fx_pb *event, struct fx_err *err)
{
    struct fx_pb *out = &w->framed;
    uint64_t n = event->n;

    fx_pb_clear(out);
    fx_pb_raw(out, &n, sizeof n);
    put_masked_crc(out, &n, sizeof n);
    fx_pb_raw(out, event->bytes, event->n);
    put_masked_crc(out, event->bytes, event->n);
    if (out->failed || event->failed)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", w->path);
    return fx_write_full(w->fd, out->bytes, out->n, w->path, err);
}

static bool put_value(void *summary, const char *name, const json_t *value)
{
    struct fx_pb message = { 0 };

    fx_pb_text(&message, VALUE_TAG, name);
    fx_pb_float(&message, VALUE_SIMPLE,
                json_is_null(value) ? NAN : (float)json_number_value(value));
    fx_pb_message(summary, SUMMARY_VALUE, &message);
    fx_pb_fini(&message);
    return true;
}

static enum fx_status put_numbers(struct writer *w, const json_t *event, const char *kind,
                                  struct fx_err *err)
{
    struct fx_pb message = { 0 }, summary = { 0 };

    fx_series_each(event, kind, put_value, &summary);
    fx_pb_double(&message, EVENT_WALL_TIME, (double)w->seconds);
    fx_pb_int(&message, EVENT_STEP, w->step);
    fx_pb_message(&message, EVENT_SUMMARY, &summary);
    enum fx_status status = summary.n > 0 ? put_record(w, &message, err) : FX_OK;
    fx_pb_fini(&summary);
    fx_pb_fini(&message);
    return status;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The run's own file is written anew, whatever else has this name is left alone. */
static enum fx_status open_file(struct writer *w, struct fx_err *err)
{
    struct stat st;

    w->fd = open(w->path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (w->fd < 0 && errno == ELOOP)
        return fx_fail(err, FX_EFAIL, "%s: is a symbolic link: remove it", w->path);
    if (w->fd < 0 || fstat(w->fd, &st) != 0)
        return fx_fail_errno(err, "%s", w->path);
    if (!S_ISREG(st.st_mode))
        return fx_fail(err, FX_EFAIL, "%s: is no regular file", w->path);
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return fx_fail(err, FX_EFAIL, "%s: is being written: give each run a -d of its own",
                       w->path);
    return ftruncate(w->fd, 0) == 0 ? FX_OK : fx_fail_errno(err, "%s", w->path);
}

/* A run has the same file when it is resumed, another one of the same second another. */
static enum fx_status on_start(struct writer *w, const char *line, struct fx_err *err)
{
    struct fx_pb message = { 0 };

    FX_TRY(fx_make_dirs(w->dir, err));
    if (asprintf(&w->path, "%s/events.out.tfevents.%010" PRId64 ".fusion-tools.%08" PRIx32, w->dir,
                 w->seconds, crc32c(line, strlen(line))) < 0) {
        w->path = NULL;
        return fx_fail(err, FX_EFAIL, "%s: out of memory", w->dir);
    }
    FX_TRY(open_file(w, err));
    fx_pb_double(&message, EVENT_WALL_TIME, (double)w->seconds);
    fx_pb_text(&message, EVENT_FILE_VERSION, "brain.Event:2");
    enum fx_status status = put_record(w, &message, err);
    fx_pb_fini(&message);
    return status;
}

static enum fx_status on_event(void *ctx, const json_t *event, const char *kind, const char *line,
                               struct fx_err *err)
{
    struct writer *w = ctx;
    const json_t *step = json_object_get(event, "step");

    w->seconds = fx_event_seconds(event, "timestamp", w->seconds);
    if (json_is_integer(step))
        w->step = json_integer_value(step);
    if (strcmp(kind, "start") == 0)
        return on_start(w, line, err);
    return put_numbers(w, event, kind, err);
}

enum fx_status fx_tensorboard(FILE *in, const char *in_name, const char *dir, int pass_fd,
                              char **path, struct fx_err *err)
{
    struct fx_events events = { .reader = { .in = in, .name = in_name } };
    struct writer w = { .dir = dir, .fd = -1 };

    enum fx_status status = fx_events_each(&events, pass_fd, on_event, &w, err);
    if (w.fd >= 0 && close(w.fd) != 0 && status == FX_OK)
        status = fx_fail_errno(err, "%s", w.path);
    *path = w.path;
    fx_pb_fini(&w.framed);
    fx_events_fini(&events);
    return status;
}
