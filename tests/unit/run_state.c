/* The state and settings of a run as JSON: exact both ways, checked on the way in, compared by
 * name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "net/fusion.h"
#include "run/state.h"

static struct fx_state some_state(void)
{
    return (struct fx_state){
        .epoch = 3,
        .batch = 17,
        .step = 159,
        .epochs_done = 2,
        .val_accuracy = 100.0 / 3,
        .sums = { .n_images = 2176,
                  .total = 1e300,
                  .fused = 0.1 + 0.2,
                  .individual = DBL_MIN,
                  .correct = 1234.5678901234567 },
        .best = { .epoch = 2, .step = 142, .accuracy = 12.345678901234567, .crc = 0xfedcba98 },
        .history_lines = 165,
    };
}

static void test_state_survives_exactly(void **state)
{
    struct fx_state before = some_state(), after;
    struct fx_err err = { 0 };
    json_t *object = fx_state_json(&before);
    char *text = json_dumps(object, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);

    (void)state;
    assert_int_equal(fx_state_parse(&after, read, &err), FX_OK);
    assert_memory_equal(&before, &after, sizeof before);
    json_decref(object);
    json_decref(read);
    free(text);
}

/* Every member is needed, none may be negative, whatever its type was. */
static void test_state_refuses(void **state)
{
    struct fx_state before = some_state(), after;
    json_t *whole = fx_state_json(&before), *value;
    const char *key;

    (void)state;
    json_object_foreach(whole, key, value)
    {
        struct fx_err err = { 0 };
        json_t *object = json_copy(whole);
        json_object_del(object, key);
        assert_int_equal(fx_state_parse(&after, object, &err), FX_EINPUT);
        assert_non_null(strstr(err.msg, key));
        json_object_set_new(object, key, json_string("7"));
        assert_int_equal(fx_state_parse(&after, object, &err), FX_EINPUT);
        if (json_is_integer(value)) {
            json_object_set_new(object, key, json_integer(-1));
            assert_int_equal(fx_state_parse(&after, object, &err), FX_EINPUT);
        }
        json_decref(object);
    }
    json_decref(whole);
    assert_int_equal(fx_state_parse(&after, NULL, NULL), FX_EINPUT);
}

static struct fx_settings some_settings(void)
{
    return (struct fx_settings){
        .tool = "fusion-train",
        .arch = "resnet18",
        .fusion = fx_word_find(FX_FUSIONS, "concatenation"),
        .expert = FX_NONE,
        .recipe = FX_RECIPE_MISSION,
        .data_digest = "d",
        .kd_temperature = 2,
        .precision = FX_PRECISION_FP32,
        .val = FX_VAL_HOLDOUT,
        .augment = FX_AUGMENT_STRONG,
        .mix = FX_MIX_CUTMIX,
        .schedule = FX_SCHEDULE_COSINE,
        .epochs = 100,
        .batch = 128,
        .seed = 42,
        .accumulate = 1,
        .alpha = 1,
        .lr_experts = 1e-4 * 0.7,
        .expert_dropout = -1,
        .shuffle = true,
        .initial = true,
    };
}

static void test_equal_settings_pass(void **state)
{
    struct fx_settings s = some_settings();
    json_t *started = fx_settings_json(&s);
    char *text = json_dumps(started, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);

    (void)state;
    s.steps = 7;
    s.initial = false;
    assert_int_equal(fx_settings_check(&s, read, NULL), FX_OK);
    /* Products of earlier versions have a last digit that nobody wrote. */
    s.lr_experts = 1.1 * 1e-4 * 1.3;
    json_object_set_new(read, "lr-experts", json_real(1.43e-4));
    assert_true(s.lr_experts != 1.43e-4);
    assert_int_equal(fx_settings_check(&s, read, NULL), FX_OK);
    json_decref(started);
    json_decref(read);
    free(text);
}

static void assert_named(const struct fx_settings *s, const json_t *started, const char *line)
{
    struct fx_err err = { 0 };

    assert_int_equal(fx_settings_check(s, started, &err), FX_EUSAGE);
    assert_memory_equal(err.msg, line, strlen(line));
    assert_string_equal(err.msg + strlen(line),
                        "; other settings need another --checkpoint-dir (make: OUT=)");
}

static void test_changes_are_named(void **state)
{
    struct fx_settings s = some_settings();
    json_t *started = fx_settings_json(&s);

    (void)state;
    s.alpha = 0.5;
    assert_named(&s, started, "alpha: the run was started with 1, not 0.5");
    s = some_settings();
    s.shuffle = false;
    assert_named(&s, started, "shuffle: the run was started with yes, not no");
    s = some_settings();
    s.lr_experts = 1e-4;
    assert_named(&s, started, "lr-experts: the run was started with 7e-05, not 0.0001");
    s = some_settings();
    s.fusion = FX_NONE;
    assert_named(&s, started, "fusion: the run was started with concatenation, not nothing");
    s = some_settings();
    s.epochs = 10;
    assert_named(&s, started, "epochs: the run was started with 100, not 10");
    json_decref(started);
    s.schedule = FX_SCHEDULE_CONSTANT;
    started = fx_settings_json(&s);
    s.epochs = 20;
    assert_int_equal(fx_settings_check(&s, started, NULL), FX_OK);
    json_decref(started);
}

/* Another value, of any setting but texts. */
static void change(struct fx_settings *s, enum fx_setting setting)
{
    json_t *old = fx_setting_value(s, setting), *now;

    fx_setting_put(s, setting, 1);
    now = fx_setting_value(s, setting);
    if (json_equal(old, now))
        fx_setting_put(s, setting, 0);
    json_decref(old);
    json_decref(now);
}

/* Only what was chosen for it may change when a run is resumed. */
static void test_every_setting_is_compared(void **state)
{
    struct fx_settings base = some_settings();
    json_t *started = fx_settings_json(&base);

    (void)state;
    for (int i = 0; i < FX_N_SETTINGS; i++) {
        struct fx_settings s = some_settings();
        bool is_text = i == FX_SET_arch || i == FX_SET_data_digest;
        bool is_free = i == FX_SET_steps || i == FX_SET_initial;

        if (is_text)
            continue;
        change(&s, (enum fx_setting)i);
        enum fx_status status = fx_settings_check(&s, started, NULL);
        if (status != (is_free ? FX_OK : FX_EUSAGE))
            fail_msg("setting %d of settings.def: status %d", i, (int)status);
    }
    json_decref(started);
}

/* A run from before there was a setting had its default. */
static void test_unknown_settings_had_their_default(void **state)
{
    struct fx_settings s = some_settings();
    json_t *started = fx_settings_json(&s);

    (void)state;
    json_object_del(started, "distill");
    json_object_del(started, "mix");
    json_object_del(started, "shuffle");
    assert_int_equal(fx_settings_check(&s, started, NULL), FX_OK);
    s.distill = 0.5;
    assert_named(&s, started, "distill: the run was started with 0, not 0.5");
    s = some_settings();
    s.mix = FX_MIX_MIXUP;
    assert_named(&s, started, "mix: the run was started with cutmix, not mixup");
    json_decref(started);
}

/* Settings that came later are not written where they have their default. */
static void test_quiet_settings(void **state)
{
    struct fx_settings s = some_settings();
    json_t *started = fx_settings_json(&s);
    char *command = fx_settings_command(&s);

    (void)state;
    assert_null(json_object_get(started, "fused"));
    assert_null(json_object_get(started, "kd-temperature"));
    assert_null(strstr(command, "--fused"));
    s.fused = FX_FUSED_RESIDUAL;
    assert_named(&s, started, "fused: the run was started with head, not residual");
    free(command);
    json_decref(started);
    started = fx_settings_json(&s);
    command = fx_settings_command(&s);
    assert_non_null(strstr(command, " --fused residual"));
    s.fused = FX_FUSED_HEAD;
    assert_named(&s, started, "fused: the run was started with residual, not head");
    free(command);
    json_decref(started);
}

/* The start event says the same, as far as it goes. */
static void test_started_from_metrics(void **state)
{
    struct fx_settings s = some_settings();
    char *command = fx_settings_command(&s);
    json_t *start = json_pack("{s:s, s:s, s:s}", "command_line", command, "arch", s.arch,
                              "data_digest", s.data_digest);
    json_t *full = fx_settings_json(&s), *started = fx_settings_started(&s, start);
    struct fx_err err = { 0 };

    (void)state;
    assert_true(json_equal(started, full));
    json_decref(started);
    s.log_steps = !s.log_steps;
    started = fx_settings_started(&s, start);
    assert_named(&s, started, "log-steps: the run was started with no, not yes");
    json_decref(started);
    s = some_settings();
    s.data_digest = NULL;
    s.lr_fusion = 0.25;
    started = fx_settings_started(&s, start);
    assert_named(&s, started, "lr-fusion: the run was started with 0, not 0.25");
    assert_int_equal(fx_settings_check_length(&s, 101, 5, &err), FX_EUSAGE);
    assert_string_equal(err.msg, "--epochs 100: the run has done 101 already");
    json_decref(started);
    json_decref(full);
    json_decref(start);
    free(command);
}

static void test_command(void **state)
{
    struct fx_settings s = some_settings();
    char *command = fx_settings_command(&s);

    (void)state;
    assert_non_null(strstr(command, "fusion-train --fusion concatenation --recipe mission"));
    assert_non_null(strstr(command, " --lr-experts 7e-05 "));
    assert_null(strstr(command, "shuffle"));
    assert_null(strstr(command, "expert-dropout"));
    assert_null(strstr(command, "digest"));
    free(command);
    s.shuffle = false;
    s.log_steps = true;
    command = fx_settings_command(&s);
    assert_non_null(strstr(command, " --no-shuffle --log-steps"));
    free(command);
    fx_settings_init(&s, "expert-train", FX_OF_EXPERT);
    s.arch = "resnet18";
    s.expert = 2;
    command = fx_settings_command(&s);
    assert_non_null(strstr(command, "expert-train --arch resnet18 --expert 2 "));
    assert_null(strstr(command, "lr-fusion"));
    free(command);
}

static void test_key_of_experts(void **state)
{
    struct fx_settings s = { .seed = 42, .expert = FX_NONE };

    (void)state;
    assert_true(fx_settings_key(&s) == 42);
    s.expert = FX_EXPERT_ALL;
    assert_true(fx_settings_key(&s) == 42);
    s.expert = 0;
    assert_true(fx_settings_key(&s) == 0x10000002au);
    s.expert = 3;
    assert_true(fx_settings_key(&s) == 0x40000002au);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_survives_exactly),
        cmocka_unit_test(test_state_refuses),
        cmocka_unit_test(test_equal_settings_pass),
        cmocka_unit_test(test_changes_are_named),
        cmocka_unit_test(test_unknown_settings_had_their_default),
        cmocka_unit_test(test_quiet_settings),
        cmocka_unit_test(test_every_setting_is_compared),
        cmocka_unit_test(test_started_from_metrics),
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_key_of_experts),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
