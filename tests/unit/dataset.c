/* Data sets: what is written is read back, its digest is the documented one, and every check of
 * fx_dataset_open has a file that breaks only it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "data/dataset_write.h"
#include "tensor/safetensors.h"

enum { N_TRAIN = 40, N_TEST = 3, N_CLASSES = 5 };

static char path[] = "/tmp/fx-dataset-XXXXXX";
static uint8_t images[N_TRAIN * FX_IMAGE_BYTES], labels[N_TRAIN], zeros[N_TRAIN];

static int make_inputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 13);
    for (size_t i = 0; i < N_TRAIN; i++)
        labels[i] = (uint8_t)(i % N_CLASSES);
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_good(void)
{
    static char names[N_CLASSES][8] = { "ant", "bee \"b\"", "c\xc3\xa9", "dog", "emu" };
    static char *const fine[] = { names[0], names[1], names[2], names[3], names[4] };
    struct fx_splits splits;
    struct fx_output out;
    struct fx_err err = { 0 };
    struct fx_split_config config = { .seed = 42, .holdout_fraction = 0.2, .val_fraction = 0.25 };

    assert_int_equal(fx_splits_draw(&splits, &config, N_TRAIN, &err), FX_OK);
    struct fx_dataset_content content = {
        .train = { images, labels, zeros, N_TRAIN },
        .test = { images, labels, zeros, N_TEST },
        .fine_names = fine,
        .coarse_names = fine,
        .n_fine = N_CLASSES,
        .n_coarse = 1,
        .mean = { 0.5071, 0.4865, 0.4409 },
        .std = { 0.2673, 0.2564, 0.2762 },
        .splits = &splits,
        .source = "test",
        .split = "by hand",
    };
    assert_int_equal(fx_output_open(&out, path, true, &err), FX_OK);
    assert_int_equal(fx_dataset_write(&content, out.fd, path, &err), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    fx_splits_free(&splits);
}

static void test_written_is_read(void **state)
{
    struct fx_dataset ds;
    struct fx_err err = { 0 };

    (void)state;
    write_good();
    assert_int_equal(fx_dataset_open(&ds, path, &err), FX_OK);
    assert_int_equal(ds.train.n, N_TRAIN);
    assert_int_equal(ds.test.n, N_TEST);
    assert_memory_equal(ds.train.images, images, sizeof images);
    assert_memory_equal(ds.train.fine, labels, N_TRAIN);
    assert_memory_equal(ds.test.coarse, zeros, N_TEST);
    assert_int_equal(ds.n_classes, N_CLASSES);
    assert_true(ds.mean[0] == 0.5071f && ds.mean[2] == 0.4409f && ds.std[1] == 0.2564f);
    assert_int_equal(ds.fusion_holdout.n, 8);
    assert_int_equal(ds.expert_pool.n, 32);
    assert_int_equal(ds.val.n, 2);
    assert_int_equal(ds.n_experts, FX_SHARE_EXPERTS);
    for (int k = 0; k < ds.n_experts; k++) {
        assert_int_equal(ds.expert[k].n, 12 + 4);
        for (int64_t i = 1; i < ds.expert[k].n; i++)
            assert_true(ds.expert[k].values[i - 1] < ds.expert[k].values[i]);
    }
    assert_string_equal(fx_tensor_set_meta(&ds.file.set, "fine_labels"),
                        "[\"ant\",\"bee \\\"b\\\"\",\"c\xc3\xa9\",\"dog\",\"emu\"]");
    fx_dataset_close(&ds);
}

/* Labels are indices: those that were checked stay, whatever becomes of the file. */
static void test_labels_stay_when_the_file_changes(void **state)
{
    struct fx_dataset ds;
    struct fx_err err = { 0 };
    uint8_t beyond[N_TRAIN];

    (void)state;
    write_good();
    memset(beyond, 255, sizeof beyond);
    assert_int_equal(fx_dataset_open(&ds, path, &err), FX_OK);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    for (int kind = 0; kind < 2; kind++) {
        const char *name = kind == 0 ? "train.fine" : "train.coarse";
        const uint8_t *mapped = fx_tensor_set_find(&ds.file.set, name)->data;
        assert_int_equal(fseek(file, mapped - ds.file.input.bytes, SEEK_SET), 0);
        assert_int_equal(fwrite(beyond, 1, sizeof beyond, file), sizeof beyond);
        assert_int_equal(fflush(file), 0);
        assert_memory_equal(mapped, beyond, sizeof beyond); /* so it does change */
    }
    fclose(file);
    assert_memory_equal(ds.train.fine, labels, N_TRAIN);
    assert_memory_equal(ds.train.coarse, zeros, N_TRAIN);
    fx_dataset_close(&ds);
}

/* SHA-256 of the bytes after the header, then of the strings mean and std. */
static void test_digest(void **state)
{
    struct fx_dataset ds;
    struct fx_sha256 hash;
    struct fx_err err = { 0 };
    char text[FX_SHA256_TEXT_BYTES];
    uint64_t n_header;

    (void)state;
    write_good();
    assert_int_equal(fx_dataset_open(&ds, path, &err), FX_OK);
    memcpy(&n_header, ds.file.input.bytes, sizeof n_header);
    fx_sha256_init(&hash);
    fx_sha256_update(&hash, ds.file.input.bytes + 8 + n_header,
                     ds.file.input.n_bytes - 8 - n_header);
    fx_sha256_update(&hash, "[0.5071,0.4865,0.4409]", 22);
    fx_sha256_update(&hash, "[0.2673,0.2564,0.2762]", 22);
    fx_sha256_text(&hash, text);
    assert_string_equal(ds.digest, text);
    fx_dataset_close(&ds);
}

/* ---- what is refused ------------------------------------------------------------------------- */

/* Writes the good data set with one tensor replaced (or left out: dtype FX_N_DTYPES) or one
 * metadata value replaced (or left out: NULL), and wants this message after the file's name. */
struct change {
    const char *name;
    enum fx_dtype dtype;
    int n_dims;
    int64_t shape[4];
    const void *data;
    const char *value;
    const char *why;
};

static enum fx_status copy_changed(const struct fx_dataset *ds, const struct change *change,
                                   struct fx_tensor_set *set, struct fx_err *err)
{
    for (size_t i = 0; i < ds->file.set.n_tensors; i++) {
        const struct fx_tensor *t = &ds->file.set.tensors[i];
        if (strcmp(t->name, change->name) != 0)
            FX_TRY(fx_tensor_set_add(set, t->name, t->dtype, t->n_dims, t->shape, t->data, err));
        else if (change->dtype != FX_N_DTYPES)
            FX_TRY(fx_tensor_set_add(set, t->name, change->dtype, change->n_dims, change->shape,
                                     change->data, err));
    }
    for (size_t i = 0; i < ds->file.set.n_meta; i++) {
        const struct fx_meta *m = &ds->file.set.meta[i];
        if (strcmp(m->key, change->name) != 0)
            FX_TRY(fx_tensor_set_put_meta(set, m->key, m->value, err));
        else if (change->value != NULL)
            FX_TRY(fx_tensor_set_put_meta(set, m->key, change->value, err));
    }
    return FX_OK;
}

static void refuse(struct change change)
{
    struct fx_dataset ds;
    struct fx_tensor_set set;
    struct fx_output out;
    struct fx_err err = { 0 };
    char wanted[512];

    write_good();
    assert_int_equal(fx_dataset_open(&ds, path, &err), FX_OK);
    fx_tensor_set_init(&set);
    assert_int_equal(copy_changed(&ds, &change, &set, &err), FX_OK);
    assert_int_equal(fx_output_open(&out, path, true, &err), FX_OK);
    assert_int_equal(fx_safetensors_write(&set, out.fd, path, NULL, NULL, &err), FX_OK);
    assert_int_equal(fx_output_commit(&out, &err), FX_OK);
    fx_tensor_set_fini(&set);
    fx_dataset_close(&ds);

    assert_int_equal(fx_dataset_open(&ds, path, &err), FX_EINPUT);
    snprintf(wanted, sizeof wanted, "%s: %s", path, change.why);
    assert_string_equal(err.msg, wanted);
}

static void test_bad_metadata(void **state)
{
    static const char *const keys[] = { "classes", "mean", "std", "digest" };
    char why[64];

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(why, sizeof why, "not a data set: no metadata '%s'", keys[i]);
        refuse((struct change){ .name = keys[i], .why = why });
    }
    refuse((struct change){
        .name = "classes", .value = "0", .why = "metadata 'classes': 0: must be 1..256" });
    refuse((struct change){
        .name = "classes", .value = "5x", .why = "metadata 'classes': 5x: must be 1..256" });
    refuse((struct change){ .name = "mean",
                            .value = "[0.5,0.5]",
                            .why = "metadata 'mean': [0.5,0.5]: not three sensible numbers" });
    refuse((struct change){ .name = "mean",
                            .value = "0.5",
                            .why = "metadata 'mean': 0.5: not three sensible numbers" });
    refuse((struct change){ .name = "std",
                            .value = "[0.5,0,0.5]",
                            .why = "metadata 'std': [0.5,0,0.5]: not three sensible numbers" });
    refuse((struct change){ .name = "std",
                            .value = "[1,1,1e300]",
                            .why = "metadata 'std': [1,1,1e300]: not three sensible numbers" });
}

static void test_bad_parts(void **state)
{
    static const uint8_t high[N_TRAIN] = { [7] = N_CLASSES };

    (void)state;
    refuse((struct change){ .name = "train.images",
                            .dtype = FX_N_DTYPES,
                            .why = "not a data set: no tensor 'train.images'" });
    refuse((struct change){ .name = "test.fine",
                            .dtype = FX_N_DTYPES,
                            .why = "not a data set: no tensor 'test.fine'" });
    refuse((struct change){ .name = "test.images",
                            .dtype = FX_I8,
                            .n_dims = 4,
                            .shape = { N_TEST, 3, 32, 32 },
                            .data = images,
                            .why = "test.images: is I8, not U8" });
    refuse((struct change){
        .name = "test.images",
        .dtype = FX_U8,
        .n_dims = 4,
        .shape = { N_TEST, 32, 32, 3 },
        .data = images,
        .why = "test.images: has shape (3, 32, 32, 3), not (n, 3, 32, 32) with n > 0" });
    refuse((struct change){
        .name = "test.images",
        .dtype = FX_U8,
        .n_dims = 4,
        .shape = { 0, 3, 32, 32 },
        .data = images,
        .why = "test.images: has shape (0, 3, 32, 32), not (n, 3, 32, 32) with n > 0" });
    refuse((struct change){ .name = "train.coarse",
                            .dtype = FX_U8,
                            .n_dims = 1,
                            .shape = { N_TRAIN - 1 },
                            .data = zeros,
                            .why = "train.coarse: has shape (39,), not one label for each image" });
    refuse((struct change){ .name = "train.fine",
                            .dtype = FX_U8,
                            .n_dims = 1,
                            .shape = { N_TRAIN },
                            .data = high,
                            .why = "train.fine: label 5 of image 7: there are 5 classes" });
}

static void refuse_list(const char *name, int64_t n, const int64_t *values, const char *why)
{
    refuse((struct change){
        .name = name, .dtype = FX_I64, .n_dims = 1, .shape = { n }, .data = values, .why = why });
}

static void test_bad_splits(void **state)
{
    static const int64_t high[] = { 3, N_TRAIN }, low[] = { -1 }, twice[] = { 4, 4 };
    static const int64_t down[] = { 5, 4 }, everything[N_TRAIN + 1] = { 0 };
    struct fx_dataset ds;
    struct fx_err err = { 0 };
    char why[128];

    (void)state;
    write_good();
    assert_int_equal(fx_dataset_open(&ds, path, &err), FX_OK);
    const int64_t held = ds.fusion_holdout.values[0], pooled = ds.expert_pool.values[0];
    fx_dataset_close(&ds);

    refuse((struct change){ .name = "split.val",
                            .dtype = FX_N_DTYPES,
                            .why = "not a data set: no tensor 'split.val'" });
    refuse((struct change){ .name = "split.val",
                            .dtype = FX_U8,
                            .n_dims = 1,
                            .shape = { 1 },
                            .data = zeros,
                            .why = "split.val: is U8, not I64" });
    refuse_list("split.fusion_holdout", 2, high,
                "split.fusion_holdout: image 40 at position 1: the training images are 0..39");
    refuse_list("split.expert.2", 1, low,
                "split.expert.2: image -1 at position 0: the training images are 0..39");
    refuse_list("split.expert_pool", 2, twice,
                "split.expert_pool: image 4 at position 1: stands there twice");
    refuse_list("split.fusion_holdout", 2, down,
                "split.fusion_holdout: image 4 at position 1: not in ascending order");
    refuse_list("split.val", N_TRAIN + 1, everything,
                "split.val: has shape (41,), not a list of training images");
    snprintf(why, sizeof why, "split.val: image %d is not in the fusion holdout", (int)pooled);
    refuse_list("split.val", 1, &pooled, why);
    snprintf(why, sizeof why, "split.expert_pool: image %d is in the fusion holdout", (int)held);
    refuse_list("split.expert_pool", 1, &held, why);
    snprintf(why, sizeof why, "split.expert.3: image %d is in the fusion holdout", (int)held);
    refuse_list("split.expert.3", 1, &held, why);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_is_read),
        cmocka_unit_test(test_labels_stay_when_the_file_changes),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_bad_metadata),
        cmocka_unit_test(test_bad_parts),
        cmocka_unit_test(test_bad_splits),
    };
    return cmocka_run_group_tests(tests, make_inputs, remove_file);
}
