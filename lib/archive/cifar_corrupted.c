/* Reading the archives of corrupted test images: a tar of .npy files, or the folder it was
 * extracted to.  A member is made into planes where it stands. */
#include "archive/cifar_internal.h"
#include "archive/tar_internal.h"
#include "base/kind.h"
#include "tensor/npy.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, WHERE_BYTES = 4096 };

/* What has been read so far; members may come in any order. */
struct collection {
    struct fx_cifar_corrupted *corrupted; /* borrowed */
    const char *archive;                  /* borrowed: for messages */
    int64_t *labels;                      /* owned */
    size_t n_labels;
};

/* The name of the corruption in "FOLDER/NAME.npy", or false when the member is something else. */
static bool name_of(const char *path, char name[FX_CORRUPTION_NAME_BYTES])
{
    const char *slash = strrchr(path, '/'), *begin = slash ? slash + 1 : path;
    size_t n = strspn(begin, "abcdefghijklmnopqrstuvwxyz0123456789_");

    if (n == 0 || n >= FX_CORRUPTION_NAME_BYTES || strcmp(begin + n, ".npy") != 0)
        return false;
    memcpy(name, begin, n);
    name[n] = '\0';
    return true;
}

/* ---- one member ------------------------------------------------------------------------------ */

/* From (32, 32, 3) to (3, 32, 32), each image in its place; `to` may begin before `from`. */
static void to_planes(const uint8_t *from, size_t n_images, uint8_t *to)
{
    uint8_t image[FX_CIFAR_IMAGE_BYTES];

    for (size_t i = 0; i < n_images; i++) {
        memcpy(image, from + i * FX_CIFAR_IMAGE_BYTES, sizeof image);
        for (int p = 0; p < PIXELS; p++)
            for (int c = 0; c < 3; c++)
                to[i * FX_CIFAR_IMAGE_BYTES + (size_t)(c * PIXELS + p)] = image[3 * p + c];
    }
}

static enum fx_status take_images(struct collection *all, const char *name, uint8_t **bytes,
                                  size_t n_bytes, const char *where, struct fx_err *err)
{
    struct fx_cifar_corrupted *corrupted = all->corrupted;
    struct fx_npy_bytes array;

    FX_TRY(fx_npy_view_bytes(*bytes, n_bytes, where, &array, err));
    if (array.n_dims != 4 || array.shape[0] == 0 || array.shape[0] % FX_SEVERITIES != 0 ||
        array.shape[1] != SIDE || array.shape[2] != SIDE || array.shape[3] != 3)
        return fx_fail(err, FX_EINPUT, "%s: not %d n images of 32 x 32 x 3", where, FX_SEVERITIES);
    if (corrupted->n > 0 && array.shape[0] != FX_SEVERITIES * corrupted->n)
        return fx_fail(err, FX_EINPUT, "%s: has %zu images, the corruption before it %zu", where,
                       array.shape[0], FX_SEVERITIES * corrupted->n);
    if (corrupted->n_corruptions == FX_CORRUPTIONS_MAX)
        return fx_fail(err, FX_EINPUT, "%s: more than %d corruptions", where, FX_CORRUPTIONS_MAX);
    for (int i = 0; i < corrupted->n_corruptions; i++)
        if (strcmp(corrupted->corruption[i].name, name) == 0)
            return fx_fail(err, FX_EINPUT, "%s: stands there twice", where);
    to_planes(array.values, array.shape[0], *bytes);
    snprintf(corrupted->corruption[corrupted->n_corruptions].name, FX_CORRUPTION_NAME_BYTES, "%s",
             name);
    corrupted->corruption[corrupted->n_corruptions++].images = *bytes;
    corrupted->n = array.shape[0] / FX_SEVERITIES;
    *bytes = NULL;
    return FX_OK;
}

/* *bytes is taken over by images. */
static enum fx_status take_member(struct collection *all, const char *name, uint8_t **bytes,
                                  size_t n_bytes, struct fx_err *err)
{
    char where[WHERE_BYTES];

    snprintf(where, sizeof where, "%s: %s.npy", all->archive, name);
    if (strcmp(name, "labels") != 0)
        return take_images(all, name, bytes, n_bytes, where, err);
    if (all->labels)
        return fx_fail(err, FX_EINPUT, "%s: stands there twice", where);
    return fx_npy_view_indices(*bytes, n_bytes, where, &all->labels, &all->n_labels, err);
}

/* ---- from a tar, from a folder --------------------------------------------------------------- */

static enum fx_status collect_entries(struct collection *all, struct fx_tar *tar,
                                      struct fx_err *err)
{
    char name[FX_CORRUPTION_NAME_BYTES];
    struct fx_tar_entry entry;

    for (;;) {
        FX_TRY(fx_tar_next(tar, &entry, err));
        if (!entry.path)
            return FX_OK;
        if (entry.is_folder || !name_of(entry.path, name))
            continue;
        if (!entry.is_file)
            return fx_fail(err, FX_EINPUT, "%s: %s: not a regular file", all->archive, entry.path);
        uint8_t *bytes;
        size_t n_bytes;
        FX_TRY(fx_tar_read(tar, &entry, &bytes, &n_bytes, err));
        enum fx_status status = take_member(all, name, &bytes, n_bytes, err);
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
    if (status == FX_EINPUT && !tar.has_begun)
        (void)!fx_kind_check(FX_WANTED_ARCHIVE, all->archive, tar.input.input, tar.input.end, err);
    fx_tar_close(&tar);
    return status;
}

static enum fx_status collect_file(struct collection *all, const struct fx_cifar_folder *folder,
                                   const char *file, struct fx_err *err)
{
    char name[FX_CORRUPTION_NAME_BYTES];
    uint8_t *bytes;
    size_t n_bytes;

    if (!name_of(file, name))
        return FX_OK;
    FX_TRY(fx_cifar_folder_read(folder, file, &bytes, &n_bytes, err));
    enum fx_status status = bytes ? take_member(all, name, &bytes, n_bytes, err) : FX_OK;
    free(bytes);
    return status;
}

static enum fx_status collect_folder(struct collection *all, const struct fx_cifar_folder *folder,
                                     struct fx_err *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder->name, &entries, NULL, alphasort);
    enum fx_status status = n < 0 ? fx_fail_errno(err, "%s", folder->name) : FX_OK;

    all->archive = folder->name;
    for (int i = 0; i < n; i++) {
        if (status == FX_OK)
            status = collect_file(all, folder, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b); /* the name stands first in the record */
}

/* The labels of the images, which the official archives repeat for each severity. */
static enum fx_status finish(struct collection *all, struct fx_err *err)
{
    struct fx_cifar_corrupted *corrupted = all->corrupted;
    size_t n = corrupted->n;

    if (corrupted->n_corruptions == 0 || !all->labels)
        return fx_fail(err, FX_EINPUT, "%s: %s: no archive of corrupted images (CIFAR-100-C.tar)",
                       all->archive, all->labels ? "has labels.npy alone" : "has no labels.npy");
    if (all->n_labels != n && all->n_labels != FX_SEVERITIES * n)
        return fx_fail(err, FX_EINPUT, "%s: labels.npy: %zu labels for %zu images at %d severities",
                       all->archive, all->n_labels, n, FX_SEVERITIES);
    corrupted->fine = malloc(n);
    if (!corrupted->fine)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", all->archive);
    for (size_t i = 0; i < all->n_labels; i++) {
        int64_t label = all->labels[i];
        if (label < 0 || label > UINT8_MAX || label != all->labels[i % n])
            return fx_fail(err, FX_EINPUT, "%s: labels.npy: label %lld of image %zu: %s",
                           all->archive, (long long)label, i,
                           label < 0 || label > UINT8_MAX ? "must be 0..255"
                                                          : "differs from severity to severity");
        corrupted->fine[i % n] = (uint8_t)label;
    }
    qsort(corrupted->corruption, (size_t)corrupted->n_corruptions, sizeof *corrupted->corruption,
          by_name);
    return FX_OK;
}

enum fx_status fx_cifar_corrupted_read(struct fx_cifar_corrupted *corrupted, const char *path,
                                       struct fx_err *err)
{
    struct fx_cifar_folder folder = { .fd = -1 };
    struct collection all = { .corrupted = corrupted };

    *corrupted = (struct fx_cifar_corrupted){ 0 };
    enum fx_status status = path ? fx_cifar_folder_open(&folder, path, err) : FX_OK;
    if (status == FX_OK)
        status = folder.fd >= 0 ? collect_folder(&all, &folder, err) : collect_tar(&all, path, err);
    if (status == FX_OK)
        status = finish(&all, err);
    free(all.labels);
    fx_cifar_folder_close(&folder);
    if (status != FX_OK)
        fx_cifar_corrupted_free(corrupted);
    return status;
}

void fx_cifar_corrupted_free(struct fx_cifar_corrupted *corrupted)
{
    for (int i = 0; i < corrupted->n_corruptions; i++)
        free(corrupted->corruption[i].images);
    free(corrupted->fine);
    *corrupted = (struct fx_cifar_corrupted){ 0 };
}
