/* What gemm.c asks of cuBLASLt, checked without a device: this program stands in for the functions
 * that need one, reads the descriptors back through the real library, does what they say, in
 * columns, and compares with the row-major definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/cuda/vendor/gemm.h"
#include "base/log.h"
#include "linked.h"
#include "tensor/tensor.h"

enum { WORKSPACE = 1234, MAX_VALUES = 1 << 10 };

/* ---- the device that is not there ------------------------------------------------------------ */

static struct {
    int major;       /* compute capability */
    int n_proposals; /* the last is the first that can run */
    int split;       /* of the sum over k, in every algorithm */
    size_t limit;    /* what the last question said */
    uint32_t reductions, align[4];
    int tag_run; /* of the algorithm that ran */
    cudaStream_t stream;
} device;

cudaError_t cudaGetDevice(int *ordinal)
{
    *ordinal = 0;
    return device.major > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int ordinal)
{
    assert_int_equal(attribute, cudaDevAttrComputeCapabilityMajor);
    assert_int_equal(ordinal, 0);
    *value = device.major;
    return cudaSuccess;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t name,
                                                    void *value, size_t n_bytes, size_t *written)
{
    (void)algorithm;
    if (name != CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    *written = n_bytes;
    memcpy(value, &device.split, n_bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = (cublasLtHandle_t)&device;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    assert_ptr_equal(handle, &device);
    return CUBLAS_STATUS_SUCCESS;
}

static void read_preference(cublasLtMatmulPreference_t preference,
                            cublasLtMatmulPreferenceAttributes_t name, void *value, size_t n)
{
    assert_int_equal(cublasLtMatmulPreferenceGetAttribute(preference, name, value, n, NULL), 0);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int n_wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *n)
{
    assert_ptr_equal(handle, &device);
    assert_true(product != NULL && a != NULL && b != NULL && c == d);
    read_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &device.limit, 8);
    read_preference(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &device.reductions, 4);
    for (int i = 0; i < 4; i++)
        read_preference(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES + i,
                        &device.align[i], 4);
    assert_true(device.n_proposals <= n_wanted);
    *n = device.n_proposals;
    for (int i = 0; i < *n; i++) {
        memset(&results[i], 0, sizeof results[i]);
        results[i].state = i + 1 < *n ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
        results[i].workspaceSize = WORKSPACE + (size_t)i;
        results[i].algo.data[0] = (uint64_t)i;
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- its arithmetic: column-major, straight from the definition -------------------------------
 */

struct columns {
    uint32_t type;
    uint64_t rows, cols;
    int64_t ld, lane;
    int32_t n_lanes;
};

static struct columns read_layout(cublasLtMatrixLayout_t layout)
{
    struct columns m;
    int failed = 0;

#define READ(name, field)                                                                          \
    failed |= cublasLtMatrixLayoutGetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_##name, &m.field,    \
                                               sizeof m.field, NULL)
    READ(TYPE, type);
    READ(ROWS, rows);
    READ(COLS, cols);
    READ(LD, ld);
    READ(BATCH_COUNT, n_lanes);
    READ(STRIDED_BATCH_OFFSET, lane);
#undef READ
    assert_false(failed);
    assert_true(m.ld >= (int64_t)m.rows);
    return m;
}

static int32_t read_product(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t name)
{
    int32_t value = -1;

    assert_int_equal(cublasLtMatmulDescGetAttribute(product, name, &value, sizeof value, NULL), 0);
    return value;
}

static float load(const void *data, uint32_t type, int64_t i)
{
    return type == CUDA_R_16BF ? fx_bf16_to_f32(((const uint16_t *)data)[i])
                               : ((const float *)data)[i];
}

/* The tests' numbers are small whole ones: bf16 holds them exactly. */
static void store(void *data, uint32_t type, int64_t i, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    if (type == CUDA_R_16BF)
        ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)data)[i] = value;
}

static float entry(const void *data, const struct columns *m, bool transposed, int lane, uint64_t r,
                   uint64_t c)
{
    int64_t row = (int64_t)(transposed ? c : r), column = (int64_t)(transposed ? r : c);

    assert_true(row < (int64_t)m->rows && column < (int64_t)m->cols);
    return load(data, m->type, lane * m->lane + row + column * m->ld);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                              const void *alpha, const void *a, cublasLtMatrixLayout_t a_layout,
                              const void *b, cublasLtMatrixLayout_t b_layout, const void *beta,
                              const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    struct columns ma = read_layout(a_layout), mb = read_layout(b_layout);
    struct columns md = read_layout(d_layout);
    bool ta = read_product(product, CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T;
    bool tb = read_product(product, CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_T;
    uint64_t k = ta ? ma.rows : ma.cols;

    assert_ptr_equal(handle, &device);
    assert_int_equal(read_product(product, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE), CUBLAS_COMPUTE_32F);
    assert_int_equal(read_product(product, CUBLASLT_MATMUL_DESC_SCALE_TYPE), CUDA_R_32F);
    assert_true(c == d && c_layout == d_layout && workspace != NULL);
    assert_true(ma.type == mb.type && ma.n_lanes == md.n_lanes && mb.n_lanes == md.n_lanes);
    assert_int_equal(workspace_bytes, WORKSPACE + algo->data[0]);
    assert_int_equal(k, tb ? mb.cols : mb.rows);
    device.tag_run = (int)algo->data[0];
    device.stream = stream;
    for (int lane = 0; lane < md.n_lanes; lane++)
        for (uint64_t j = 0; j < md.cols; j++)
            for (uint64_t i = 0; i < md.rows; i++) {
                int64_t at = lane * md.lane + (int64_t)i + (int64_t)j * md.ld;
                float sum = 0, old = *(const float *)beta != 0 ? load(d, md.type, at) : 0;
                for (uint64_t p = 0; p < k; p++)
                    sum += entry(a, &ma, ta, lane, i, p) * entry(b, &mb, tb, lane, p, j);
                store(d, md.type, at, *(const float *)alpha * sum + *(const float *)beta * old);
            }
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    memset(&device, 0, sizeof device);
    device.major = 9;
    device.n_proposals = 1;
    return 0;
}

/* Small whole numbers, MAX_VALUES of them; owned by the caller. */
static void *values(bool bf16, int seed)
{
    void *data = malloc(MAX_VALUES * sizeof(float));

    assert_non_null(data);
    for (int i = 0; i < MAX_VALUES; i++)
        store(data, bf16 ? CUDA_R_16BF : CUDA_R_32F, i, (float)((i * 7 + i / 5 + seed) % 5 - 2));
    return data;
}

/* The definition in gemm.h. */
static float expected(const struct fx_gemm_shape *s, const void *a, const void *b, float old,
                      int lane, int r, int c)
{
    uint32_t type = s->bf16 ? CUDA_R_16BF : CUDA_R_32F;
    float sum = 0;

    for (int p = 0; p < s->k; p++) {
        size_t at_a = s->trans_a ? (size_t)p * (size_t)s->a.ld + (size_t)r
                                 : (size_t)r * (size_t)s->a.ld + (size_t)p;
        size_t at_b = s->trans_b ? (size_t)c * (size_t)s->b.ld + (size_t)p
                                 : (size_t)p * (size_t)s->b.ld + (size_t)c;
        sum += load(a, type, (int64_t)((size_t)lane * s->a.lane + at_a)) *
               load(b, type, (int64_t)((size_t)lane * s->b.lane + at_b));
    }
    return s->alpha * sum + (s->add ? old : 0);
}

static void check_product(const struct fx_gemm_shape *s)
{
    void *a = values(s->bf16, 1), *b = values(s->bf16, 2), *c = values(s->c_bf16, 3);
    void *old = values(s->c_bf16, 3), *workspace = values(false, 0);
    uint32_t type = s->c_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    cudaStream_t stream = (cudaStream_t)workspace;
    struct fx_gemm *gemm;
    struct fx_gemm_plan *plan;
    struct fx_err err = { 0 };

    assert_int_equal(fx_gemm_open(&gemm, &err), FX_OK);
    assert_int_equal(fx_gemm_plan_create(&plan, gemm, s, &err), FX_OK);
    assert_int_equal(fx_gemm_run(plan, stream, a, b, c, workspace, &err), FX_OK);
    assert_ptr_equal(device.stream, stream);
    for (int lane = 0; lane < s->n_lanes; lane++)
        for (int r = 0; r < s->m; r++)
            for (int j = 0; j < s->n; j++) {
                int64_t at = (int64_t)((size_t)lane * s->c.lane) + (int64_t)r * s->c.ld + j;
                float was = load(old, type, at);
                assert_float_equal(load(c, type, at), expected(s, a, b, was, lane, r, j), 0);
                store(c, type, at, was);
            }
    /* Nothing else was written. */
    assert_memory_equal(c, old, MAX_VALUES * (s->c_bf16 ? 2 : sizeof(float)));
    fx_gemm_plan_destroy(plan);
    fx_gemm_close(gemm);
    free(a);
    free(b);
    free(c);
    free(old);
    free(workspace);
}

static void test_products_are_row_major(void **state)
{
    (void)state;
    for (int bits = 0; bits < 16; bits++) {
        bool trans_a = bits & 1, trans_b = bits & 2, add = bits & 4, bf16 = bits & 8;
        struct fx_gemm_shape s = { .n_lanes = 1 + 2 * (bits & 1),
                                   .trans_a = trans_a,
                                   .trans_b = trans_b,
                                   .m = 5,
                                   .n = 7,
                                   .k = 3,
                                   .a = { trans_a ? 6 : 4, 40 },
                                   .b = { trans_b ? 5 : 9, 48 },
                                   .c = { 11, 64 },
                                   .bf16 = bf16,
                                   .c_bf16 = bf16 && add,
                                   .alpha = add ? 1 : 2,
                                   .add = add };
        check_product(&s);
    }
}

static void test_lanes_may_share_an_input(void **state)
{
    struct fx_gemm_shape s = { .n_lanes = 4,
                               .m = 6,
                               .n = 4,
                               .k = 5,
                               .a = { 8, 0 },
                               .b = { 4, 20 },
                               .c = { 4, 32 },
                               .alpha = 1 };

    (void)state;
    check_product(&s);
}

/* Asks for a plan of one shape and forgets it. */
static enum fx_status ask_for(int k, bool c_bf16, size_t lane, struct fx_err *err)
{
    struct fx_gemm_shape s = { .n_lanes = 2,
                               .m = 8,
                               .n = 8,
                               .k = k,
                               .a = { k, 8 * (size_t)k },
                               .b = { 8, 16 * (size_t)k },
                               .c = { 8, lane },
                               .bf16 = true,
                               .c_bf16 = c_bf16,
                               .alpha = 1 };
    struct fx_gemm *gemm;
    struct fx_gemm_plan *plan;

    FX_TRY(fx_gemm_open(&gemm, err));
    enum fx_status status = fx_gemm_plan_create(&plan, gemm, &s, err);
    if (status == FX_OK) {
        assert_int_equal(fx_gemm_plan_workspace(plan), WORKSPACE + device.n_proposals - 1);
        assert_int_equal(fx_gemm_plan_splits(plan), device.split > 1);
    }
    fx_gemm_plan_destroy(plan);
    fx_gemm_close(gemm);
    return status;
}

static enum fx_status ask(bool c_bf16, size_t lane, struct fx_err *err)
{
    return ask_for(8, c_bf16, lane, err);
}

static void test_sums_meet_in_the_workspace_and_in_f32(void **state)
{
    (void)state;
    assert_int_equal(ask_for(64, true, 64, NULL), FX_OK);
    assert_int_equal(device.reductions, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    assert_int_equal(ask_for(64, false, 64, NULL), FX_OK);
    assert_int_equal(device.reductions, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE |
                                            CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
}

/* 8 of 8648 would be lost in up to 135 parts, but 32 of 1056 in no number of parts. */
static void test_sums_that_would_lose_a_rest_are_not_split(void **state)
{
    (void)state;
    assert_int_equal(ask_for(8648, false, 64, NULL), FX_OK);
    assert_int_equal(device.reductions, CUBLASLT_REDUCTION_SCHEME_NONE);
    assert_int_equal(ask_for(1056, true, 64, NULL), FX_OK);
    assert_int_equal(device.reductions, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
}

static void test_the_workspace_is_that_of_the_device(void **state)
{
    (void)state;
    assert_int_equal(ask(false, 64, NULL), FX_OK);
    assert_int_equal(device.limit, 32 << 20);
    device.major = 8;
    assert_int_equal(ask(false, 64, NULL), FX_OK);
    assert_int_equal(device.limit, 4 << 20);
}

/* The heuristic may count on what holds for every lane, and on nothing more. */
static void test_alignment_is_that_of_all_lanes(void **state)
{
    (void)state;
    assert_int_equal(ask(false, 66, NULL), FX_OK);
    assert_int_equal(device.align[0], 16);
    assert_int_equal(device.align[1], 16);
    assert_int_equal(device.align[2], 8);
    assert_int_equal(device.align[3], 8);
    assert_int_equal(ask(true, 65, NULL), FX_OK);
    assert_int_equal(device.align[2], 2);
}

static void test_the_first_proposal_that_runs_is_taken(void **state)
{
    struct fx_err err = { 0 };

    (void)state;
    device.n_proposals = 3;
    assert_int_equal(ask(false, 64, NULL), FX_OK);
    device.n_proposals = 0;
    assert_int_equal(ask(false, 64, &err), FX_EDEVICE);
    assert_non_null(strstr(err.msg, "cuBLASLt: bf16 product of 2 lanes, (8 x 8) times (8 x 8): "));
}

static void test_a_plan_says_whether_it_splits_the_sum(void **state)
{
    (void)state;
    for (device.split = 0; device.split < 4; device.split++)
        assert_int_equal(ask(false, 64, NULL), FX_OK);
}

/* What the choice of a plan says on stderr. */
static void test_the_choice_is_logged_for_verbose(void **state)
{
    FILE *kept = tmpfile();
    int saved = dup(STDERR_FILENO);
    char text[1024] = "";
    struct fx_err err = { 0 };

    (void)state;
    assert_true(kept != NULL && saved >= 0);
    fx_log_set("tool", FX_LOG_VERBOSE);
    dup2(fileno(kept), STDERR_FILENO);
    device.split = 6;
    enum fx_status status = ask(true, 64, &err);
    dup2(saved, STDERR_FILENO);
    fx_log_set("tool", FX_LOG_QUIET);
    close(saved);
    rewind(kept);
    assert_true(fread(text, 1, sizeof text - 1, kept) > 0);
    fclose(kept);
    assert_int_equal(status, FX_OK);
    assert_non_null(strstr(text, "tool: cuBLASLt: bf16 product of "));
    assert_non_null(strstr(text, ": algorithm "));
    assert_non_null(strstr(text, ", split 6, "));
    assert_non_null(strstr(text, " waves, workspace "));
}

static void test_a_missing_device_is_named(void **state)
{
    struct fx_err err = { 0 };

    (void)state;
    device.major = 0;
    assert_int_equal(ask(false, 64, &err), FX_EDEVICE);
    assert_string_equal(err.msg, "CUDA: no CUDA-capable device is detected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_products_are_row_major, set_up),
        cmocka_unit_test_setup(test_lanes_may_share_an_input, set_up),
        cmocka_unit_test_setup(test_sums_meet_in_the_workspace_and_in_f32, set_up),
        cmocka_unit_test_setup(test_sums_that_would_lose_a_rest_are_not_split, set_up),
        cmocka_unit_test_setup(test_the_workspace_is_that_of_the_device, set_up),
        cmocka_unit_test_setup(test_alignment_is_that_of_all_lanes, set_up),
        cmocka_unit_test_setup(test_the_first_proposal_that_runs_is_taken, set_up),
        cmocka_unit_test_setup(test_a_plan_says_whether_it_splits_the_sum, set_up),
        cmocka_unit_test_setup(test_the_choice_is_logged_for_verbose, set_up),
        cmocka_unit_test_setup(test_a_missing_device_is_named, set_up),
    };

    return cmocka_run_group_tests_name("gemm_columns", tests, NULL, NULL);
}
