/* By which way the weight gradients of 1x1 layers are computed with FUSION_CUDNN_TUNE=1: the
 * fastest by made-up times (CUDA_SIM_MS), which is kept; right by each of them, and with the same
 * bytes however often. */
#include "../ops/op_case.h"
#include "base/log.h"

#include <unistd.h>

enum { LANES = 2, IN = 16, OUT = 8, SIDE = 32, IMAGES = 4, MAX_BYTES = 4096 };

/* Milliseconds of a product, of each of its terms, of a convolution: with 4096 pixels, four parts
 * and two lanes the way by this name is the fastest. */
static const struct way {
    const char *name, *ms;
} ways[] = { { "whole", "1e6 0 1e9" }, { "parts", "0 1 1e9" }, { "cudnn", "1e6 1 0" } };
enum { WHOLE, PARTS, CUDNN, N_WAYS };

struct gradients {
    float of[LANES][OUT * IN];
};

static char folder[] = "/tmp/sim_ways.XXXXXX", path[64];

static int set_up(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '.'), ".XXXXXX", sizeof ".XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/cudnn-plans.json", folder);
    setenv("FUSION_CACHE_DIR", folder, 1);
    setenv("FUSION_CUDNN_TUNE", "1", 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unsetenv("CUDA_SIM_MS");
    unsetenv("FUSION_CUDA_PARTS");
    unlink(path);
    return rmdir(folder);
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Equal lanes on one input, each a pool, a norm and a 1x1 layer; their sum. */
static void build(struct fx_builder *b)
{
    int x = fx_build_input(b, (struct fx_value_shape){ 1, IN, 2 * SIDE, 2 * SIDE });
    int maps[LANES];

    for (int lane = 0; lane < LANES; lane++) {
        fx_builder_lane(b, lane);
        fx_builder_enter(b, "%d", lane);
        maps[lane] = fx_build_batchnorm(b, "bn", fx_build_avgpool2(b, x), true);
        maps[lane] = fx_build_conv(b, "conv", maps[lane], OUT, 1, 1, 1);
        fx_builder_leave(b);
    }
    fx_builder_lane(b, FX_LANE_FUSION);
    fx_build_add(b, maps[0], maps[1], false);
}

/* Compiled, which chooses. */
static void open_run(struct op_run *run, const char *device, enum fx_precision precision)
{
    struct fx_device_options options = { .n_threads = 1, .precision = precision };
    struct fx_builder b;
    struct fx_err err = { 0 };

    *run = (struct op_run){ .n = IMAGES };
    op_check(fx_backend_find(&run->backend, device, &options, &err), &err);
    op_check(run->backend->device_open(&run->device, &options, &err), &err);
    fx_builder_init(&b, &run->graph, &err);
    build(&b);
    op_check(b.status, &err);
    run->last = run->graph.n_nodes - 1;
    op_check(run->backend->model_create(&run->model, run->device, &run->graph, true, &err), &err);
    op_check(run->backend->program_create(&run->program, run->model, FX_TRAIN, run->n, &err), &err);
}

static void choose(const char *ms, enum fx_precision precision)
{
    struct op_run run;

    setenv("CUDA_SIM_MS", ms, 1);
    open_run(&run, "cuda", precision);
    op_close(&run);
    unsetenv("CUDA_SIM_MS");
}

static void read_gradients(struct op_run *run, struct gradients *g)
{
    int lane = 0;

    for (int i = 0; i < run->graph.n_params; i++)
        if (strstr(run->graph.params[i].name, "conv.weight")) {
            float *w = op_read_param(run, i, FX_ROLE_GRAD);

            memcpy(g->of[lane++], w, sizeof g->of[0]);
            free(w);
        }
    assert_int_equal(lane, LANES);
}

/* The gradients, and what they are when others are added to them. */
static void compute(struct gradients g[2], const char *device, enum fx_precision precision)
{
    struct op_run run;
    struct fx_err err = { 0 };

    open_run(&run, device, precision);
    op_check(run.backend->model_allocate(run.model, &err), &err);
    op_fill(&run, FX_TRAIN);
    op_forward(&run);
    op_backward(&run);
    read_gradients(&run, &g[0]);
    op_forward(&run);
    op_check(run.backend->backward(run.program, true, &err), &err);
    read_gradients(&run, &g[1]);
    op_close(&run);
}

static void compute_with(struct gradients g[2], const char *ms, enum fx_precision precision)
{
    setenv("CUDA_SIM_MS", ms, 1);
    compute(g, "cuda", precision);
    unsetenv("CUDA_SIM_MS");
}

static void assert_right(const struct gradients g[2], enum fx_precision precision)
{
    struct op_case c = { .what = "1x1 layers" };
    struct gradients ref[2];

    compute(ref, "ref", FX_PRECISION_FP32);
    for (int i = 0; i < 2; i++)
        op_compare(&c, "cuda", "conv.weight", g[i].of[0], ref[i].of[0], (size_t)LANES * OUT * IN,
                   precision == FX_PRECISION_BF16 ? 3e-2 : 1e-4);
}

/* ---- the cache ------------------------------------------------------------------------------- */

static void read_cache(char text[MAX_BYTES])
{
    FILE *in = fopen(path, "r");

    assert_non_null(in);
    text[fread(text, 1, MAX_BYTES - 1, in)] = '\0';
    fclose(in);
}

/* It holds one way, this one: the lanes are equal. */
static void assert_kept(int way)
{
    char text[MAX_BYTES], entry[64];

    read_cache(text);
    snprintf(entry, sizeof entry, ":{\"way\":\"%s\"}", ways[way].name);
    const char *at = strstr(text, entry);
    if (!at || strstr(text, "\"way\"") != at + 2 || strstr(at + 3, "\"way\""))
        fail_msg("not %s: %s", ways[way].name, text);
}

/* Puts something in place of the way that it holds. */
static void spoil(int way, const char *with)
{
    char text[MAX_BYTES], entry[64];

    read_cache(text);
    snprintf(entry, sizeof entry, "{\"way\":\"%s\"}", ways[way].name);
    char *at = strstr(text, entry);
    assert_non_null(at);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "%.*s%s%s", (int)(at - text), text, with, at + strlen(entry));
    fclose(out);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void the_fastest_way_is_taken_and_kept(enum fx_precision precision)
{
    struct gradients by[N_WAYS][2], again[2];

    for (int way = 0; way < N_WAYS; way++) {
        unlink(path);
        compute_with(by[way], ways[way].ms, precision);
        assert_kept(way);
        assert_right(by[way], precision);
        for (int other = 0; other < N_WAYS; other++) {
            compute_with(again, ways[other].ms, precision);
            assert_kept(way);
            assert_memory_equal(again, by[way], sizeof again);
        }
        for (int other = 0; other < way; other++)
            if (precision == FX_PRECISION_BF16 || way == PARTS || other == PARTS)
                assert_memory_not_equal(&by[way][0], &by[other][0], sizeof by[way][0]);
    }
}

static void in_fp32(void **state)
{
    (void)state;
    the_fastest_way_is_taken_and_kept(FX_PRECISION_FP32);
}

static void in_bf16(void **state)
{
    (void)state;
    the_fastest_way_is_taken_and_kept(FX_PRECISION_BF16);
}

/* Nothing is timed, and what is kept is not looked at. */
static void who_does_not_ask_for_it_gets_the_rule(void **state)
{
    enum fx_precision bf16 = FX_PRECISION_BF16; /* in which each way has bytes of its own */
    struct gradients by[N_WAYS][2], rule[2];

    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        unlink(path);
        compute_with(by[way], ways[way].ms, bf16);
    }
    setenv("FUSION_CUDA_PARTS", "0", 1);
    compute(rule, "cuda", bf16);
    assert_memory_equal(rule, by[WHOLE], sizeof rule);
    unsetenv("FUSION_CUDA_PARTS");
    unsetenv("FUSION_CUDNN_TUNE");
    compute_with(rule, ways[CUDNN].ms, bf16);
    assert_memory_equal(rule, by[PARTS], sizeof rule);
    assert_kept(CUDNN);
}

static void entries_that_are_none_are_replaced(void **state)
{
    static const char *const entries[] = {
        "{\"way\":\"tensor\"}", "{\"way\":\"\"}", "{\"way\":1}", "{\"way\":null}",
        "{\"engine\":1}",       "[\"parts\"]",    "\"parts\"",   "null"
    };

    (void)state;
    choose(ways[CUDNN].ms, FX_PRECISION_FP32);
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        spoil(i == 0 ? CUDNN : WHOLE, entries[i]);
        choose(ways[WHOLE].ms, FX_PRECISION_FP32);
        assert_kept(WHOLE);
    }
    /* What is kept, and not possible. */
    spoil(WHOLE, "{\"way\":\"cudnn\"}");
    choose("0 1 -1", FX_PRECISION_FP32);
    assert_kept(PARTS);
}

/* Each time the way that the times are for cannot be had. */
static void a_way_that_fails_is_left_out(void **state)
{
    static const struct {
        const char *variable, *value, *ms;
        int way;
    } faults[] = {
        { "NONE", "", "-1 0 5", CUDNN },  /* products are refused when they are run */
        { "NONE", "", "0 1 -1", PARTS },  /* the convolution is refused when it is planned */
        { "NONE", "", "-1 0 -1", PARTS }, /* nothing could be timed: the rule's */
        { "CUDA_SIM_CAPTURE_NODES", "15", "1e6 1 0", WHOLE },
        { "CUDA_SIM_MEMORY", "795000", "1e6 1 0", WHOLE }, /* enough for its workspace */
        { "CUDA_SIM_MEMORY", "700000", "1e6 1 0", PARTS }, /* not enough for the maps */
    };
    struct gradients g[2];

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        unlink(path);
        setenv(faults[i].variable, faults[i].value, 1);
        choose(faults[i].ms, FX_PRECISION_FP32);
        unsetenv(faults[i].variable);
        assert_kept(faults[i].way);
        compute(g, "cuda", FX_PRECISION_FP32);
        assert_right(g, FX_PRECISION_FP32);
        assert_kept(faults[i].way);
    }
}

/* Programs that are made behind a save, which writes and forgets what is new. */
static void what_was_saved_is_known(void **state)
{
    struct op_run run;
    struct fx_program *program;
    struct fx_model *other;
    struct fx_err err = { 0 };

    (void)state;
    setenv("CUDA_SIM_MS", ways[CUDNN].ms, 1);
    open_run(&run, "cuda", FX_PRECISION_FP32);
    op_check(run.backend->model_allocate(run.model, &err), &err);
    setenv("CUDA_SIM_MS", ways[WHOLE].ms, 1);
    op_check(run.backend->model_create(&other, run.device, &run.graph, true, &err), &err);
    op_check(run.backend->program_create(&program, other, FX_TRAIN, run.n, &err), &err);
    run.backend->model_destroy(other);
    op_close(&run);
    assert_kept(CUDNN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(in_fp32),
        TEST(in_bf16),
        TEST(who_does_not_ask_for_it_gets_the_rule),
        TEST(entries_that_are_none_are_replaced),
        TEST(a_way_that_fails_is_left_out),
        TEST(what_was_saved_is_known),
    };

    fx_log_set("sim_ways", FX_LOG_QUIET);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
