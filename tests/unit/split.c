/* Splits: digests of what numpy 1.24.2 draws by the rule of split.h, a small case in full, and a
 * user's own holdout, right and wrong.
 * The first two digests are those of the original's fusion_holdout_indices.npy and
 * expert_train_indices.npy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/hash.h"
#include "data/split.h"

static struct fx_splits draw(struct fx_split_config config, int64_t n)
{
    struct fx_splits splits;
    struct fx_err err = { 0 };

    assert_int_equal(fx_splits_draw(&splits, &config, n, &err), FX_OK);
    return splits;
}

static void assert_digest(const struct fx_index_list *lists, int n_lists, const char *wanted)
{
    struct fx_sha256 hash;
    char text[FX_SHA256_TEXT_BYTES];

    fx_sha256_init(&hash);
    for (int i = 0; i < n_lists; i++)
        fx_sha256_update(&hash, lists[i].values, (size_t)lists[i].n * sizeof(int64_t));
    fx_sha256_text(&hash, text);
    assert_string_equal(text, wanted);
}

static void assert_list(struct fx_index_list list, int64_t n, const int64_t *wanted)
{
    assert_int_equal(list.n, n);
    assert_memory_equal(list.values, wanted, (size_t)n * sizeof *wanted);
}

static void test_equal_to_numpy(void **state)
{
    static const struct {
        int64_t n;
        uint64_t seed;
        double holdout, val;
        const char *digests[4]; /* holdout, pool, val, the four shares */
    } cases[] = {
        { 50000,
          42,
          0.2,
          0.1,
          { "10def615983911cbaa0704e134a89af905b992b97b798ddd1506e6ffc43d14fe",
            "6d6fb7e3c3340e1336636490648edd922567488f521bcc358b10f0304b0ea791",
            "cc2cae71b592e10a17fefebf34c98a7235f58d41d8699852a2f672b9433cec78",
            "7728b365107f456c84f82d15413e1927a6382a72684a84ab2c2a142562bdbdbf" } },
        { 50000,
          7,
          0.2,
          0.1,
          { "d8bbf7763217d3e51f5a1945ceae823e4edd093b94993cd059a82b6a5b4fcec4",
            "e6254c4788614884b75702e9bb8ef089f5a9a21671c7af8b3f8f536729449517",
            "6a061e9aa879610aff92af910ce916544c4f2a05d42c581ed2d7ed11144f6443",
            "33c8ff24a19caf95efbca6ff2ad8441a2ad8599c0281946f0635e0fd064980f9" } },
        { 201,
          42,
          0.2,
          0.1,
          { "d56f2eb46bae9774fc40f7de2b4b04b3cac2af0bd87f9f7d2c866492bf589c53",
            "4885f454a3223ec32acb13a535e3a75c5d2e6634cc96f47eb28586607a94540b",
            "78c5c0ae02baff44c0537aa651f673c2fdc89e3d3f6f0a86b46512ebdf8109f4",
            "5919fa5bc393db844e9c719c61989c88efd432ca8e32851d18999ec790a55b65" } },
        { 1000,
          UINT64_C(1) << 40,
          0.35,
          0.25,
          { "94d3b3819eb3c0a355c1cbf4c561ecef93ddb68f641952d1f9bd3732c5f61ec6",
            "5131354dab6bf8a3ec5cfe54ffca7fb9160b1ceb9d56074a3dd1d0389da3b42a",
            "628cdecfa4639b9e473290ae1826610d7c5901f5b763cead5f69704de01521c0",
            "a2cbf98eebeae37f4f339a974d62f199b37ae859e0327439c90e3d01513669e9" } },
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct fx_splits splits =
            draw((struct fx_split_config){ .seed = cases[c].seed,
                                           .holdout_fraction = cases[c].holdout,
                                           .val_fraction = cases[c].val },
                 cases[c].n);
        assert_digest(&splits.fusion_holdout, 1, cases[c].digests[0]);
        assert_digest(&splits.expert_pool, 1, cases[c].digests[1]);
        assert_digest(&splits.val, 1, cases[c].digests[2]);
        assert_digest(splits.expert, FX_SHARE_EXPERTS, cases[c].digests[3]);
        fx_splits_free(&splits);
    }
}

static void test_twenty_images(void **state)
{
    static const int64_t holdout[] = { 7, 9, 14, 15 }, val[] = { 14, 15 };
    static const int64_t pool[] = { 0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 16, 17, 18, 19 };
    static const int64_t shares[FX_SHARE_EXPERTS][8] = { { 6, 19, 13, 12, 11, 3, 0, 8 },
                                                         { 6, 19, 13, 12, 11, 3, 16, 5 },
                                                         { 6, 19, 13, 12, 11, 3, 2, 4 },
                                                         { 6, 19, 13, 12, 11, 3, 18, 1 } };
    struct fx_splits splits = draw(
        (struct fx_split_config){ .seed = 42, .holdout_fraction = 0.2, .val_fraction = 0.5 }, 20);

    (void)state;
    assert_list(splits.fusion_holdout, 4, holdout);
    assert_list(splits.expert_pool, 16, pool);
    assert_list(splits.val, 2, val);
    for (int k = 0; k < FX_SHARE_EXPERTS; k++)
        assert_list(splits.expert[k], 8, shares[k]);
    fx_splits_free(&splits);
}

static void test_own_holdout(void **state)
{
    static const int64_t given[] = { 4, 0, 2 }, sorted[] = { 0, 2, 4 }, pool[] = { 1, 3 };
    struct fx_split_config config = {
        .seed = 42, .val_fraction = 0.1, .holdout = given, .n_holdout = 3, .holdout_name = "own.npy"
    };
    struct fx_splits splits = draw(config, 5);

    (void)state;
    assert_list(splits.fusion_holdout, 3, sorted);
    assert_list(splits.expert_pool, 2, pool);
    assert_int_equal(splits.val.n, 1); /* at least one image */
    fx_splits_free(&splits);

    config.val_fraction = 0;
    splits = draw(config, 5);
    assert_int_equal(splits.val.n, 0);
    fx_splits_free(&splits);
}

static void test_holdout_of_everything(void **state)
{
    static const int64_t given[] = { 1, 0 };
    struct fx_splits splits = draw(
        (struct fx_split_config){ .holdout = given, .n_holdout = 2, .holdout_name = "all.npy" }, 2);

    (void)state;
    assert_int_equal(splits.fusion_holdout.n, 2);
    assert_int_equal(splits.expert_pool.n, 0);
    for (int k = 0; k < FX_SHARE_EXPERTS; k++)
        assert_int_equal(splits.expert[k].n, 0);
    fx_splits_free(&splits);

    splits = draw((struct fx_split_config){ .holdout_fraction = 1, .val_fraction = 0.1 }, 50);
    assert_int_equal(splits.fusion_holdout.n, 50);
    assert_int_equal(splits.expert_pool.n, 0);
    assert_int_equal(splits.val.n, 5);
    fx_splits_free(&splits);
}

static void test_one_image(void **state)
{
    struct fx_splits splits =
        draw((struct fx_split_config){ .holdout_fraction = 1, .val_fraction = 0.5 }, 1);

    (void)state;
    assert_int_equal(splits.fusion_holdout.n, 1);
    assert_int_equal(splits.val.n, 0); /* never the whole holdout */
    fx_splits_free(&splits);
}

static void refuse(struct fx_split_config config, int64_t n, enum fx_status status,
                   const char *message)
{
    struct fx_splits splits;
    struct fx_err err = { 0 };

    assert_int_equal(fx_splits_draw(&splits, &config, n, &err), status);
    assert_string_equal(err.msg, message);
    assert_null(splits.storage);
}

static void test_refused(void **state)
{
    static const int64_t twice[] = { 3, 1, 3 }, above[] = { 1, 5 }, below[] = { -1 };
    struct fx_split_config own = { .holdout = twice, .n_holdout = 3, .holdout_name = "own.npy" };

    (void)state;
    refuse(own, 5, FX_EINPUT, "own.npy: index 3 at position 2: stands there twice");
    own.holdout = above;
    own.n_holdout = 2;
    refuse(own, 5, FX_EINPUT, "own.npy: index 5 at position 1: the training images are 0..4");
    own.holdout = below;
    own.n_holdout = 1;
    refuse(own, 5, FX_EINPUT, "own.npy: index -1 at position 0: the training images are 0..4");
    own.n_holdout = 0;
    refuse(own, 5, FX_EINPUT, "own.npy: holds no index");
    refuse((struct fx_split_config){ .holdout_fraction = 0.2 }, 4, FX_EUSAGE,
           "--holdout-fraction 0.2 of 4 images is no image");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_numpy), cmocka_unit_test(test_twenty_images),
        cmocka_unit_test(test_own_holdout),    cmocka_unit_test(test_holdout_of_everything),
        cmocka_unit_test(test_one_image),      cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
