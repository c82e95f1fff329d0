/* One way to a model for what uses one, from each form in which the tools write it. */
#include "checkpoint/model_source.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/join.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- a folder's files ------------------------------------------------------------------------ */

struct folder {
    char **files; /* owned, each too: experts, fusion, head, by name */
    int n_files;
    bool is_experts; /* no others */
};

static const char *const parts[] = { "experts", "fusion", "global" };

static bool is_folder(const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), n_suffix = strlen(suffix);

    return n > n_suffix && strcmp(name + n - n_suffix, suffix) == 0;
}

static int is_pth(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, ".pth");
}

static int is_safetensors(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && ends_with(entry->d_name, ".safetensors");
}

/* Nobody has named it: a pipe would be waited for. */
static enum fx_status check_file(const char *path, struct fx_err *err)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return fx_fail_errno(err, "%s", path);
    return S_ISREG(st.st_mode) ? FX_OK : fx_fail(err, FX_EINPUT, "%s: is no regular file", path);
}

static enum fx_status add(struct folder *folder, const char *dir, const char *name,
                          struct fx_err *err)
{
    char **grown = realloc(folder->files, (size_t)(folder->n_files + 1) * sizeof *grown);
    char *path;

    if (!grown)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
    folder->files = grown;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", dir);
    folder->files[folder->n_files++] = path;
    return check_file(path, err);
}

/* The files of one kind in one part of the folder; a part that is not there has none. */
static enum fx_status list_part(struct folder *folder, const char *dir,
                                int (*is_wanted)(const struct dirent *), struct fx_err *err)
{
    struct dirent **entries;
    enum fx_status status = FX_OK;
    int n = scandir(dir, &entries, is_wanted, alphasort);

    if (n < 0 && errno == ENOENT)
        return FX_OK;
    if (n < 0)
        return fx_fail(err, FX_EFAIL, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        if (status == FX_OK)
            status = add(folder, dir, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static enum fx_status list_parts(struct folder *folder, const char *path,
                                 int (*is_wanted)(const struct dirent *), struct fx_err *err)
{
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *dir;

        if (asprintf(&dir, "%s/%s", path, parts[i]) < 0)
            return fx_fail(err, FX_EFAIL, "%s: out of memory", path);
        int n_before = folder->n_files;
        enum fx_status status = list_part(folder, dir, is_wanted, err);
        free(dir);
        FX_TRY(status);
        folder->is_experts &= i == 0 || folder->n_files == n_before;
    }
    return FX_OK;
}

static void folder_fini(struct folder *folder)
{
    for (int i = 0; i < folder->n_files; i++)
        free(folder->files[i]);
    free(folder->files);
    *folder = (struct folder){ 0 };
}

/* The .pth or .safetensors files in experts/, fusion/ and global/; none, or some of both, which may
 * be of two models, is FX_EINPUT. */
static enum fx_status list_folder(struct folder *folder, const char *path, struct fx_err *err)
{
    enum fx_status status;
    int n_pth;

    *folder = (struct folder){ .is_experts = true };
    FX_TRY_OUT(list_parts(folder, path, is_pth, err));
    n_pth = folder->n_files;
    FX_TRY_OUT(list_parts(folder, path, is_safetensors, err));
    if (folder->n_files == 0)
        status =
            fx_fail(err, FX_EINPUT,
                    "%s: is a directory, not a checkpoint or experts stream; nor are components in "
                    "it, experts/*.pth, fusion/*.pth and global/*.pth",
                    path);
    else if (n_pth > 0 && n_pth < folder->n_files)
        status = fx_fail(err, FX_EINPUT,
                         "%s: components as .pth and as .safetensors are in it: of one model? "
                         "ckpt-join takes files by name",
                         path);
out:
    if (status != FX_OK)
        folder_fini(folder);
    return status;
}

/* ---- the model ------------------------------------------------------------------------------- */

struct fx_model_state {
    /* of a checkpoint */
    struct fx_tensor_file file;
    struct fx_graph graph;
    /* of a folder */
    struct folder folder;
    struct fx_join join;
    struct fx_tensor_set joined;
};

static enum fx_status read_checkpoint(struct fx_model_source *source, const char *path,
                                      struct fx_err *err)
{
    struct fx_model_state *state = source->state;
    struct fx_model_config config = { .expert_dropout = -1, .fusion_dropout = -1 };
    struct fx_checkpoint_info info;

    source->graph = &state->graph;
    source->set = &state->file.set;
    FX_TRY(fx_checkpoint_open(&state->file, path, FX_WANTED_CHECKPOINT, &info, err));
    source->name = state->file.input.name;
    config.arch = info.arch;
    config.fusion = info.fusion;
    config.fused = info.fused;
    config.n_experts = info.n_experts;
    config.n_classes = info.n_classes;
    if (fx_checkpoint_build(&state->graph, &config, err) != FX_OK ||
        fx_checkpoint_check(source->set, &state->graph, info.fusion, err) != FX_OK ||
        fx_checkpoint_check_values(source->set, &state->graph, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", source->name);
    return FX_OK;
}

static enum fx_status read_folder(struct fx_model_source *source, const char *path,
                                  struct fx_err *err)
{
    struct fx_model_state *state = source->state;
    struct fx_join_options options = { .n_experts = 4, .n_classes = 100, .stops = true };
    enum fx_status status;

    source->graph = &state->join.graph;
    source->set = &state->joined;
    source->name = path;
    source->fetch = fx_state_dict_fetch;
    source->fetch_ctx = &state->join.dict;
    FX_TRY(list_folder(&state->folder, path, err));
    options.files = state->folder.files;
    options.n_files = state->folder.n_files;
    options.is_experts = state->folder.is_experts;
    status = fx_join_open(&state->join, &options, err);
    if (status == FX_EUSAGE) { /* files of other programs do not say what model they are */
        struct fx_err why = *err;
        return fx_fail(err, FX_EINPUT, "%s: %s; ckpt-join takes it as an option", path, why.msg);
    }
    FX_TRY(status);
    FX_TRY(fx_join_take(&state->join, err));
    return fx_join_describe(&state->join, &state->joined, err);
}

enum fx_status fx_model_source_open(struct fx_model_source *source, const char *path,
                                    struct fx_err *err)
{
    *source = (struct fx_model_source){ .state = calloc(1, sizeof *source->state) };
    if (!source->state)
        return fx_fail(err, FX_EFAIL, "out of memory for a model");
    fx_tensor_set_init(&source->state->joined);
    return is_folder(path) ? read_folder(source, path, err) : read_checkpoint(source, path, err);
}

size_t fx_model_source_bytes(const struct fx_model_source *source)
{
    const struct fx_model_state *state = source->state;
    size_t n = state->file.input.is_mapped ? 0 : state->file.input.n_bytes;

    for (int i = 0; i < FX_JOIN_FILES_MAX; i++)
        if (!state->join.files[i].input.is_mapped)
            n += state->join.files[i].input.n_bytes;
    return n;
}

void fx_model_source_forget(struct fx_model_source *source)
{
    struct fx_model_state *state = source->state;

    fx_input_close(&state->file.input); /* metadata is the set's own */
    for (int i = 0; i < FX_JOIN_FILES_MAX; i++)
        fx_tensor_file_close(&state->join.files[i]);
}

void fx_model_source_close(struct fx_model_source *source)
{
    struct fx_model_state *state = source->state;

    if (!state)
        return;
    fx_tensor_set_fini(&state->joined);
    fx_join_close(&state->join);
    folder_fini(&state->folder);
    fx_graph_fini(&state->graph);
    fx_tensor_file_close(&state->file);
    free(state);
    *source = (struct fx_model_source){ 0 };
}
