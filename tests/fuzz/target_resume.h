/* The target "resume" of targets.h: a run's folder, as --resume finds it.  The first byte:
 *
 * - 's': the rest is the state of last.safetensors, whose checksum is made to fit;
 * - 'l': last.safetensors;
 * - 'r': a run of a small network: two bytes of RUN_ flags, and changes to its checkpoint
 *   (changed_file);
 * - else history.jsonl. */
#ifndef FX_TESTS_TARGET_RESUME_H
#define FX_TESTS_TARGET_RESUME_H

#include "config/train_options.h"
#include "surroundings.h"
#include "run/finished.h"
#include "run/history_internal.h"
#include "run/rundir_internal.h"

/* ---- a history ------------------------------------------------------------------------------- */

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx;
    target_sink += (uint8_t)line[0];
}

static void read_history(const char *dir, const char *path, const struct fx_settings *settings)
{
    struct fx_output out = { .fd = open("/dev/null", O_WRONLY), .is_stdout = true };
    struct fx_history history = { .fd = -1 };
    struct fx_finished found;
    struct fx_err err = { 0 };
    bool ended;

    enum fx_status status = fx_finished_look(&found, dir, settings, &err);
    if (status != FX_EUSAGE) /* it may be of other settings */
        judge(status, &err);
    judge(fx_history_resume(&history, path, &out, 1, true, &ended, ignore_line, NULL, &err), &err);
    fx_history_close(&history);
    close(out.fd);
}

/* ---- checksums that fit ---------------------------------------------------------------------- */

static void put_checksum(uint8_t *at, uint32_t sum)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(sum >> (8 * i));
}

static void mend_checksum(struct content *file)
{
    struct fx_tensor_set set = { 0 };

    if (fx_safetensors_parse(&set, file->bytes, file->n, "test", NULL) == FX_OK) {
        const struct fx_tensor *stored = fx_tensor_set_find(&set, FX_CHECKSUM_TENSOR);
        if (stored && stored->n_bytes == 4)
            put_checksum(file->bytes + ((const uint8_t *)stored->data - file->bytes),
                         fx_checksum_of(&set, stored));
    }
    fx_tensor_set_fini(&set);
}

static void put_state(const char *dir, const uint8_t *bytes, size_t n)
{
    struct fx_tensor_set set = { 0 };
    int64_t length = (int64_t)n, four = 4;
    const uint8_t none[4] = { 0 };
    int fd = memory_file(NULL, 0);

    must(fx_tensor_set_add(&set, FX_STATE_TENSOR, FX_U8, 1, &length, bytes, NULL) == FX_OK, "set");
    must(fx_tensor_set_add(&set, FX_CHECKSUM_TENSOR, FX_U8, 1, &four, none, NULL) == FX_OK, "set");
    must(fx_safetensors_write(&set, fd, "test", NULL, NULL, NULL) == FX_OK, "a file");
    struct content file = content_of(fd);
    mend_checksum(&file);
    put(dir, "last.safetensors", file.bytes, file.n);
    free(file.bytes);
    fx_tensor_set_fini(&set);
}

/* ---- the run of a small network -------------------------------------------------------------- */

enum {
    RUN_LAST = 1, /* what is there */
    RUN_LAST_PREVIOUS = 2,
    RUN_BEST = 4,
    RUN_BEST_PREVIOUS = 8,
    RUN_LAST_CHANGED = 0x10, /* and is not as it was written */
    RUN_LAST_PREVIOUS_CHANGED = 0x20,
    RUN_BEST_CHANGED = 0x40,
    RUN_BEST_PREVIOUS_CHANGED = 0x80,
    RUN_SUM_FITS = 0x100,
    RUN_AVERAGES = 0x200,
    RUN_SGD = 0x400,
    RUN_BEST_IS_NOW = 0x800, /* the best checkpoint is that of the last step */
    RUN_NO_BEST = 0x1000,
};

static const char *const run_files[] = { "last.safetensors", "last.previous.safetensors",
                                         "best.safetensors", "best.previous.safetensors" };

struct small_run {
    struct fx_graph graph;
    struct fx_engine engine;
    struct fx_settings settings;
    struct fx_state state;
    struct fx_dataset dataset;
    struct content last; /* last.safetensors */
};

static struct content content_at(const char *path)
{
    int fd = open(path, O_RDONLY);

    must(fd >= 0, path);
    return content_of(fd);
}

static struct fx_saver saver_of(struct small_run *run, const struct fx_rundir *rundir)
{
    return (struct fx_saver){ .rundir = rundir,
                              .engine = &run->engine,
                              .settings = &run->settings,
                              .dataset = &run->dataset };
}

static void write_last(struct small_run *run)
{
    struct fx_rundir rundir;
    struct fx_err err;
    bool has_state;

    must(fx_rundir_open(&rundir, scratch(), true, &has_state, &err) == FX_OK, "a folder");
    struct fx_saver saver = saver_of(run, &rundir);
    must(fx_save_best(&saver, &run->state, &err) == FX_OK, err.msg);
    must(fx_save_last(&saver, &run->state, &err) == FX_OK, err.msg);
    run->last = content_at(rundir.last);
    fx_rundir_close(&rundir);
}

static void make_small_run(struct small_run *run, bool averages)
{
    const struct fx_model_config model = { .arch = "resnet18:width=1,blocks=1",
                                           .n_experts = 1,
                                           .n_classes = 2,
                                           .expert_dropout = -1,
                                           .fusion_dropout = -1 };
    const struct fx_engine_options options = { .device = "ref", .threads = 1, .trains = true };
    const struct fx_tensor_set none = { 0 };
    struct fx_err err;

    fx_settings_init(&run->settings, "expert-train", FX_OF_EXPERT);
    run->settings.arch = model.arch;
    run->settings.expert = 0;
    run->settings.data_digest = "0";
    run->state = (struct fx_state){
        .epoch = 3, .batch = 1, .step = 5, .epochs_done = 2, .history_lines = 3
    };
    run->state.best = (struct fx_best){ .epoch = 2, .step = 4, .accuracy = 50 };
    must(fx_model_build(&run->graph, &model, &err) == FX_OK, err.msg);
    run->graph.averages = averages;
    must(fx_engine_open(&run->engine, &run->graph, &options, NULL, &err) == FX_OK, err.msg);
    must(fx_engine_allocate(&run->engine, &err) == FX_OK, err.msg);
    must(fx_engine_load(&run->engine, &none, 1, &err) == FX_OK, err.msg);
    write_last(run);
}

/* The changes, one after the other: where (two bytes), how many bytes go, how many come, these.
 * The header's length fits again. */
static struct content changed_file(const struct content *file, const uint8_t *at, size_t n)
{
    struct content c = { .n = file->n, .bytes = malloc(file->n + n) };
    uint64_t n_header;

    must(c.bytes, "memory");
    memcpy(c.bytes, file->bytes, file->n);
    memcpy(&n_header, c.bytes, 8);
    while (n >= 4) {
        size_t where = 8 + (size_t)(at[0] | at[1] << 8) % (c.n - 8), rest = c.n - where;
        size_t out = at[2] < rest ? at[2] : rest, in = at[3] < n - 4 ? at[3] : n - 4;
        if (where < 8 + n_header) {
            out = out < 8 + n_header - where ? out : 8 + n_header - where;
            n_header += in - out;
        }
        memmove(c.bytes + where + in, c.bytes + where + out, rest - out);
        memcpy(c.bytes + where, at + 4, in);
        c.n += in - out;
        at += 4 + in;
        n -= 4 + in;
        if (c.n < 9)
            break;
    }
    memcpy(c.bytes, &n_header, 8);
    return c;
}

static void put_run(const char *dir, const struct small_run *run, unsigned flags,
                    const uint8_t *changes, size_t n)
{
    struct content changed = changed_file(&run->last, changes, n);

    if (flags & RUN_SUM_FITS)
        mend_checksum(&changed);
    for (unsigned i = 0; i < 4; i++) {
        const struct content *file = flags & RUN_LAST_CHANGED << i ? &changed : &run->last;
        if (flags & RUN_LAST << i)
            put(dir, run_files[i], file->bytes, file->n);
    }
    free(changed.bytes);
}

/* What was restored is what the next process restores. */
static void save_and_restore(struct fx_saver *saver, const struct fx_state *state)
{
    struct fx_restored again = { 0 };
    struct fx_err err = { 0 };

    must(fx_save_last(saver, state, &err) == FX_OK, err.msg);
    must(fx_restore_last(&again, saver->rundir, &err) == FX_OK, err.msg);
    must(memcmp(&again.state, state, sizeof *state) == 0, "the same state");
    fx_restored_close(&again);
}

static void restore_best(struct fx_saver *saver, struct fx_state *state, struct fx_err *err)
{
    enum fx_status status = fx_restore_best_file(saver, state, err);

    judge(status, err);
    if (status == FX_OK && state->best.epoch > 0)
        judge(fx_restore_best(saver->engine, saver->rundir, &state->best, err), err);
}

/* The state that was restored, with a best checkpoint as the flags say. */
static struct fx_state state_of_run(const struct fx_restored *restored, unsigned flags)
{
    struct fx_state state = restored->state;

    if (flags & RUN_BEST_IS_NOW)
        state.best.step = state.step;
    if (flags & RUN_NO_BEST)
        state.best = (struct fx_best){ 0 };
    return state;
}

static void restore_run(struct small_run *run, const struct fx_rundir *rundir, unsigned flags)
{
    struct fx_restored restored = { 0 };
    struct fx_err err = { 0 };
    struct fx_saver saver = saver_of(run, rundir);
    enum fx_status status = fx_restore_last(&restored, rundir, &err);

    judge(status, &err);
    must(status == FX_OK || flags & (RUN_LAST_CHANGED | RUN_LAST_PREVIOUS_CHANGED),
         "what was not changed is restored");
    if (status == FX_OK && fx_settings_check(&run->settings, restored.settings, &err) == FX_OK) {
        struct fx_state state = state_of_run(&restored, flags);
        status = fx_restore_engine(&run->engine, &restored, flags & RUN_SGD, &err);
        judge(status, &err);
        fx_restored_close(&restored);
        if (status == FX_OK) {
            restore_best(&saver, &state, &err);
            save_and_restore(&saver, &state);
        }
    }
    fx_restored_close(&restored);
}

static void read_run(const uint8_t *bytes, size_t n)
{
    static struct small_run runs[2]; /* without and with averages */
    unsigned flags = n < 2 ? 0 : bytes[0] | (unsigned)bytes[1] << 8;
    struct small_run *run = &runs[flags & RUN_AVERAGES ? 1 : 0];
    struct fx_rundir rundir;
    struct fx_err err;
    bool has_state;

    if (n < 2)
        return;
    if (!run->last.bytes)
        make_small_run(run, flags & RUN_AVERAGES);
    const char *dir = scratch();
    put_run(dir, run, flags, bytes + 2, n - 2);
    must(fx_rundir_open(&rundir, dir, true, &has_state, &err) == FX_OK, "a folder");
    if (has_state)
        restore_run(run, &rundir, flags);
    fx_rundir_close(&rundir);
}

/* ---- the target ------------------------------------------------------------------------------ */

static void read_folder(const char *dir)
{
    struct fx_restored restored = { 0 };
    struct fx_rundir rundir;
    struct fx_train_args args = { 0 };
    struct fx_err err = { 0 };
    bool has_state;

    fx_train_args_init(&args, "fusion-train", FX_OF_FUSION);
    args.settings.fusion = 0;
    args.settings.arch = "resnet18";
    must(fx_rundir_open(&rundir, dir, true, &has_state, &err) == FX_OK, "a folder");
    if (has_state) {
        enum fx_status status = fx_restore_last(&restored, &rundir, &err);
        judge(status, &err);
        if (status == FX_OK && fx_settings_check(&args.settings, restored.settings, &err) != FX_OK)
            must(err.status == FX_EUSAGE || err.status == FX_EINPUT, "settings differ in words");
    } else {
        read_history(dir, rundir.history, &args.settings);
    }
    fx_restored_close(&restored);
    fx_rundir_close(&rundir);
}

static void target_resume(const uint8_t *bytes, size_t n)
{
    if (n < 2)
        return;
    if (bytes[0] == 'r') {
        read_run(bytes + 1, n - 1);
        return;
    }
    const char *dir = scratch();
    if (bytes[0] == 's')
        put_state(dir, bytes + 1, n - 1);
    else
        put(dir, bytes[0] == 'l' ? "last.safetensors" : "history.jsonl", bytes + 1, n - 1);
    read_folder(dir);
}

#endif
