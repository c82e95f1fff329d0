/* Searching folders, reading streams that may still grow, and telling the living from the dead. */
#include "track/runs.h"

#include "base/kind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { DEPTH_MAX = 16 };
static const char *const file_names[] = { "history.jsonl", "metrics.jsonl" };

const char *fx_run_state_name(enum fx_run_state state)
{
    static const char *const names[] = {
        [FX_RUN_RUNNING] = "running",   [FX_RUN_DONE] = "done",     [FX_RUN_STOPPED] = "stopped",
        [FX_RUN_DIVERGED] = "diverged", [FX_RUN_FAILED] = "failed", [FX_RUN_DEAD] = "dead",
        [FX_RUN_BROKEN] = "broken",
    };

    return names[state];
}

static void forget_events(struct fx_run *run)
{
    json_t **const events[] = { &run->start, &run->before, &run->step,   &run->eval,
                                &run->end,   &run->epochs, &run->details };

    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        json_decref(*events[i]);
        *events[i] = NULL;
    }
}

static void run_fini(struct fx_run *run)
{
    forget_events(run);
    free(run->dir);
    free(run->file);
}

void fx_runs_fini(struct fx_runs *runs)
{
    for (size_t i = 0; i < runs->n; i++)
        run_fini(&runs->run[i]);
    free(runs->run);
    *runs = (struct fx_runs){ 0 };
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The metrics file in a folder; *file stays NULL where there is none. */
static enum fx_status look_for_file(const char *dir, char **file, struct stat *st,
                                    struct fx_err *err)
{
    *file = NULL;
    for (size_t i = 0; i < sizeof file_names / sizeof *file_names; i++) {
        if (asprintf(file, "%s/%s", dir, file_names[i]) < 0) {
            *file = NULL;
            return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
        }
        if (stat(*file, st) == 0 && S_ISREG(st->st_mode))
            return FX_OK;
        free(*file);
        *file = NULL;
    }
    return FX_OK;
}

/* The length of a path without the slashes at its end. */
static size_t length_of(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    return n;
}

enum fx_status fx_run_file(const char *path, char **file, struct fx_err *err)
{
    struct stat st;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    char *trimmed = strndup(path, length_of(path));

    *file = NULL;
    if (!trimmed)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", path);
    if (!is_dir) {
        *file = trimmed;
        return FX_OK;
    }
    enum fx_status status = look_for_file(trimmed, file, &st, err);
    if (status == FX_OK && !*file)
        status = fx_fail(err, FX_EINPUT, "%s: no run: it has no history.jsonl and no metrics.jsonl",
                         trimmed);
    free(trimmed);
    return status;
}

char *fx_run_name(const char *file)
{
    const char *slash = strrchr(file, '/');

    for (size_t i = 0; slash && i < sizeof file_names / sizeof *file_names; i++)
        if (strcmp(slash + 1, file_names[i]) == 0)
            return strndup(file, (size_t)(slash - file));
    return strdup(file);
}

/* ---- one run --------------------------------------------------------------------------------- */

static void keep(json_t **slot, json_t *event)
{
    json_decref(*slot);
    *slot = json_incref(event);
}

/* Of fusion-eval, beside eval, what reports show. */
static bool is_detail(const char *kind)
{
    static const char *const kinds[] = {
        "class", "bin", "corruption", "robustness", "ood", "attack"
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static enum fx_status take_event(struct fx_run *run, json_t *event, const char *kind,
                                 struct fx_err *err)
{
    bool is_before =
        json_integer_value(json_object_get(event, "epoch")) == 0 && json_object_get(event, "epoch");

    if (strcmp(kind, "start") == 0)
        keep(&run->start, event);
    else if (strcmp(kind, "step") == 0)
        keep(&run->step, event);
    else if (strcmp(kind, "eval") == 0)
        keep(is_before ? &run->before : &run->eval, event);
    else if (strcmp(kind, "end") == 0)
        keep(&run->end, event);
    else if ((strcmp(kind, "epoch") == 0 && json_array_append(run->epochs, event) != 0) ||
             (is_detail(kind) && json_array_append(run->details, event) != 0))
        return fx_fail(err, FX_EFAIL, "%s: out of memory", run->file);
    return FX_OK;
}

/* FX_EINPUT at the end of the file is a run that goes on, or was killed; elsewhere it is damage. */
static enum fx_status read_events(struct fx_run *run, FILE *in, struct fx_err *err)
{
    struct fx_events events = { .reader = { .in = in, .name = run->file } };
    enum fx_status status = FX_OK, read;
    json_t *event;
    const char *kind;

    while ((read = fx_events_next(&events, &event, &kind, &run->why)) == FX_OK && event &&
           status == FX_OK) {
        status = take_event(run, event, kind, err);
        json_decref(event);
    }
    run->n_experts = events.n_experts;
    if (read != FX_OK)
        run->state = read == FX_EINPUT && feof(in) ? FX_RUN_DEAD : FX_RUN_BROKEN;
    fx_events_fini(&events);
    return status;
}

/* A trainer that starts in this instant finds the lock taken and asks again. */
static bool is_locked(const struct fx_run *run)
{
    char *path = NULL;

    if (asprintf(&path, "%s/lock", run->dir) < 0)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    free(path);
    return locked;
}

static void judge(struct fx_run *run)
{
    static const enum fx_run_state known[] = { FX_RUN_DONE, FX_RUN_STOPPED, FX_RUN_DIVERGED,
                                               FX_RUN_FAILED };
    const char *status = fx_event_text(run->end, "status");

    if (run->state == FX_RUN_BROKEN)
        return;
    run->state = FX_RUN_DEAD;
    for (size_t i = 0; status && i < sizeof known / sizeof *known; i++)
        if (strcmp(status, fx_run_state_name(known[i])) == 0)
            run->state = known[i];
    if (run->state != FX_RUN_DONE && is_locked(run))
        run->state = FX_RUN_RUNNING;
}

/* One run that cannot be read is broken; the others are shown all the same. */
static enum fx_status read_run(struct fx_run *run, struct fx_err *err)
{
    FILE *in = fopen(run->file, "re");

    forget_events(run);
    run->state = FX_RUN_DEAD;
    run->epochs = json_array();
    run->details = json_array();
    enum fx_status status = FX_OK;
    if (!in) {
        run->state = FX_RUN_BROKEN;
        fx_fail_errno(&run->why, "%s", run->file);
    }
    if (!run->epochs || !run->details)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", run->file);
    else if (in)
        status = read_events(run, in, err);
    if (in)
        fclose(in);
    return status;
}

/* ---- all runs -------------------------------------------------------------------------------- */

/* Moves what is known of the file out of the older list, when it has not changed since. */
static bool take_known(struct fx_runs *older, struct fx_run *run)
{
    for (size_t i = 0; i < older->n; i++) {
        struct fx_run *known = &older->run[i];
        if (!known->file || strcmp(known->file, run->file) != 0)
            continue;
        if (known->why.status == FX_EFAIL || known->n_bytes != run->n_bytes ||
            known->changed.tv_sec != run->changed.tv_sec ||
            known->changed.tv_nsec != run->changed.tv_nsec)
            return false;
        free(run->dir);
        free(run->file);
        *run = *known;
        *known = (struct fx_run){ 0 };
        return true;
    }
    return false;
}

static enum fx_status grow(struct fx_runs *runs, struct fx_err *err)
{
    if (runs->n < runs->cap)
        return FX_OK;
    size_t cap = 2 * runs->cap + 8;
    struct fx_run *grown = realloc(runs->run, cap * sizeof *grown);
    if (!grown)
        return fx_fail(err, FX_EFAIL, "out of memory for the list of runs");
    runs->run = grown;
    runs->cap = cap;
    return FX_OK;
}

/* Adds the run in a folder, where there is one. */
static enum fx_status add_run(struct fx_runs *runs, struct fx_runs *older, const char *dir,
                              size_t n_root, struct fx_err *err)
{
    struct fx_run run = { 0 };
    struct stat st = { 0 };

    FX_TRY(look_for_file(dir, &run.file, &st, err));
    if (!run.file)
        return FX_OK;
    run.dir = strdup(dir);
    run.changed = st.st_mtim;
    run.n_bytes = st.st_size;
    enum fx_status status =
        !run.dir ? fx_fail(err, FX_EFAIL, "%s: out of memory", dir) : grow(runs, err);
    if (status == FX_OK && !take_known(older, &run))
        status = read_run(&run, err);
    if (status != FX_OK) {
        run_fini(&run);
        return status;
    }
    const char *slash = strrchr(run.dir, '/');
    run.name = strlen(run.dir) > n_root ? run.dir + n_root + 1 : slash ? slash + 1 : run.dir;
    judge(&run);
    runs->run[runs->n++] = run;
    return FX_OK;
}

static bool is_folder(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Folders that cannot be read are passed over: others may be at work below them. */
static enum fx_status walk(struct fx_runs *runs, struct fx_runs *older, const char *dir,
                           size_t n_root, int depth, struct fx_err *err)
{
    struct dirent **entries = NULL;
    enum fx_status status = add_run(runs, older, dir, n_root, err);
    int n = depth < DEPTH_MAX ? scandir(dir, &entries, NULL, versionsort) : 0;

    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (status == FX_OK && entries[i]->d_name[0] != '.' &&
            asprintf(&path, "%s/%s", dir, entries[i]->d_name) >= 0) {
            if (is_folder(path))
                status = walk(runs, older, path, n_root, depth + 1, err);
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

enum fx_status fx_runs_scan(struct fx_runs *runs, const char *dir, struct fx_err *err)
{
    struct fx_runs found = { 0 };
    struct stat st;
    size_t n = length_of(dir);

    if (stat(dir, &st) != 0)
        return fx_fail_errno(err, "%s", dir);
    if (!S_ISDIR(st.st_mode)) {
        FX_TRY(fx_kind_check(FX_WANTED_RUNS, dir, NULL, 0, err));
        return fx_fail(err, FX_EFAIL, "%s: not a directory", dir);
    }
    char *root = strndup(dir, n);
    enum fx_status status = !root ? fx_fail(err, FX_EFAIL, "%s: out of memory", dir)
                                  : walk(&found, runs, root, n, 0, err);
    free(root);
    fx_runs_fini(runs);
    *runs = found;
    return status;
}
