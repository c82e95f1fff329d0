/* Names, lock, leftovers and generations. */
#include "run/rundir_internal.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *join(const char *dir, const char *name)
{
    char *path = NULL;

    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static enum fx_status name_files(struct fx_rundir *rundir, const char *dir, struct fx_err *err)
{
    rundir->dir = strdup(dir);
    rundir->best = join(dir, "best.safetensors");
    rundir->best_previous = join(dir, "best.previous.safetensors");
    rundir->last = join(dir, "last.safetensors");
    rundir->last_previous = join(dir, "last.previous.safetensors");
    rundir->history = join(dir, "history.jsonl");
    rundir->clock = join(dir, "clock");
    rundir->lock = join(dir, "lock");
    if (!rundir->dir || !rundir->best || !rundir->best_previous || !rundir->last ||
        !rundir->last_previous || !rundir->history || !rundir->clock || !rundir->lock)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
    return FX_OK;
}

/* A run may come from elsewhere: nothing is written, or truncated, behind a link. */
static enum fx_status refuse_links(const struct fx_rundir *rundir, struct fx_err *err)
{
    const char *const paths[] = { rundir->best,          rundir->best_previous, rundir->last,
                                  rundir->last_previous, rundir->history,       rundir->clock,
                                  rundir->lock };
    struct stat st;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (lstat(paths[i], &st) == 0 && !S_ISREG(st.st_mode))
            return fx_fail(err, FX_EINPUT, "%s: not a regular file, as those of a run are",
                           paths[i]);
    return FX_OK;
}

/* A process that was just killed may take a moment to be gone: the lock is asked for LOCK_TRIES
 * times before this one gives up. */
enum { LOCK_TRIES = 100, LOCK_PAUSE_MS = 20 };

/* Whether the locked file is still the one of that name, and not one that its last holder removed
 * (fx_rundir_close) after this process had opened it. */
static bool is_current(int fd, const char *path)
{
    struct stat ours, theirs;

    return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
           ours.st_ino == theirs.st_ino;
}

/* One attempt; lock_fd says whether it was one.  The directory is made anew when its last holder
 * has just removed it. */
static enum fx_status try_lock(struct fx_rundir *rundir, struct fx_err *err)
{
    FX_TRY(fx_make_dirs(rundir->dir, err));
    int fd = open(rundir->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return errno == ENOENT ? FX_OK : fx_fail_errno(err, "%s", rundir->lock);
    int refusal = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    if (refusal == 0 && is_current(fd, rundir->lock)) {
        rundir->lock_fd = fd;
        return FX_OK;
    }
    close(fd);
    errno = refusal;
    return refusal == 0 || refusal == EWOULDBLOCK ? FX_OK : fx_fail_errno(err, "%s", rundir->lock);
}

static enum fx_status take_lock(struct fx_rundir *rundir, struct fx_err *err)
{
    const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };

    for (int i = 0; i < LOCK_TRIES; i++) {
        FX_TRY(try_lock(rundir, err));
        if (rundir->lock_fd >= 0)
            return FX_OK;
        nanosleep(&pause, NULL);
    }
    return fx_fail(err, FX_EFAIL, "%s: another process is training here", rundir->dir);
}

/* Temporary files of fx_output_open: ".NAME.PID-RANDOM.tmp".  With the lock held nobody else is
 * writing them. */
static void remove_leftovers(const char *dir)
{
    DIR *stream = opendir(dir);

    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        const char *dot = strrchr(entry->d_name, '.');
        bool is_ours =
            strncmp(entry->d_name, ".best.", 6) == 0 || strncmp(entry->d_name, ".last.", 6) == 0;
        if (is_ours && strcmp(dot, ".tmp") == 0)
            unlinkat(dirfd(stream), entry->d_name, 0);
    }
    if (stream)
        closedir(stream);
}

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

enum fx_status fx_rundir_open(struct fx_rundir *rundir, const char *dir, bool resume,
                              bool *has_state, struct fx_err *err)
{
    *rundir = (struct fx_rundir){ .lock_fd = -1, .is_new = !exists(dir) };
    FX_TRY(name_files(rundir, dir, err));
    FX_TRY(refuse_links(rundir, err));
    FX_TRY(take_lock(rundir, err));
    *has_state = exists(rundir->last) || exists(rundir->last_previous);
    if (!resume && (*has_state || exists(rundir->history) || exists(rundir->best)))
        return fx_fail(err, FX_EUSAGE,
                       "%s: holds a run already: give --resume to continue it, or another "
                       "--checkpoint-dir",
                       dir);
    remove_leftovers(dir);
    return FX_OK;
}

/* With the lock held: whether there is nothing beside the lock. */
static bool is_empty(const char *dir)
{
    DIR *stream = opendir(dir);
    int n = 0;

    while (stream && n <= 3 && readdir(stream))
        n++;
    if (stream)
        closedir(stream);
    return n == 3; /* ".", "..", "lock" */
}

void fx_rundir_close(struct fx_rundir *rundir)
{
    if (rundir->dir && rundir->lock_fd >= 0) {
        /* A run that was refused leaves things as they were. */
        if (is_empty(rundir->dir) && unlink(rundir->lock) == 0 && rundir->is_new)
            rmdir(rundir->dir);
        close(rundir->lock_fd);
    }
    free(rundir->dir);
    free(rundir->best);
    free(rundir->best_previous);
    free(rundir->last);
    free(rundir->last_previous);
    free(rundir->history);
    free(rundir->clock);
    free(rundir->lock);
    *rundir = (struct fx_rundir){ .lock_fd = -1 };
}

enum fx_status fx_rundir_keep(const char *newer, const char *older, struct fx_err *err)
{
    if (!exists(newer))
        return FX_OK; /* `older` may be the only one there is */
    if (unlink(older) != 0 && errno != ENOENT)
        return fx_fail_errno(err, "%s", older);
    if (link(newer, older) == 0)
        return FX_OK;
    /* A file system without hard links: until the next rename only `older` exists. */
    return rename(newer, older) == 0 ? FX_OK : fx_fail_errno(err, "%s", older);
}

void fx_rundir_drop_best_previous(const struct fx_rundir *rundir)
{
    unlink(rundir->best_previous);
}

void fx_rundir_drop_last_previous(const struct fx_rundir *rundir)
{
    unlink(rundir->last_previous);
}

void fx_rundir_clock_write(const struct fx_rundir *rundir, long long step, double seconds)
{
    FILE *out = fopen(rundir->clock, "w");

    if (!out)
        return;
    fprintf(out, "%lld %.3f\n", step, seconds);
    fclose(out);
}

double fx_rundir_clock_read(const struct fx_rundir *rundir, long long step)
{
    FILE *in = fopen(rundir->clock, "r");
    long long of_step = -1;
    double seconds = 0;

    if (!in)
        return 0;
    if (fscanf(in, "%lld %lf", &of_step, &seconds) != 2 || of_step != step)
        seconds = 0;
    fclose(in);
    return seconds;
}
