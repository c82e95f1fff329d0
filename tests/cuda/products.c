/* cuBLASLt's products on a GPU.  Factors of ones: every element is the length of the sum, a whole
 * number that f32 holds exactly, so that a part that is left out shows as what it is.  Long sums of
 * few elements are what cuBLASLt splits; some of these lengths it was seen to cut short. */
#include "../kernels/kernel_case.h"

#include "backend/cuda/vendor/gemm.h"

enum { WORKSPACE = 32 << 20, M = 64, N = 96, N_LANES = 2 };
static const uint16_t BF16_ONE = 0x3f80;

static void good(enum fx_status status, const struct fx_err *err)
{
    if (status != FX_OK)
        fail_msg("%s", err->msg);
}

/* Values of a matrix of every lane: ones, or noise. */
static void *matrix(bool bf16, size_t n, uint32_t seed)
{
    size_t value = bf16 ? sizeof(uint16_t) : sizeof(float);
    char *host = malloc(n * value);
    void *device;

    assert_non_null(host);
    for (size_t i = 0; i < n; i++) {
        float x = seed ? noise(seed, (uint32_t)i) : 1;
        uint32_t bits;

        memcpy(&bits, &x, sizeof bits);
        if (bf16)
            ((uint16_t *)host)[i] = seed ? (uint16_t)(bits >> 16) : BF16_ONE;
        else
            ((float *)host)[i] = x;
    }
    device = to_device(host, n * value);
    free(host);
    return device;
}

/* C, f32, as a weight's gradient is made: C = A^T B. */
static float *product(struct fx_gemm *gemm, bool bf16, int k, uint32_t seed)
{
    size_t n_c = (size_t)N_LANES * M * N, rows = (size_t)k;
    struct fx_gemm_shape shape = { .n_lanes = N_LANES,
                                   .trans_a = true,
                                   .m = M,
                                   .n = N,
                                   .k = k,
                                   .a = { M, rows * M },
                                   .b = { N, rows * N },
                                   .c = { N, M * N },
                                   .bf16 = bf16,
                                   .alpha = 1 };
    void *a = matrix(bf16, N_LANES * rows * M, seed), *workspace, *c;
    void *b = matrix(bf16, N_LANES * rows * N, seed ? seed + 1 : 0);
    float *host = malloc(n_c * sizeof *host);
    struct fx_gemm_plan *plan;
    struct fx_err err = { 0 };

    assert_non_null(host);
    device_ok(cudaMalloc(&workspace, WORKSPACE));
    device_ok(cudaMalloc(&c, n_c * sizeof *host));
    good(fx_gemm_plan_create(&plan, gemm, &shape, &err), &err);
    assert_true(fx_gemm_plan_workspace(plan) <= WORKSPACE);
    good(fx_gemm_run(plan, stream, a, b, c, workspace, &err), &err);
    from_device(host, c, n_c * sizeof *host);
    fx_gemm_plan_destroy(plan);
    device_ok(cudaFree(a));
    device_ok(cudaFree(b));
    device_ok(cudaFree(c));
    device_ok(cudaFree(workspace));
    return host;
}

static const int lengths[] = {
    3, 72, 100, 1056, 1152, 4608, 8640, 8648, 11528, 57608, 81920, 131072
};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

static void no_part_of_a_sum_is_left_out(void **state)
{
    struct fx_gemm *gemm = *state;

    for (int i = 0; i < 2 * N_LENGTHS; i++) {
        bool bf16 = i % 2;
        float *c = product(gemm, bf16, lengths[i / 2], 0);

        for (int at = 0; at < N_LANES * M * N; at++)
            if (c[at] != (float)lengths[i / 2])
                fail_msg("%s: element %d is %.9g, expected %d", bf16 ? "bf16" : "f32", at,
                         (double)c[at], lengths[i / 2]);
        free(c);
    }
}

static void two_runs_have_the_same_bytes(void **state)
{
    struct fx_gemm *gemm = *state;

    for (int i = 0; i < 2 * N_LENGTHS; i++) {
        float *one = product(gemm, i % 2, lengths[i / 2], 7);
        float *other = product(gemm, i % 2, lengths[i / 2], 7);

        assert_memory_equal(one, other, sizeof *one * N_LANES * M * N);
        free(one);
        free(other);
    }
}

static int open_library(void **state)
{
    struct fx_err err = { 0 };

    good(fx_gemm_open((struct fx_gemm **)state, &err), &err);
    return 0;
}

static int close_library(void **state)
{
    fx_gemm_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_part_of_a_sum_is_left_out),
                                        cmocka_unit_test(two_runs_have_the_same_bytes) };

    return device_open() ? cmocka_run_group_tests(tests, open_library, close_library)
                         : device_missing();
}
