/* Recipes against the table of the original: base rates, adaptive factors in their order, and what
 * is given on the command line staying as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "config/recipe.h"
#include "net/fusion.h"

static struct fx_settings resolve(const char *fusion, const char *arch, int width,
                                  const struct fx_given *given, struct fx_settings start)
{
    start.fusion = fx_word_find(FX_FUSIONS, fusion);
    start.arch = arch;
    fx_recipe_fusion(&start, given, width);
    return start;
}

static struct fx_settings initial(void)
{
    struct fx_settings settings;

    fx_settings_init(&settings, "fusion-train", FX_OF_FUSION);
    return settings;
}

static struct fx_settings defaults(const char *fusion, int width)
{
    const struct fx_given none = { 0 };

    return resolve(fusion, "resnet18", width, &none, initial());
}

static void assert_rates(const struct fx_settings *s, double experts, double fusion, double head)
{
    double lr[FX_N_GROUPS];

    fx_settings_rates(s, lr);
    if (fabs(lr[FX_GROUP_EXPERTS] - experts) > 1e-12 * experts ||
        fabs(lr[FX_GROUP_FUSION] - fusion) > 1e-12 * fusion ||
        fabs(lr[FX_GROUP_HEAD] - head) > 1e-12 * head)
        fail_msg("%s: rates %g %g %g, expected %g %g %g", fx_fusions[s->fusion].name, lr[0], lr[1],
                 lr[2], experts, fusion, head);
}

static void test_mission_of_each_fusion(void **state)
{
    static const struct {
        const char *fusion;
        double experts, rate, decay, smoothing, mixup;
        enum fx_augment_policy augment;
    } rows[] = {
        { "multiplicative", 1e-5, 5e-4, 1e-4, 0.1, 0.2, FX_AUGMENT_BASELINE },
        { "multiplicativeAddition", 1e-5, 1e-3, 1e-4, 0.08, 0.3, FX_AUGMENT_STRONG },
        { "TransformerBase", 5e-6, 2e-4, 5e-4, 0.05, 0.2, FX_AUGMENT_SOTA },
        { "concatenation", 1e-5, 1e-3, 1e-4, 0.08, 0.3, FX_AUGMENT_STRONG },
        { "simpleAddition", 1e-5, 1e-3, 1e-4, 0.1, 0.2, FX_AUGMENT_BASELINE },
        { "multiplicativeShifted", 1e-5, 1e-3, 1e-4, 0.1, 0.2, FX_AUGMENT_BASELINE },
        { "gated", 1e-5, 1e-3, 1e-4, 0.1, 0.2, FX_AUGMENT_BASELINE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fx_settings s = defaults(rows[i].fusion, 500);
        assert_rates(&s, rows[i].experts, rows[i].rate, rows[i].rate);
        assert_true(s.weight_decay == rows[i].decay && s.label_smoothing == rows[i].smoothing);
        assert_true(s.mixup_alpha == rows[i].mixup && s.cutmix_alpha == 1);
        assert_int_equal(s.augment, rows[i].augment);
        assert_int_equal(s.mix, FX_MIX_CUTMIX);
        assert_int_equal(s.schedule, FX_SCHEDULE_COSINE);
        assert_int_equal(s.val, FX_VAL_HOLDOUT);
        assert_true(s.epochs == 100 && s.batch == 128 && s.lr_floor == 0.1);
    }
}

/* The widths of the four networks and of small ones, with the factors worked out by hand. */
static void test_adaptive_rates(void **state)
{
    static const struct {
        const char *fusion;
        int width;
        double experts, fusion_rate, head;
    } rows[] = {
        { "multiplicative", 1024, 1e-5 * 0.7, 5e-4, 5e-4 * 0.8 },
        { "multiplicativeAddition", 512, 1e-5, 1e-3, 1e-3 },
        { "TransformerBase", 640, 5e-6 * 0.8, 2e-4, 2e-4 },
        { "TransformerBase", 1024, 5e-6 * 0.7 * 0.8, 2e-4, 2e-4 * 0.8 },
        { "TransformerBase", 512, 5e-6 * 0.8, 2e-4, 2e-4 },
        { "concatenation", 1024, 1e-5 * 0.7, 1e-3, 1e-3 * 0.8 },
        { "concatenation", 1000, 1e-5, 1e-3, 1e-3 },
        { "multiplicative", 64, 1e-5 * 1.3 * 1.1, 5e-4, 5e-4 * 1.2 },
        { "multiplicative", 100, 1e-5 * 1.1, 5e-4, 5e-4 },
        { "TransformerBase", 64, 5e-6 * 1.3, 2e-4, 2e-4 * 1.2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fx_settings s = defaults(rows[i].fusion, rows[i].width);
        assert_rates(&s, rows[i].experts, rows[i].fusion_rate, rows[i].head);
    }
}

static void test_reported_is_the_same_for_all(void **state)
{
    const struct fx_given none = { 0 };
    struct fx_settings reported = initial();

    (void)state;
    reported.recipe = FX_RECIPE_REPORTED;
    for (int width = 64; width <= 1024; width *= 4) {
        struct fx_settings s = resolve("TransformerBase", "resnet18", width, &none, reported);
        assert_rates(&s, 1e-5, 1e-3, 1e-3);
        assert_true(s.weight_decay == 1e-4 && s.label_smoothing == 0.1 && s.cutmix_alpha == 1);
        assert_int_equal(s.augment, FX_AUGMENT_LIGHT);
        assert_int_equal(s.schedule, FX_SCHEDULE_CONSTANT);
        assert_int_equal(s.val, FX_VAL_TEST);
    }
}

static void test_ensemble(void **state)
{
    const struct fx_given none = { 0 }, holdout = { { [FX_SET_train] = true } };
    const struct fx_given head = {
        { [FX_SET_fused] = true, [FX_SET_norms] = true, [FX_SET_kd] = true, [FX_SET_choose] = true }
    };
    struct fx_settings ensemble = initial();

    (void)state;
    ensemble.recipe = FX_RECIPE_ENSEMBLE;
    struct fx_settings s = resolve("multiplicative", "resnet18", 64, &none, ensemble);
    assert_rates(&s, 1e-3, 3e-4, 3e-4);
    assert_true(s.weight_decay == 1e-4 && s.label_smoothing == 0.1 && s.lr_floor == 0.1);
    assert_true(s.kd == 0.5 && s.kd_temperature == 2 && s.kd_experts == 0 && s.epochs == 20);
    assert_true(s.fused == FX_FUSED_RESIDUAL && s.norms == FX_NORMS_SLOTS);
    assert_true(s.train == FX_TRAIN_ALL && s.choose == FX_CHOOSE_LAST && !s.sgd);
    assert_true(s.augment == FX_AUGMENT_BASIC && s.mix == FX_MIX_NONE);
    assert_int_equal(s.schedule, FX_SCHEDULE_COSINE);
    assert_int_equal(s.val, FX_VAL_HOLDOUT);
    s = resolve("concatenation", "resnet18", 1024, &holdout, ensemble);
    assert_rates(&s, 3e-4, 3e-4, 3e-4);
    assert_true(s.train == FX_TRAIN_HOLDOUT && s.norms == FX_NORMS_ONES);
    s = resolve("multiplicativeShifted", "resnet18", 512, &head, ensemble);
    assert_true(s.fused == FX_FUSED_HEAD && s.norms == FX_NORMS_ONES && s.kd == 0);
    assert_true(s.choose == FX_CHOOSE_ACCURACY);
}

static void test_given_rates_are_final(void **state)
{
    const struct fx_given given = { { [FX_SET_lr_experts] = true, [FX_SET_lr_fusion] = true } };
    const struct fx_given scaled = {
        { [FX_SET_lr_experts] = true, [FX_SET_experts_lr_scale] = true }
    };
    const struct fx_given scale = { { [FX_SET_experts_lr_scale] = true } };
    const struct fx_settings both = { .lr_experts = 2e-3, .experts_lr_scale = 0.5 };
    const struct fx_given with_head = { { [FX_SET_lr_fusion] = true, [FX_SET_lr_head] = true } };
    const struct fx_settings chosen = { .lr_experts = 2e-3, .lr_fusion = 3e-3, .lr_head = 4e-3 };

    (void)state;
    struct fx_settings s = resolve("multiplicative", "resnet18", 1024, &given, chosen);
    assert_rates(&s, 2e-3, 3e-3, 3e-3);
    s = resolve("multiplicative", "resnet18", 1024, &scaled, both);
    assert_rates(&s, 1e-3, 5e-4, 4e-4);
    s = resolve("multiplicative", "resnet18", 500, &scale, both);
    assert_rates(&s, 5e-5, 5e-4, 5e-4);
    s = resolve("multiplicative", "resnet18", 1024, &with_head, chosen);
    assert_rates(&s, 7e-6, 3e-3, 4e-3);
}

static void test_given_values_stay(void **state)
{
    struct fx_given given;
    const struct fx_settings chosen = { .recipe = FX_RECIPE_REPORTED,
                                        .epochs = 3,
                                        .batch = 5,
                                        .val = FX_VAL_HOLDOUT,
                                        .augment = FX_AUGMENT_NONE,
                                        .mix = FX_MIX_NONE,
                                        .schedule = FX_SCHEDULE_RESTARTS,
                                        .weight_decay = 7,
                                        .label_smoothing = 0.5,
                                        .steps = 9,
                                        .initial = true };

    (void)state;
    for (int i = 0; i < FX_N_SETTINGS; i++)
        given.of[i] = true;
    struct fx_settings s = resolve("concatenation", "densenet121", 1024, &given, chosen);
    assert_true(s.epochs == 3 && s.batch == 5 && s.weight_decay == 7 && s.label_smoothing == 0.5);
    assert_int_equal(s.val, FX_VAL_HOLDOUT);
    assert_int_equal(s.augment, FX_AUGMENT_NONE);
    assert_int_equal(s.mix, FX_MIX_NONE);
    assert_int_equal(s.schedule, FX_SCHEDULE_RESTARTS);
    assert_true(s.initial);
}

static void test_batch_of_densenet(void **state)
{
    const struct fx_given none = { 0 };
    const struct fx_settings start = initial();

    (void)state;
    assert_int_equal(resolve("concatenation", "densenet121", 1024, &none, start).batch, 64);
    assert_int_equal(
        resolve("concatenation", "resnet18;densenet121:growth=8", 9, &none, start).batch, 64);
    assert_int_equal(resolve("concatenation", "resnet18", 512, &none, start).batch, 128);
}

static void test_unknown_architecture(void **state)
{
    const struct fx_given none = { 0 };
    struct fx_settings s = { .arch = "resnet1" };
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(fx_recipe_expert(&s, &none, &err), FX_EUSAGE);
}

static void test_experts(void **state)
{
    static const struct {
        const char *arch;
        double decay, dropout, smoothing;
        enum fx_augment_policy augment;
        int batch;
    } rows[] = {
        { "densenet121", 1e-4, 0.2, 0.05, FX_AUGMENT_LIGHT, 64 },
        { "resnet18:width=16", 1e-4, 0, 0.1, FX_AUGMENT_BASELINE, 128 },
        { "improved_wideresnet28_10", 5e-4, 0.3, 0.05, FX_AUGMENT_STRONG, 128 },
        { "preact_resnext29_8x64d:width=8", 5e-4, 0.3, 0.05, FX_AUGMENT_SOTA, 128 },
        { "preact_resnet18", 1e-4, 0, 0.1, FX_AUGMENT_BASELINE, 128 },
    };
    const struct fx_given none = { 0 };
    struct fx_err err = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fx_settings s = { .arch = rows[i].arch };
        assert_int_equal(fx_recipe_expert(&s, &none, &err), FX_OK);
        assert_true(s.lr_experts * s.experts_lr_scale == 0.1 && s.lr_floor == 0 && s.sgd);
        assert_true(s.weight_decay == rows[i].decay && s.expert_dropout == rows[i].dropout);
        assert_true(s.label_smoothing == rows[i].smoothing && s.batch == rows[i].batch);
        assert_int_equal(s.augment, rows[i].augment);
        assert_true(s.epochs == 250 && s.patience == 30 && s.patience_above == 75);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mission_of_each_fusion),
        cmocka_unit_test(test_adaptive_rates),
        cmocka_unit_test(test_reported_is_the_same_for_all),
        cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_given_rates_are_final),
        cmocka_unit_test(test_given_values_stay),
        cmocka_unit_test(test_batch_of_densenet),
        cmocka_unit_test(test_unknown_architecture),
        cmocka_unit_test(test_experts),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
