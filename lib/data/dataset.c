/* Opening a data set: maps the file, checks everything a trainer relies on (see dataset.h). */
#include "data/dataset.h"

#include "base/kind.h"
#include "data/image_facts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FINE_CLASSES_MAX = 256 };

/* ---- metadata ------------------------------------------------------------------------------- */

static enum fx_status need_meta(const struct fx_dataset *ds, const char *key, const char **value,
                                struct fx_err *err)
{
    *value = fx_tensor_set_meta(&ds->file.set, key);
    if (!*value)
        return fx_fail(err, FX_EINPUT, "%s: not a data set: no metadata '%s'", ds->file.input.name,
                       key);
    return FX_OK;
}

static enum fx_status read_classes(struct fx_dataset *ds, struct fx_err *err)
{
    const char *text;
    char *end;

    FX_TRY(need_meta(ds, "classes", &text, err));
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < 1 || n > FINE_CLASSES_MAX)
        return fx_fail(err, FX_EINPUT, "%s: metadata 'classes': %.20s: must be 1..%d",
                       ds->file.input.name, text, FINE_CLASSES_MAX);
    ds->n_classes = (int)n;
    return FX_OK;
}

static enum fx_status read_channels(struct fx_dataset *ds, struct fx_err *err)
{
    const char *text;

    FX_TRY(need_meta(ds, "mean", &text, err));
    FX_TRY(need_meta(ds, "std", &text, err));
    if (fx_image_facts_channels(&ds->file.set, ds->mean, ds->std, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", ds->file.input.name);
    return FX_OK;
}

/* ---- images and labels ---------------------------------------------------------------------- */

static enum fx_status need_tensor(const struct fx_dataset *ds, const char *name,
                                  enum fx_dtype dtype, const struct fx_tensor **tensor,
                                  struct fx_err *err)
{
    *tensor = fx_tensor_set_find(&ds->file.set, name);
    if (!*tensor)
        return fx_fail(err, FX_EINPUT, "%s: not a data set: no tensor '%s'", ds->file.input.name,
                       name);
    if ((*tensor)->dtype != dtype)
        return fx_fail(err, FX_EINPUT, "%s: %s: is %s, not %s", ds->file.input.name, name,
                       fx_dtype_name((*tensor)->dtype), fx_dtype_name(dtype));
    return FX_OK;
}

static enum fx_status bad_shape(const struct fx_dataset *ds, const struct fx_tensor *tensor,
                                const char *wanted, struct fx_err *err)
{
    char shape[128];

    return fx_fail(err, FX_EINPUT, "%s: %s: has shape %s, not %s", ds->file.input.name,
                   tensor->name, fx_shape_text(tensor->n_dims, tensor->shape, shape, sizeof shape),
                   wanted);
}

static enum fx_status read_images(const struct fx_dataset *ds, const char *part,
                                  struct fx_image_set *images, struct fx_err *err)
{
    const struct fx_tensor *tensor;
    char name[32];

    snprintf(name, sizeof name, "%s.images", part);
    FX_TRY(need_tensor(ds, name, FX_U8, &tensor, err));
    if (tensor->n_dims != 4 || tensor->shape[0] < 1 || tensor->shape[0] > INT32_MAX ||
        tensor->shape[1] != 3 || tensor->shape[2] != FX_IMAGE_SIDE ||
        tensor->shape[3] != FX_IMAGE_SIDE)
        return bad_shape(ds, tensor, "(n, 3, 32, 32) with n > 0", err);
    images->images = tensor->data;
    images->n = tensor->shape[0];
    return FX_OK;
}

/* Memory that is freed with the set; owned by it. */
static enum fx_status allocate(struct fx_dataset *ds, size_t n_bytes, void **block,
                               struct fx_err *err)
{
    *block = malloc(n_bytes > 0 ? n_bytes : 1);
    if (!*block)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", ds->file.input.name);
    enum fx_status status = fx_tensor_set_own(&ds->file.set, *block, err);
    if (status != FX_OK)
        free(*block);
    return status;
}

/* What is checked is a copy: labels are used as indices, and a file may change under its mapping.
 */
static enum fx_status read_labels(struct fx_dataset *ds, const char *part, const char *kind,
                                  int64_t n, int n_classes, const uint8_t **labels,
                                  struct fx_err *err)
{
    const struct fx_tensor *tensor;
    char name[32];
    void *copy;

    snprintf(name, sizeof name, "%s.%s", part, kind);
    FX_TRY(need_tensor(ds, name, FX_U8, &tensor, err));
    if (tensor->n_dims != 1 || tensor->shape[0] != n)
        return bad_shape(ds, tensor, "one label for each image", err);
    FX_TRY(allocate(ds, (size_t)n, &copy, err));
    *labels = memcpy(copy, tensor->data, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        if ((*labels)[i] >= n_classes)
            return fx_fail(err, FX_EINPUT,
                           "%s: %s: label %u of image %" PRId64 ": there are %d classes",
                           ds->file.input.name, name, (*labels)[i], i, n_classes);
    return FX_OK;
}

static enum fx_status read_part(struct fx_dataset *ds, const char *part,
                                struct fx_image_set *images, struct fx_err *err)
{
    FX_TRY(read_images(ds, part, images, err));
    FX_TRY(read_labels(ds, part, "fine", images->n, ds->n_classes, &images->fine, err));
    return read_labels(ds, part, "coarse", images->n, FINE_CLASSES_MAX, &images->coarse, err);
}

/* ---- splits --------------------------------------------------------------------------------- */

/* Sets marks[i] for every image of the list; refuses repetitions, and disorder if `sorted`. */
static enum fx_status mark_images(const struct fx_dataset *ds, const struct fx_tensor *tensor,
                                  bool sorted, uint8_t *marks, struct fx_err *err)
{
    const uint8_t *at = tensor->data; /* a foreign file need not align it */
    int64_t last = -1;

    for (int64_t i = 0; i < tensor->shape[0]; i++) {
        int64_t image;
        memcpy(&image, at + (size_t)i * sizeof image, sizeof image);
        if (image < 0 || image >= ds->train.n)
            return fx_fail(err, FX_EINPUT,
                           "%s: %s: image %" PRId64 " at position %" PRId64
                           ": the training images are 0..%" PRId64,
                           ds->file.input.name, tensor->name, image, i, ds->train.n - 1);
        if (marks[image] || (sorted && image < last))
            return fx_fail(err, FX_EINPUT, "%s: %s: image %" PRId64 " at position %" PRId64 ": %s",
                           ds->file.input.name, tensor->name, image, i,
                           marks[image] ? "stands there twice" : "not in ascending order");
        marks[image] = 1;
        last = image;
    }
    return FX_OK;
}

/* Reads a list of image numbers, sorted, into memory of the set; marks are left on its images. */
static enum fx_status read_list(struct fx_dataset *ds, const char *name, bool sorted,
                                uint8_t *marks, struct fx_index_list *list, struct fx_err *err)
{
    const struct fx_tensor *tensor;

    FX_TRY(need_tensor(ds, name, FX_I64, &tensor, err));
    if (tensor->n_dims != 1 || tensor->shape[0] > ds->train.n)
        return bad_shape(ds, tensor, "a list of training images", err);
    memset(marks, 0, (size_t)ds->train.n);
    FX_TRY(mark_images(ds, tensor, sorted, marks, err));
    void *block;
    FX_TRY(allocate(ds, (size_t)tensor->shape[0] * sizeof(int64_t), &block, err));
    int64_t *values = block;
    *list = (struct fx_index_list){ values, 0 };
    for (int64_t i = 0; i < ds->train.n; i++)
        if (marks[i])
            values[list->n++] = i;
    return FX_OK;
}

/* Every image of the list must be in the holdout (`inside`), or none. */
static enum fx_status check_against(const struct fx_dataset *ds, const char *name,
                                    struct fx_index_list list, const uint8_t *holdout, bool inside,
                                    struct fx_err *err)
{
    for (int64_t i = 0; i < list.n; i++)
        if (holdout[list.values[i]] != inside)
            return fx_fail(err, FX_EINPUT, "%s: %s: image %" PRId64 " is %s the fusion holdout",
                           ds->file.input.name, name, list.values[i], inside ? "not in" : "in");
    return FX_OK;
}

static enum fx_status read_experts(struct fx_dataset *ds, const uint8_t *holdout, uint8_t *marks,
                                   struct fx_err *err)
{
    char name[32];

    for (int k = 0; k < FX_MAX_EXPERTS; k++) {
        snprintf(name, sizeof name, "split.expert.%d", k);
        if (!fx_tensor_set_find(&ds->file.set, name))
            break;
        FX_TRY(read_list(ds, name, false, marks, &ds->expert[k], err));
        FX_TRY(check_against(ds, name, ds->expert[k], holdout, false, err));
        ds->n_experts = k + 1;
    }
    return FX_OK;
}

static enum fx_status read_splits(struct fx_dataset *ds, struct fx_err *err)
{
    uint8_t *holdout = malloc(2 * (size_t)ds->train.n);
    uint8_t *marks = holdout ? holdout + ds->train.n : NULL;
    enum fx_status status;

    if (!holdout)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", ds->file.input.name);
    FX_TRY_OUT(read_list(ds, "split.fusion_holdout", true, holdout, &ds->fusion_holdout, err));
    FX_TRY_OUT(read_list(ds, "split.expert_pool", true, marks, &ds->expert_pool, err));
    FX_TRY_OUT(check_against(ds, "split.expert_pool", ds->expert_pool, holdout, false, err));
    FX_TRY_OUT(read_list(ds, "split.val", true, marks, &ds->val, err));
    FX_TRY_OUT(check_against(ds, "split.val", ds->val, holdout, true, err));
    status = read_experts(ds, holdout, marks, err);
out:
    free(holdout);
    return status;
}

/* ---- open and close ------------------------------------------------------------------------- */

static enum fx_status read_all(struct fx_dataset *ds, struct fx_err *err)
{
    FX_TRY(read_classes(ds, err));
    FX_TRY(read_channels(ds, err));
    FX_TRY(need_meta(ds, "digest", &ds->digest, err));
    FX_TRY(read_part(ds, "train", &ds->train, err));
    FX_TRY(read_part(ds, "test", &ds->test, err));
    return read_splits(ds, err);
}

/* What was read so far is in ds->file. */
static enum fx_status finish(struct fx_dataset *ds, enum fx_status status, struct fx_err *err)
{
    if (status == FX_OK)
        status = read_all(ds, err);
    if (status != FX_OK) {
        status = fx_kind_explain(FX_WANTED_DATASET, &ds->file.input, err);
        fx_dataset_close(ds);
    }
    return status;
}

enum fx_status fx_dataset_open(struct fx_dataset *ds, const char *path, struct fx_err *err)
{
    *ds = (struct fx_dataset){ 0 };
    return finish(ds, fx_tensor_file_read(&ds->file, path, err), err);
}

enum fx_status fx_dataset_take(struct fx_dataset *ds, struct fx_input *in, struct fx_err *err)
{
    *ds = (struct fx_dataset){ .file.input = *in };
    *in = (struct fx_input){ 0 };
    in = &ds->file.input;
    return finish(ds, fx_safetensors_parse(&ds->file.set, in->bytes, in->n_bytes, in->name, err),
                  err);
}

void fx_dataset_close(struct fx_dataset *ds)
{
    fx_tensor_file_close(&ds->file);
    *ds = (struct fx_dataset){ 0 };
}
