/* Writing a data set (see dataset_write.h). */
#include "data/dataset_write.h"

#include "base/hash.h"
#include "base/jsonl.h"
#include "tensor/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts a JSON array as a metadata string and lets go of the array. */
static enum fx_status put_json(struct fx_tensor_set *set, const char *key, json_t *array,
                               struct fx_err *err)
{
    /* Nine digits tell every f32 apart. */
    char *text = array ? fx_json_dump(array, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    enum fx_status status = text ? fx_tensor_set_put_meta(set, key, text, err)
                                 : fx_fail(err, FX_EFAIL, "%s: out of memory", key);

    free(text);
    json_decref(array);
    return status;
}

static json_t *names_json(char *const *names, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(array, fx_json_text(names[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static enum fx_status put_metadata(struct fx_tensor_set *set,
                                   const struct fx_dataset_content *content, struct fx_err *err)
{
    const double *mean = content->mean, *std = content->std;
    char classes[24];

    snprintf(classes, sizeof classes, "%zu", content->n_fine);
    FX_TRY(fx_tensor_set_put_meta(set, "classes", classes, err));
    FX_TRY(put_json(set, "fine_labels", names_json(content->fine_names, content->n_fine), err));
    FX_TRY(
        put_json(set, "coarse_labels", names_json(content->coarse_names, content->n_coarse), err));
    FX_TRY(put_json(set, "mean", json_pack("[fff]", mean[0], mean[1], mean[2]), err));
    FX_TRY(put_json(set, "std", json_pack("[fff]", std[0], std[1], std[2]), err));
    FX_TRY(fx_tensor_set_put_meta(set, "source", content->source, err));
    return fx_tensor_set_put_meta(set, "split", content->split, err);
}

static enum fx_status add_list(struct fx_tensor_set *set, const char *name,
                               struct fx_index_list list, struct fx_err *err)
{
    return fx_tensor_set_add(set, name, FX_I64, 1, &list.n, list.values, err);
}

static enum fx_status add_part(struct fx_tensor_set *set, const char *part,
                               const struct fx_image_set *images, struct fx_err *err)
{
    const int64_t shape[] = { images->n, 3, FX_IMAGE_SIDE, FX_IMAGE_SIDE };
    char name[32];

    snprintf(name, sizeof name, "%s.coarse", part);
    FX_TRY(fx_tensor_set_add(set, name, FX_U8, 1, shape, images->coarse, err));
    snprintf(name, sizeof name, "%s.fine", part);
    FX_TRY(fx_tensor_set_add(set, name, FX_U8, 1, shape, images->fine, err));
    snprintf(name, sizeof name, "%s.images", part);
    return fx_tensor_set_add(set, name, FX_U8, 4, shape, images->images, err);
}

/* In the order in which safetensors puts them into the file: dtype, then name. */
static enum fx_status add_tensors(struct fx_tensor_set *set,
                                  const struct fx_dataset_content *content, struct fx_err *err)
{
    const struct fx_splits *splits = content->splits;
    char name[32];

    for (int k = 0; k < splits->n_experts; k++) {
        snprintf(name, sizeof name, "split.expert.%d", k);
        FX_TRY(add_list(set, name, splits->expert[k], err));
    }
    FX_TRY(add_list(set, "split.expert_pool", splits->expert_pool, err));
    FX_TRY(add_list(set, "split.fusion_holdout", splits->fusion_holdout, err));
    FX_TRY(add_list(set, "split.val", splits->val, err));
    FX_TRY(add_part(set, "test", &content->test, err));
    return add_part(set, "train", &content->train, err);
}

static enum fx_status put_digest(struct fx_tensor_set *set, struct fx_err *err)
{
    struct fx_sha256 hash;
    char text[FX_SHA256_TEXT_BYTES];
    const char *mean = fx_tensor_set_meta(set, "mean"), *std = fx_tensor_set_meta(set, "std");

    fx_sha256_init(&hash);
    for (size_t i = 0; i < set->n_tensors; i++)
        fx_sha256_update(&hash, set->tensors[i].data, set->tensors[i].n_bytes);
    fx_sha256_update(&hash, mean, strlen(mean));
    fx_sha256_update(&hash, std, strlen(std));
    fx_sha256_text(&hash, text);
    return fx_tensor_set_put_meta(set, "digest", text, err);
}

enum fx_status fx_dataset_write(const struct fx_dataset_content *content, int fd, const char *name,
                                struct fx_err *err)
{
    struct fx_tensor_set set;
    enum fx_status status;

    fx_tensor_set_init(&set);
    FX_TRY_OUT(put_metadata(&set, content, err));
    FX_TRY_OUT(add_tensors(&set, content, err));
    FX_TRY_OUT(put_digest(&set, err));
    status = fx_safetensors_write(&set, fd, name, NULL, NULL, err);
out:
    fx_tensor_set_fini(&set);
    return status;
}
