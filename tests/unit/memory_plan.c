/* The memory plan never lays two living buffers on each other, neither on the regions of workers
 * nor on those of lanes, and equal lanes get equal offsets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "backend/lower/plan.h"

enum { N_LANES = 3, N_WORKERS = 2, N_BUFFERS = 300, N_STEPS = 100, N_ROUNDS = 20 };
static const int n_forward[N_LANES] = { 50, 40, 60 }, worker[N_LANES] = { 0, 1, 0 };

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A buffer of a random size and life, one in twenty kept. */
static void add_buffer(struct fx_plan *plan, int lane, uint32_t *seed)
{
    int first = (int)(next_random(seed) % N_STEPS), buffer;
    size_t n_bytes = 1 + next_random(seed) % 5000;
    struct fx_err err = { 0 };

    assert_int_equal(fx_plan_add(plan, lane, n_bytes, first, &buffer, &err), FX_OK);
    fx_plan_touch(plan, buffer, first + (int)(next_random(seed) % 10));
    plan->buffers[buffer].is_kept = next_random(seed) % 20 == 0;
}

static struct fx_plan random_plan(uint32_t *seed)
{
    struct fx_plan plan = { 0 };

    for (int i = 0; i < N_BUFFERS; i++)
        add_buffer(&plan, (int)(next_random(seed) % N_LANES), seed);
    return plan;
}

/* Used in both passes, or kept: has a place of its own. */
static bool stays(const struct fx_buffer *b)
{
    return b->is_kept || (b->first < n_forward[b->lane] && b->last >= n_forward[b->lane]);
}

static bool are_apart(const struct fx_buffer *a, const struct fx_buffer *b)
{
    return a->offset + a->n_bytes <= b->offset || b->offset + b->n_bytes <= a->offset;
}

static bool may_share(const struct fx_buffer *a, const struct fx_buffer *b)
{
    if (stays(a) || stays(b) || worker[a->lane] != worker[b->lane])
        return false;
    return a->lane != b->lane || a->last < b->first || b->last < a->first;
}

static void living_buffers_are_apart(void **state)
{
    uint32_t seed = 7;

    (void)state;
    for (int round = 0; round < N_ROUNDS; round++) {
        struct fx_plan plan = random_plan(&seed);
        struct fx_err err = { 0 };
        size_t sum = 0;

        assert_int_equal(fx_plan_place(&plan, N_LANES, n_forward, worker, N_WORKERS, &err), FX_OK);
        for (int i = 0; i < N_BUFFERS; i++) {
            const struct fx_buffer *a = &plan.buffers[i];

            assert_int_equal(a->offset % 64, 0);
            assert_true(a->offset + a->n_bytes <= plan.n_bytes);
            sum += a->n_bytes;
            for (int j = 0; j < i; j++)
                assert_true(may_share(a, &plan.buffers[j]) || are_apart(a, &plan.buffers[j]));
        }
        assert_true(plan.n_bytes < sum / 2); /* sharing happens */
        fx_plan_fini(&plan);
    }
}

/* Every buffer lies in its lane's region, whose buffers that stay come first, in order of birth. */
static void check_region(const struct fx_plan *plan, int lane, size_t size)
{
    size_t staying = 0, sum = 0;

    for (int i = 0; i < plan->n_buffers; i++) {
        const struct fx_buffer *a = &plan->buffers[i];

        if (a->lane != lane)
            continue;
        assert_true(a->offset + a->n_bytes <= size);
        sum += a->n_bytes;
        if (stays(a)) {
            assert_int_equal(a->offset, staying);
            staying += a->n_bytes;
        }
        for (int j = 0; j < i; j++) {
            const struct fx_buffer *b = &plan->buffers[j];

            if (b->lane == lane)
                assert_true(may_share(a, b) || are_apart(a, b));
        }
    }
    assert_true(size < sum / 2);
}

static void lanes_have_regions(void **state)
{
    uint32_t seed = 11;

    (void)state;
    for (int round = 0; round < N_ROUNDS; round++) {
        struct fx_plan plan = random_plan(&seed);
        size_t base[N_LANES], size[N_LANES], end = 0;
        struct fx_err err = { 0 };

        assert_int_equal(fx_plan_place_lanes(&plan, N_LANES, n_forward, base, size, &err), FX_OK);
        for (int lane = 0; lane < N_LANES; lane++) {
            assert_int_equal(base[lane], end);
            assert_int_equal(size[lane] % FX_PLAN_REGION_ALIGN, 0);
            end += size[lane];
            check_region(&plan, lane, size[lane]);
        }
        assert_int_equal(plan.n_bytes, end);
        fx_plan_fini(&plan);
    }
}

/* The lanes' buffers are born in turns, so that each lane's have other numbers. */
static void equal_lanes_have_equal_places(void **state)
{
    static const int turn[N_LANES] = { 50, 50, 50 };
    uint32_t seeds[N_LANES] = { 5, 5, 5 };
    struct fx_plan plan = { 0 };
    size_t base[N_LANES], size[N_LANES];
    struct fx_err err = { 0 };

    (void)state;
    for (int i = 0; i < N_BUFFERS; i++)
        for (int lane = 0; lane < N_LANES; lane++)
            add_buffer(&plan, lane, &seeds[lane]);
    assert_int_equal(fx_plan_place_lanes(&plan, N_LANES, turn, base, size, &err), FX_OK);
    for (int lane = 1; lane < N_LANES; lane++)
        assert_int_equal(size[lane], size[0]);
    for (int i = 0; i < plan.n_buffers; i++)
        assert_int_equal(plan.buffers[i].offset, plan.buffers[i - i % N_LANES].offset);
    fx_plan_fini(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(living_buffers_are_apart),
        cmocka_unit_test(lanes_have_regions),
        cmocka_unit_test(equal_lanes_have_equal_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
