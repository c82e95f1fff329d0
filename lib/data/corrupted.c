/* A tensor "corrupted.NAME" for each corruption, and "test.fine". */
#include "data/corrupted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "corrupted.";
enum { NAME_BYTES = 64 };

/* ---- reading --------------------------------------------------------------------------------- */

static enum fx_status read_labels(struct fx_corrupted *all, int n_classes, struct fx_err *err)
{
    const struct fx_tensor *tensor = fx_tensor_set_find(&all->file.set, "test.fine");
    const char *file = all->file.input.name;

    if (!tensor || tensor->dtype != FX_U8 || tensor->n_dims != 1 || tensor->shape[0] < 1)
        return fx_fail(err, FX_EINPUT,
                       "%s: not corrupted images: no bytes test.fine; cifar-prep --corrupted and "
                       "cifar-corrupt write them",
                       file);
    all->n = tensor->shape[0];
    uint8_t *copy = malloc((size_t)all->n);
    if (!copy)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", file);
    enum fx_status status = fx_tensor_set_own(&all->file.set, copy, err);
    if (status != FX_OK) {
        free(copy);
        return status;
    }
    all->fine = memcpy(copy, tensor->data, (size_t)all->n);
    for (int64_t i = 0; i < all->n; i++)
        if (all->fine[i] >= n_classes)
            return fx_fail(err, FX_EINPUT, "%s: label %u of image %lld: the model has %d classes",
                           file, all->fine[i], (long long)i, n_classes);
    return FX_OK;
}

static enum fx_status read_images(struct fx_corrupted *all, const struct fx_tensor *tensor,
                                  struct fx_err *err)
{
    const int64_t shape[] = { FX_CORRUPTED_SEVERITIES, all->n, 3, FX_IMAGE_SIDE, FX_IMAGE_SIDE };
    bool is_good = tensor->dtype == FX_U8 && tensor->n_dims == 5;

    for (int d = 0; is_good && d < 5; d++)
        is_good = tensor->shape[d] == shape[d];
    if (!is_good)
        return fx_fail(err, FX_EINPUT, "%s: %s: not bytes of (5, %lld, 3, 32, 32)",
                       all->file.input.name, tensor->name, (long long)all->n);
    if (all->n_corruptions == FX_CORRUPTED_MAX)
        return fx_fail(err, FX_EINPUT, "%s: more than %d corruptions", all->file.input.name,
                       FX_CORRUPTED_MAX);
    all->name[all->n_corruptions] = tensor->name + strlen(prefix);
    all->images[all->n_corruptions++] = tensor->data;
    return FX_OK;
}

static enum fx_status read_all(struct fx_corrupted *all, int n_classes, struct fx_err *err)
{
    FX_TRY(read_labels(all, n_classes, err));
    for (size_t i = 0; i < all->file.set.n_tensors; i++)
        if (strncmp(all->file.set.tensors[i].name, prefix, strlen(prefix)) == 0)
            FX_TRY(read_images(all, &all->file.set.tensors[i], err));
    return all->n_corruptions > 0 ? FX_OK
                                  : fx_fail(err, FX_EINPUT,
                                            "%s: not corrupted images: no tensor '%sNAME'; "
                                            "cifar-prep --corrupted writes them",
                                            all->file.input.name, prefix);
}

enum fx_status fx_corrupted_open(struct fx_corrupted *corrupted, const char *path, int n_classes,
                                 struct fx_err *err)
{
    *corrupted = (struct fx_corrupted){ 0 };
    enum fx_status status = fx_tensor_file_read(&corrupted->file, path, err);
    if (status == FX_OK)
        status = read_all(corrupted, n_classes, err);
    if (status != FX_OK)
        fx_corrupted_close(corrupted);
    return status;
}

void fx_corrupted_close(struct fx_corrupted *corrupted)
{
    fx_tensor_file_close(&corrupted->file);
    *corrupted = (struct fx_corrupted){ 0 };
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum fx_status add_tensors(const struct fx_corrupted *corrupted, struct fx_tensor_set *set,
                                  struct fx_err *err)
{
    const int64_t shape[] = { FX_CORRUPTED_SEVERITIES, corrupted->n, 3, FX_IMAGE_SIDE,
                              FX_IMAGE_SIDE };
    char name[NAME_BYTES];

    for (int i = 0; i < corrupted->n_corruptions; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, corrupted->name[i]);
        FX_TRY(fx_tensor_set_add(set, name, FX_U8, 5, shape, corrupted->images[i], err));
    }
    return fx_tensor_set_add(set, "test.fine", FX_U8, 1, &corrupted->n, corrupted->fine, err);
}

enum fx_status fx_corrupted_write(const struct fx_corrupted *corrupted, const char *source, int fd,
                                  const char *name, struct fx_err *err)
{
    struct fx_tensor_set set;

    fx_tensor_set_init(&set);
    enum fx_status status = fx_tensor_set_put_meta(&set, "source", source, err);
    if (status == FX_OK)
        status = add_tensors(corrupted, &set, err);
    if (status == FX_OK)
        status = fx_safetensors_write(&set, fd, name, NULL, NULL, err);
    fx_tensor_set_fini(&set);
    return status;
}
