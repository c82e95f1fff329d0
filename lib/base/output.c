/* Atomic files: a temporary file beside the final name, fsync, rename, fsync of the directory.
 *
 * The temporary names stand in a fixed table that a signal handler can walk, so that an ended
 * process leaves nothing behind.  A name enters the table before the file exists. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the table of temporary files -------------------------------------------------------------
 */

/* A name has at most 255 bytes, and what is put round it some 35. */
enum { N_TEMPS_MAX = 64, NAME_BYTES_SHOWN = 200 };
static _Atomic(const char *) temps[N_TEMPS_MAX]; /* borrowed from open records */
static const char *finals[N_TEMPS_MAX];          /* borrowed: the final name of each of temps */

static bool temp_enter(const char *path, const char *final)
{
    for (int i = 0; i < N_TEMPS_MAX; i++) {
        const char *empty = NULL;
        if (atomic_compare_exchange_strong(&temps[i], &empty, path)) {
            finals[i] = final;
            return true;
        }
    }
    return false;
}

static void temp_leave(const char *path)
{
    for (int i = 0; i < N_TEMPS_MAX; i++) {
        const char *found = path;
        if (atomic_compare_exchange_strong(&temps[i], &found, NULL))
            return;
    }
}

void fx_output_sweep(void)
{
    for (int i = 0; i < N_TEMPS_MAX; i++) {
        const char *path = atomic_load(&temps[i]);
        if (path)
            unlink(path);
    }
}

void fx_output_die(int signal_number)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t only;

    fx_output_sweep();
    sigaction(signal_number, &action, NULL);
    sigemptyset(&only);
    sigaddset(&only, signal_number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(signal_number);
}

void fx_output_guard(void)
{
    static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGABRT, SIGSEGV };
    struct sigaction action = { .sa_handler = fx_output_die };

    atexit(fx_output_sweep); /* a library may end the process */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        struct sigaction old;
        /* A signal ignored by the parent (nohup) stays ignored, one of a sanitizer its own. */
        if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(fatal[i], &action, NULL);
    }
}

/* ---- open -------------------------------------------------------------------------------------
 */

static bool stdout_is_taken; /* by an open record */

static void forget(struct fx_output *out)
{
    stdout_is_taken &= !out->is_stdout;
    free(out->path);
    free(out->temp_path);
    *out = (struct fx_output){ .fd = -1 };
}

static enum fx_status open_stdout(struct fx_output *out, bool binary, struct fx_err *err)
{
    if (binary && isatty(STDOUT_FILENO))
        return fx_fail(
            err, FX_EUSAGE,
            "stdout: refusing to write binary data to a terminal; use -o FILE or a pipe");
    if (fcntl(STDOUT_FILENO, F_GETFL) & O_PATH) { /* it is closed: see fx_tool_start */
        errno = EBADF;
        return fx_fail_errno(err, "stdout");
    }
    if (stdout_is_taken)
        return fx_fail(err, FX_EUSAGE, "stdout: another output goes there");
    stdout_is_taken = true;
    out->fd = STDOUT_FILENO;
    out->is_stdout = true;
    return FX_OK;
}

/* "DIR/.NAME.PID-RANDOM.tmp", of a long name only the beginning; NULL when memory is short. */
static char *temp_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    int n_dir = slash ? (int)(slash - path) + 1 : 0;
    int n_name = (int)strlen(path + n_dir);
    uint32_t random = 0;
    char *name = NULL;

    if (n_name > NAME_BYTES_SHOWN)
        for (n_name = NAME_BYTES_SHOWN; n_name > 0 && (path[n_dir + n_name] & 0xc0) == 0x80;)
            n_name--; /* not within a character */

    if (getrandom(&random, sizeof random, 0) != sizeof random)
        random = 0;
    if (asprintf(&name, "%.*s.%.*s.%ld-%08x.tmp", n_dir, path, n_name, path + n_dir, (long)getpid(),
                 random) < 0)
        return NULL;
    return name;
}

/* The folder of a path, as the system knows it. */
static bool stat_folder(const char *path, struct stat *st)
{
    char *copy = strdup(path);
    bool found = copy && stat(dirname(copy), st) == 0;

    free(copy);
    return found;
}

/* Whether two paths, whose last components are no links, are one file. */
static bool is_same_file(const char *a, const char *b)
{
    const char *name_a = strrchr(a, '/'), *name_b = strrchr(b, '/');
    struct stat in_a, in_b;

    return strcmp(name_a ? name_a + 1 : a, name_b ? name_b + 1 : b) == 0 && stat_folder(a, &in_a) &&
           stat_folder(b, &in_b) && in_a.st_dev == in_b.st_dev && in_a.st_ino == in_b.st_ino;
}

/* What is open for writing already would be replaced by what comes later. */
static enum fx_status check_alone(const char *path, struct fx_err *err)
{
    for (int i = 0; i < N_TEMPS_MAX; i++)
        if (atomic_load(&temps[i]) && is_same_file(path, finals[i]))
            return fx_fail(err, FX_EUSAGE, "%s: another output goes there", path);
    return FX_OK;
}

/* What replaces a file has the permissions of that one; `before` is NULL where there is none. */
static enum fx_status open_temp(struct fx_output *out, const struct stat *before,
                                struct fx_err *err)
{
    FX_TRY(check_alone(out->path, err));
    out->temp_path = temp_name(out->path);
    if (!out->temp_path)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", out->path);
    if (!temp_enter(out->temp_path, out->path))
        return fx_fail(err, FX_EFAIL, "%s: more than %d files open for writing", out->path,
                       N_TEMPS_MAX);
    out->fd = open(out->temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, before ? 0600 : 0666);
    if (out->fd < 0 || (before && fchmod(out->fd, before->st_mode & 0777) != 0)) {
        enum fx_status status = fx_fail_errno(err, "%s", out->path);
        if (out->fd >= 0) {
            close(out->fd);
            unlink(out->temp_path);
        }
        temp_leave(out->temp_path);
        return status;
    }
    return FX_OK;
}

enum fx_status fx_output_open(struct fx_output *out, const char *path, bool binary,
                              struct fx_err *err)
{
    enum fx_status status;
    struct stat st;

    *out = (struct fx_output){ .fd = -1 };
    if (!path || strcmp(path, "-") == 0)
        return open_stdout(out, binary, err);

    bool exists = stat(path, &st) == 0;
    out->path = exists ? realpath(path, NULL) : strdup(path);
    if (!out->path)
        return fx_fail_errno(err, "%s", path);
    if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        status = fx_fail_errno(err, "%s", path);
    } else if (exists && !S_ISREG(st.st_mode)) {
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        status = out->fd < 0 ? fx_fail_errno(err, "%s", path) : FX_OK;
    } else {
        status = open_temp(out, exists ? &st : NULL, err);
    }
    if (status != FX_OK)
        forget(out);
    return status;
}

/* ---- commit and abandon -----------------------------------------------------------------------
 */

void fx_sync_dir_of(const char *path)
{
    char *copy = strdup(path), *dir = copy;
    bool is_top = !copy;

    while (!is_top) {
        dir = dirname(dir);
        is_top = strcmp(dir, ".") == 0 || strcmp(dir, "/") == 0;
        int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            (void)!fsync(fd);
            close(fd);
        }
    }
    free(copy);
}

enum fx_status fx_output_sync(struct fx_output *out, struct fx_err *err)
{
    if (out->temp_path && !out->is_synced && fsync(out->fd) != 0)
        return fx_fail_errno(err, "%s", out->path);
    out->is_synced = true;
    return FX_OK;
}

enum fx_status fx_output_commit(struct fx_output *out, struct fx_err *err)
{
    if (!out->path) {
        forget(out);
        return FX_OK;
    }
    enum fx_status status = fx_output_sync(out, err);
    if (close(out->fd) != 0 && status == FX_OK)
        status = fx_fail_errno(err, "%s", out->path);
    out->fd = -1;
    if (status == FX_OK && out->temp_path && rename(out->temp_path, out->path) != 0)
        status = fx_fail_errno(err, "%s", out->path);
    if (status != FX_OK) {
        fx_output_abandon(out);
        return status;
    }
    if (out->temp_path) {
        temp_leave(out->temp_path);
        fx_sync_dir_of(out->path);
    }
    forget(out);
    return FX_OK;
}

void fx_output_abandon(struct fx_output *out)
{
    if (!out->path) {
        forget(out);
        return;
    }
    if (out->fd >= 0)
        close(out->fd);
    if (out->temp_path) {
        unlink(out->temp_path);
        temp_leave(out->temp_path);
    }
    forget(out);
}
