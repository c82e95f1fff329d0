/* The python CIFAR layout: pickled dicts, read without executing anything.
 *
 *   CIFAR-100 batch: fine_labels, coarse_labels: lists of integers; data: uint8 array (n, 3072)
 *   CIFAR-10 batch:  labels, data
 *   meta: fine_label_names and coarse_label_names, or label_names: lists of text
 * Keys are Python 2 strings, or Python 3 str or bytes after a round trip; dicts are in any order;
 * filenames and batch_label may be missing. */
#include "archive/cifar_internal.h"
#include "archive/pickle_numpy_internal.h"
#include "archive/unpickle_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum fx_status get_list(const struct fx_pickle_value *dict, const char *key,
                               const struct fx_pickle_value **list, const char *where,
                               struct fx_err *err)
{
    const struct fx_pickle_value *value = fx_pickle_get(dict, key);
    char text[80];

    if (!value)
        return fx_fail(err, FX_EINPUT, "%s: has no %s", where, key);
    if (value->kind != FX_PICKLE_LIST && value->kind != FX_PICKLE_TUPLE)
        return fx_fail(err, FX_EINPUT, "%s: %s is %s, not a list", where, key,
                       fx_pickle_describe(value, text, sizeof text));
    *list = value;
    return FX_OK;
}

/* Label i of a list or a one-dimensional array; -1 when it is no integer. */
static int64_t label_at(const struct fx_pickle_value *labels, const struct fx_pickle_array *array,
                        size_t i)
{
    struct fx_pickle_array scalar;
    const struct fx_pickle_value *item;
    int64_t label = -1;

    if (array)
        return fx_pickle_array_integer(array, i);
    item = fx_pickle_at(labels, i);
    if (fx_pickle_is_array(item) && fx_pickle_array_view(item, &scalar, "", NULL) == FX_OK &&
        scalar.n_dims == 0 && scalar.kind != 'f')
        return fx_pickle_array_integer(&scalar, 0);
    return fx_pickle_integer(item, &label) ? label : -1;
}

/* Copies a dict's labels; there must be n of them, each a byte.  Whether they have names is seen
 * when all members are read. */
static enum fx_status copy_labels(const struct fx_pickle_value *dict, const char *key, size_t n,
                                  uint8_t *labels, const char *where, struct fx_err *err)
{
    const struct fx_pickle_value *value = fx_pickle_get(dict, key);
    struct fx_pickle_array array;
    bool is_array = fx_pickle_is_array(value);
    size_t n_labels;

    if (is_array) {
        FX_TRY(fx_pickle_array_view(value, &array, where, err));
        if (array.n_dims != 1 || array.kind == 'f')
            return fx_fail(err, FX_EINPUT, "%s: %s is not a list of integers", where, key);
        n_labels = array.n_items;
    } else {
        FX_TRY(get_list(dict, key, &value, where, err));
        n_labels = value->seq.n;
    }
    if (n_labels != n)
        return fx_fail(err, FX_EINPUT, "%s: %zu images but %zu %s", where, n, n_labels, key);
    for (size_t i = 0; i < n; i++) {
        int64_t label = label_at(value, is_array ? &array : NULL, i);
        if (label < 0 || label >= FX_CIFAR_NAMES_MAX)
            return fx_fail(err, FX_EINPUT, "%s: %s: image %zu has no label of 0..%d", where, key, i,
                           FX_CIFAR_NAMES_MAX - 1);
        labels[i] = (uint8_t)label;
    }
    return FX_OK;
}

static enum fx_status view_pixels(const struct fx_pickle_value *dict,
                                  struct fx_pickle_array *pixels, const char *where,
                                  struct fx_err *err)
{
    const struct fx_pickle_value *value = fx_pickle_get(dict, "data");
    char text[80];

    if (!value)
        return fx_fail(err, FX_EINPUT, "%s: has no data", where);
    if (!fx_pickle_is_array(value))
        return fx_fail(err, FX_EINPUT, "%s: data is %s, not a NumPy array", where,
                       fx_pickle_describe(value, text, sizeof text));
    FX_TRY(fx_pickle_array_view(value, pixels, where, err));
    if (pixels->kind != 'u' || pixels->item_bytes != 1 || pixels->n_dims != 2 ||
        pixels->shape[0] == 0 || pixels->shape[1] != FX_CIFAR_IMAGE_BYTES)
        return fx_fail(err, FX_EINPUT, "%s: data is not an array (n, %d) of uint8", where,
                       FX_CIFAR_IMAGE_BYTES);
    return FX_OK;
}

/* Everything but the pixels: labels, and the count of file names where they are given. */
static enum fx_status read_labels(const struct fx_pickle_value *dict, size_t n, bool has_coarse,
                                  struct fx_cifar_part *part, const char *where, struct fx_err *err)
{
    const struct fx_pickle_value *list;

    FX_TRY(fx_cifar_part_init(part, n, where, err));
    FX_TRY(copy_labels(dict, has_coarse ? "fine_labels" : "labels", n, part->fine, where, err));
    if (has_coarse)
        FX_TRY(copy_labels(dict, "coarse_labels", n, part->coarse, where, err));
    if (!fx_pickle_get(dict, "filenames"))
        return FX_OK;
    FX_TRY(get_list(dict, "filenames", &list, where, err));
    return list->seq.n == n
               ? FX_OK
               : fx_fail(err, FX_EINPUT, "%s: %zu images but %zu filenames", where, n, list->seq.n);
}

/* C order from Fortran order: pixel p of image i stands at p * n + i. */
static void transpose_pixels(const uint8_t *src, size_t n, uint8_t *images)
{
    enum { TILE = 64 };

    for (size_t from = 0; from < n; from += TILE)
        for (size_t p = 0; p < FX_CIFAR_IMAGE_BYTES; p++)
            for (size_t i = from; i < n && i < from + TILE; i++)
                images[i * FX_CIFAR_IMAGE_BYTES + p] = src[p * n + i];
}

/* Makes the part's images of the pixels.  The labels are copied, so the member's bytes may be
 * overwritten and become the images: there is no second copy of 150 MB, unless pixels in Fortran
 * order lie in those very bytes. */
static enum fx_status take_pixels(const struct fx_pickle_array *pixels, uint8_t **bytes,
                                  size_t n_bytes, struct fx_cifar_part *part, const char *where,
                                  struct fx_err *err)
{
    const struct fx_pickle_bytes data = pixels->data;
    bool is_inside =
        (uintptr_t)data.at >= (uintptr_t)*bytes && (uintptr_t)data.at < (uintptr_t)*bytes + n_bytes;
    bool is_adopted = n_bytes >= data.n && !(is_inside && pixels->is_fortran);
    uint8_t *images = is_adopted ? *bytes : malloc(data.n);

    if (!images)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", where);
    if (pixels->is_fortran)
        transpose_pixels(data.at, part->n, images);
    else
        memmove(images, data.at, data.n);
    if (is_adopted) {
        *bytes = NULL;
        uint8_t *shrunk = realloc(images, data.n);
        if (shrunk)
            images = shrunk;
    }
    part->images = images;
    return FX_OK;
}

static enum fx_status unpickle_dict(struct fx_pickle *pickle, const uint8_t *bytes, size_t n_bytes,
                                    const char *where, struct fx_err *err)
{
    char text[80];

    FX_TRY(fx_unpickle(pickle, bytes, n_bytes, NULL, where, err));
    if (pickle->root->kind == FX_PICKLE_DICT)
        return FX_OK;
    return fx_fail(err, FX_EINPUT, "%s: holds %s, not a dict", where,
                   fx_pickle_describe(pickle->root, text, sizeof text));
}

enum fx_status fx_cifar_python_batch(uint8_t **bytes, size_t n_bytes, bool has_coarse,
                                     struct fx_cifar_part *part, const char *where,
                                     struct fx_err *err)
{
    struct fx_pickle pickle;
    struct fx_pickle_array pixels;
    enum fx_status status;

    FX_TRY_OUT(unpickle_dict(&pickle, *bytes, n_bytes, where, err));
    FX_TRY_OUT(view_pixels(pickle.root, &pixels, where, err));
    FX_TRY_OUT(read_labels(pickle.root, (size_t)pixels.shape[0], has_coarse, part, where, err));
    status = take_pixels(&pixels, bytes, n_bytes, part, where, err);
out:
    fx_pickle_fini(&pickle);
    return status;
}

static enum fx_status copy_names(const struct fx_pickle_value *dict, const char *key,
                                 struct fx_cifar_names *names, const char *where,
                                 struct fx_err *err)
{
    const struct fx_pickle_value *list;

    FX_TRY(get_list(dict, key, &list, where, err));
    for (size_t i = 0; i < list->seq.n; i++) {
        const struct fx_pickle_value *item = list->seq.items[i];
        if (item->kind != FX_PICKLE_TEXT && item->kind != FX_PICKLE_BYTES)
            return fx_fail(err, FX_EINPUT, "%s: %s: name %zu is not text", where, key, i);
        FX_TRY(fx_cifar_names_add(names, item->bytes.at, item->bytes.n, where, err));
    }
    return FX_OK;
}

enum fx_status fx_cifar_python_names(const uint8_t *bytes, size_t n_bytes,
                                     struct fx_cifar_names *fine, struct fx_cifar_names *coarse,
                                     const char *where, struct fx_err *err)
{
    struct fx_pickle pickle;
    enum fx_status status;

    FX_TRY_OUT(unpickle_dict(&pickle, bytes, n_bytes, where, err));
    FX_TRY_OUT(
        copy_names(pickle.root, coarse ? "fine_label_names" : "label_names", fine, where, err));
    if (coarse)
        FX_TRY_OUT(copy_names(pickle.root, "coarse_label_names", coarse, where, err));
out:
    fx_pickle_fini(&pickle);
    return status;
}
