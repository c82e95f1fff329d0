/* The folders of offline runs: a new one, and what earlier ones of the same run hold. */
#include "base/io.h"
#include "track/wandb_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS_TO_TRY = 60 };

/* ---- a new folder ---------------------------------------------------------------------------- */

/* wandb/latest-run -> offline-run-..., as W&B has it; without it readers still find the run. */
static void point_latest(const char *dir, const char *run_dir)
{
    char *link = NULL, *temp = NULL;
    const char *target = strrchr(run_dir, '/') + 1;

    if (asprintf(&link, "%s/wandb/latest-run", dir) >= 0 &&
        asprintf(&temp, "%s.%ld", run_dir, (long)getpid()) >= 0 && symlink(target, temp) == 0 &&
        rename(temp, link) != 0)
        unlink(temp);
    free(link);
    free(temp);
}

static enum fx_status make_below(const char *run_dir, const char *name, struct fx_err *err)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", run_dir, name) < 0)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", run_dir);
    enum fx_status status = fx_make_dirs(path, err);
    free(path);
    return status;
}

/* One folder for each second and run: a run that is taken up again at once waits in name only. */
static enum fx_status make_free_dir(const char *dir, const char *id, char **run_dir,
                                    struct fx_err *err)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < SECONDS_TO_TRY; i++, now.tv_sec++) {
        struct tm local;
        char stamp[32];
        localtime_r(&now.tv_sec, &local);
        strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", &local);
        if (asprintf(run_dir, "%s/wandb/offline-run-%s-%s", dir, stamp, id) < 0) {
            *run_dir = NULL;
            return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
        }
        if (mkdir(*run_dir, 0777) == 0)
            return FX_OK;
        if (errno != EEXIST)
            return fx_fail_errno(err, "%s", *run_dir);
        free(*run_dir);
        *run_dir = NULL;
    }
    return fx_fail(err, FX_EFAIL, "%s/wandb: too many new folders of run %s", dir, id);
}

enum fx_status fx_wandb_make_dir(const char *dir, const char *id, char **run_dir,
                                 struct fx_err *err)
{
    *run_dir = NULL;
    FX_TRY(make_below(dir, "wandb", err));
    FX_TRY(make_free_dir(dir, id, run_dir, err));
    FX_TRY(make_below(*run_dir, "files", err));
    FX_TRY(make_below(*run_dir, "logs", err));
    point_latest(dir, *run_dir);
    return FX_OK;
}

/* ---- earlier folders ------------------------------------------------------------------------- */

static enum fx_status look_into(const char *run_dir, const char *id, struct fx_wandb_past *past,
                                struct fx_err *err)
{
    struct fx_input in = { 0 };
    struct fx_pb record = { 0 };
    char *path = NULL;
    size_t at = 0;

    if (asprintf(&path, "%s/run-%s.wandb", run_dir, id) < 0)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", run_dir);
    /* A folder without a log comes from a process that died at once. */
    enum fx_status status = access(path, F_OK) != 0 ? FX_OK : fx_input_open(&in, path, err);
    while (status == FX_OK && fx_wandb_log_next(in.bytes, in.n_bytes, &at, &record))
        fx_wandb_look(past, &record);
    fx_pb_fini(&record);
    fx_input_close(&in);
    free(path);
    return status;
}

/* "offline-run-20260102_030405-ID" */
static bool is_ours(const char *name, const char *id)
{
    static const char start[] = "offline-run-";
    size_t n = sizeof start - 1 + strlen("YYYYmmdd_HHMMSS-");

    return strncmp(name, start, sizeof start - 1) == 0 && strlen(name) == n + strlen(id) &&
           name[n - 1] == '-' && strcmp(name + n, id) == 0;
}

enum fx_status fx_wandb_find_past(const char *dir, const char *id, struct fx_wandb_past *past,
                                  char **run_dir, struct fx_err *err)
{
    struct dirent **entries = NULL;
    char *wandb = NULL;
    enum fx_status status = FX_OK;

    *past = (struct fx_wandb_past){ .last_step = -1 };
    *run_dir = NULL;
    if (asprintf(&wandb, "%s/wandb", dir) < 0)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
    int n = scandir(wandb, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (status == FX_OK && is_ours(entries[i]->d_name, id)) {
            if (asprintf(&path, "%s/%s", wandb, entries[i]->d_name) < 0) {
                path = NULL;
                status = fx_fail(err, FX_EFAIL, "%s: out of memory", wandb);
            } else {
                status = look_into(path, id, past, err);
            }
            free(*run_dir);
            *run_dir = path;
        }
        free(entries[i]);
    }
    free(entries);
    free(wandb);
    return status;
}
