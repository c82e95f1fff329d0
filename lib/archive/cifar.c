/* Reading a CIFAR archive: which member is what, and whether the whole fits together. */
#include "archive/cifar.h"

#include "archive/cifar_internal.h"
#include "archive/tar_internal.h"
#include "base/kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum role { TRAIN, TEST, FINE_NAMES, COARSE_NAMES, ALL_NAMES };

/* Every member that a layout must have.  CIFAR-10 cuts its training images into five batches. */
static const struct member {
    const char *name;
    enum fx_cifar_layout layout;
    enum role role;
    int batch;
} members[] = {
    { "train", FX_CIFAR100_PYTHON, TRAIN, 0 },
    { "test", FX_CIFAR100_PYTHON, TEST, 0 },
    { "meta", FX_CIFAR100_PYTHON, ALL_NAMES, 0 },
    { "train.bin", FX_CIFAR100_BINARY, TRAIN, 0 },
    { "test.bin", FX_CIFAR100_BINARY, TEST, 0 },
    { "fine_label_names.txt", FX_CIFAR100_BINARY, FINE_NAMES, 0 },
    { "coarse_label_names.txt", FX_CIFAR100_BINARY, COARSE_NAMES, 0 },
    { "data_batch_1", FX_CIFAR10_PYTHON, TRAIN, 0 },
    { "data_batch_2", FX_CIFAR10_PYTHON, TRAIN, 1 },
    { "data_batch_3", FX_CIFAR10_PYTHON, TRAIN, 2 },
    { "data_batch_4", FX_CIFAR10_PYTHON, TRAIN, 3 },
    { "data_batch_5", FX_CIFAR10_PYTHON, TRAIN, 4 },
    { "test_batch", FX_CIFAR10_PYTHON, TEST, 0 },
    { "batches.meta", FX_CIFAR10_PYTHON, ALL_NAMES, 0 },
    { "data_batch_1.bin", FX_CIFAR10_BINARY, TRAIN, 0 },
    { "data_batch_2.bin", FX_CIFAR10_BINARY, TRAIN, 1 },
    { "data_batch_3.bin", FX_CIFAR10_BINARY, TRAIN, 2 },
    { "data_batch_4.bin", FX_CIFAR10_BINARY, TRAIN, 3 },
    { "data_batch_5.bin", FX_CIFAR10_BINARY, TRAIN, 4 },
    { "test_batch.bin", FX_CIFAR10_BINARY, TEST, 0 },
    { "batches.meta.txt", FX_CIFAR10_BINARY, FINE_NAMES, 0 },
};
enum { N_MEMBERS = sizeof members / sizeof *members, N_BATCHES_MAX = 5, WHERE_BYTES = 256 };

/* What has been read of an archive so far. */
struct collection {
    struct fx_cifar *cifar; /* borrowed: names and test part go there at once */
    struct fx_cifar_part batches[N_BATCHES_MAX];
    bool seen[N_MEMBERS];
    bool has_npy;
    const struct member *first; /* the first known member; decides the layout */
    const char *archive;        /* borrowed: name of the archive, for messages */
};

static bool is_python(enum fx_cifar_layout layout)
{
    return layout == FX_CIFAR100_PYTHON || layout == FX_CIFAR10_PYTHON;
}

static const struct member *find_member(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    for (int i = 0; i < N_MEMBERS; i++)
        if (strcmp(members[i].name, name) == 0)
            return &members[i];
    return NULL;
}

static enum fx_status check_member(struct collection *all, const struct member *member,
                                   struct fx_err *err)
{
    if (!all->first)
        all->first = member;
    if (member->layout != all->first->layout)
        return fx_fail(err, FX_EINPUT, "%s: %s belongs to %s, %s to %s", all->archive,
                       all->first->name, fx_cifar_layout_name(all->first->layout), member->name,
                       fx_cifar_layout_name(member->layout));
    if (all->seen[member - members])
        return fx_fail(err, FX_EINPUT, "%s: %s stands there twice", all->archive, member->name);
    all->seen[member - members] = true;
    return FX_OK;
}

/* Decodes one member; *bytes is taken over by batches. */
static enum fx_status decode(struct collection *all, const struct member *member, uint8_t **bytes,
                             size_t n_bytes, struct fx_err *err)
{
    struct fx_cifar *cifar = all->cifar;
    struct fx_cifar_part *part = member->role == TEST ? &cifar->test : &all->batches[member->batch];
    bool coarse = !fx_cifar_is_cifar10(member->layout);
    char where[WHERE_BYTES];

    snprintf(where, sizeof where, "%s: %s", all->archive, member->name);
    switch (member->role) {
    case TRAIN:
    case TEST:
        return is_python(member->layout)
                   ? fx_cifar_python_batch(bytes, n_bytes, coarse, part, where, err)
                   : fx_cifar_binary_batch(bytes, n_bytes, coarse, part, where, err);
    case FINE_NAMES:
        return fx_cifar_binary_names(*bytes, n_bytes, &cifar->fine, where, err);
    case COARSE_NAMES:
        return fx_cifar_binary_names(*bytes, n_bytes, &cifar->coarse, where, err);
    case ALL_NAMES:
        return fx_cifar_python_names(*bytes, n_bytes, &cifar->fine, coarse ? &cifar->coarse : NULL,
                                     where, err);
    }
    return FX_OK;
}

/* ---- from a tar ------------------------------------------------------------------------------ */

static enum fx_status collect_entries(struct collection *all, struct fx_tar *tar,
                                      struct fx_err *err)
{
    struct fx_tar_entry entry;

    for (;;) {
        FX_TRY(fx_tar_next(tar, &entry, err));
        if (!entry.path)
            return FX_OK;
        const struct member *member = find_member(entry.path);
        size_t n_path = strlen(entry.path);
        all->has_npy |= n_path > 4 && strcmp(entry.path + n_path - 4, ".npy") == 0;
        if (!member || entry.is_folder)
            continue;
        if (!entry.is_file)
            return fx_fail(err, FX_EINPUT, "%s: %s: not a regular file", all->archive, entry.path);
        FX_TRY(check_member(all, member, err));
        uint8_t *bytes;
        size_t n_bytes;
        FX_TRY(fx_tar_read(tar, &entry, &bytes, &n_bytes, err));
        enum fx_status status = decode(all, member, &bytes, n_bytes, err);
        free(bytes);
        FX_TRY(status);
    }
}

static enum fx_status collect_tar(struct collection *all, const char *path, struct fx_err *err)
{
    struct fx_tar tar;
    enum fx_status status = fx_tar_open(&tar, path, err);

    all->archive = path && strcmp(path, "-") != 0 ? path : "stdin";
    if (status == FX_OK)
        status = collect_entries(all, &tar, err);
    /* No tar at all: what it is shows in the bytes that were read first, which are still there. */
    if (status == FX_EINPUT && !tar.has_begun)
        (void)!fx_kind_check(FX_WANTED_ARCHIVE, all->archive, tar.input.input, tar.input.end, err);
    fx_tar_close(&tar);
    return status;
}

/* ---- from a folder --------------------------------------------------------------------------- */

static enum fx_status collect_files(struct collection *all, const struct fx_cifar_folder *folder,
                                    struct fx_err *err)
{
    for (int i = 0; i < N_MEMBERS; i++) {
        uint8_t *bytes;
        size_t n_bytes;
        FX_TRY(fx_cifar_folder_read(folder, members[i].name, &bytes, &n_bytes, err));
        if (!bytes)
            continue;
        enum fx_status status = check_member(all, &members[i], err);
        if (status == FX_OK)
            status = decode(all, &members[i], &bytes, n_bytes, err);
        free(bytes);
        FX_TRY(status);
    }
    return FX_OK;
}

/* From a folder that archives were extracted in, as torchvision's root, to the one in it. */
static enum fx_status enter(struct fx_cifar_folder *root, struct fx_err *err)
{
    const char *found = NULL;

    for (enum fx_cifar_layout layout = 0; layout < FX_N_CIFAR_LAYOUTS; layout++) {
        const char *name = fx_cifar_layout_name(layout);
        if (!fx_cifar_folder_has(root, name))
            continue;
        if (found)
            return fx_fail(err, FX_EINPUT, "%s: holds %s and %s; name one of them", root->name,
                           found, name);
        found = name;
    }
    return found ? fx_cifar_folder_enter(root, found, err) : FX_OK;
}

/* The folder of the archive, or the one that it lies in. */
static enum fx_status collect_folder(struct collection *all, struct fx_cifar_folder *folder,
                                     struct fx_err *err)
{
    all->archive = folder->name;
    FX_TRY(collect_files(all, folder, err));
    if (all->first)
        return FX_OK;
    FX_TRY(enter(folder, err));
    all->archive = folder->name;
    return collect_files(all, folder, err);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static enum fx_status check_complete(const struct collection *all, struct fx_err *err)
{
    if (!all->first)
        return fx_fail(err, FX_EINPUT, "%s: holds no member of a CIFAR archive%s", all->archive,
                       all->has_npy ? "; one of corrupted images needs --corrupted" : "");
    for (int i = 0; i < N_MEMBERS; i++)
        if (members[i].layout == all->first->layout && !all->seen[i])
            return fx_fail(err, FX_EINPUT, "%s: %s is missing (%s, by its member %s)", all->archive,
                           members[i].name, fx_cifar_layout_name(all->first->layout),
                           all->first->name);
    return FX_OK;
}

static enum fx_status check_labels(const char *archive, const char *what, const uint8_t *labels,
                                   size_t n, size_t n_names, struct fx_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= n_names)
            return fx_fail(err, FX_EINPUT,
                           "%s: image %zu of %s label is %u, but there are %zu "
                           "names",
                           archive, i, what, labels[i], n_names);
    return FX_OK;
}

/* All members are there: joins the batches and compares labels with names. */
static enum fx_status finish(struct collection *all, struct fx_err *err)
{
    struct fx_cifar *cifar = all->cifar;

    FX_TRY(check_complete(all, err));
    cifar->layout = all->first->layout;
    for (int i = 0; i < N_BATCHES_MAX; i++)
        if (all->batches[i].n > 0)
            FX_TRY(fx_cifar_part_append(&cifar->train, &all->batches[i], all->archive, err));
    if (fx_cifar_is_cifar10(cifar->layout))
        FX_TRY(fx_cifar_names_add(&cifar->coarse, (const uint8_t *)"all", 3, all->archive, err));
    FX_TRY(check_labels(all->archive, "training: fine", cifar->train.fine, cifar->train.n,
                        cifar->fine.n, err));
    FX_TRY(check_labels(all->archive, "training: coarse", cifar->train.coarse, cifar->train.n,
                        cifar->coarse.n, err));
    FX_TRY(check_labels(all->archive, "test: fine", cifar->test.fine, cifar->test.n, cifar->fine.n,
                        err));
    return check_labels(all->archive, "test: coarse", cifar->test.coarse, cifar->test.n,
                        cifar->coarse.n, err);
}

enum fx_status fx_cifar_read(struct fx_cifar *cifar, const char *path, struct fx_err *err)
{
    struct fx_cifar_folder folder = { .fd = -1 };
    struct collection all = { .cifar = cifar };

    *cifar = (struct fx_cifar){ 0 };
    enum fx_status status = path ? fx_cifar_folder_open(&folder, path, err) : FX_OK;
    if (status == FX_OK)
        status = folder.fd >= 0 ? collect_folder(&all, &folder, err) : collect_tar(&all, path, err);
    if (status == FX_OK)
        status = finish(&all, err);
    for (int i = 0; i < N_BATCHES_MAX; i++)
        fx_cifar_part_free(&all.batches[i]);
    fx_cifar_folder_close(&folder);
    if (status != FX_OK)
        fx_cifar_free(cifar);
    return status;
}

void fx_cifar_free(struct fx_cifar *cifar)
{
    fx_cifar_part_free(&cifar->train);
    fx_cifar_part_free(&cifar->test);
    fx_cifar_names_free(&cifar->fine);
    fx_cifar_names_free(&cifar->coarse);
}

const char *fx_cifar_layout_name(enum fx_cifar_layout layout)
{
    static const char *const names[FX_N_CIFAR_LAYOUTS] = {
        [FX_CIFAR100_PYTHON] = "cifar-100-python",
        [FX_CIFAR100_BINARY] = "cifar-100-binary",
        [FX_CIFAR10_PYTHON] = "cifar-10-batches-py",
        [FX_CIFAR10_BINARY] = "cifar-10-batches-bin",
    };
    return names[layout];
}

bool fx_cifar_is_cifar10(enum fx_cifar_layout layout)
{
    return layout == FX_CIFAR10_PYTHON || layout == FX_CIFAR10_BINARY;
}
