/* Matrix products by cuBLASLt.
 *
 * cuBLASLt thinks in columns: a row-major matrix (r, c) is to it a column-major one (c, r) with the
 * same ld.  So it computes C^T = op(B)^T op(A)^T: its left matrix is our B, its right one our A,
 * and nothing is moved.
 *
 * Determinism: the algorithm is fixed when the plan is made.  If it splits the sum over k, partial
 * sums may meet in two ways only: in the workspace, as f32, added by a later kernel in the order of
 * the parts.  Adding them in place, into C, is refused: parts take turns there, C's bf16 would
 * round each of them, and whose turn it is is not documented. */
#include "backend/cuda/vendor/gemm.h"

#include "backend/cuda/vendor/cublas_lt_api_internal.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MIB = 1 << 20,
    WORKSPACE_MIB = 4,
    WORKSPACE_HOPPER_MIB = 32, /* NVIDIA's recommendation from compute capability 9.0 on */
    N_PROPOSALS = 8,
    ALIGNMENT_BYTES = 16,
    MIN_BLOCK_K = 16, /* of the sizes in which a kernel may walk over k, powers of two */
    MAX_BLOCK_K = 128,
    NAME_BYTES = 128,
};

struct fx_gemm {
    cublasLtHandle_t handle; /* owned */
    size_t workspace_limit;
};

struct fx_gemm_plan {
    cublasLtHandle_t handle; /* borrowed */
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t left, right, result; /* our B, our A, our C */
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace_bytes;
    float waves; /* of tiles over the device */
    float alpha, beta;
    char name[NAME_BYTES];
};

/* ---- the library ------------------------------------------------------------------------------
 */

enum fx_status fx_gemm_check(struct fx_err *err)
{
    return fx_cublas_lt_load(err);
}

enum fx_status fx_gemm_open(struct fx_gemm **gemm, struct fx_err *err)
{
    int device = 0, major = 0;
    cudaError_t error = cudaGetDevice(&device);

    *gemm = NULL;
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (error != cudaSuccess)
        return fx_fail(err, FX_EDEVICE, "CUDA: %s", cudaGetErrorString(error));
    FX_TRY(fx_gemm_check(err));
    *gemm = calloc(1, sizeof **gemm);
    if (!*gemm)
        return fx_fail(err, FX_EFAIL, "cuBLASLt: out of memory");
    cublasStatus_t status = cublasLtCreate(&(*gemm)->handle);
    (*gemm)->workspace_limit = (size_t)(major >= 9 ? WORKSPACE_HOPPER_MIB : WORKSPACE_MIB) * MIB;
    if (status == CUBLAS_STATUS_SUCCESS)
        return FX_OK;
    free(*gemm);
    *gemm = NULL;
    return fx_fail(err, FX_EDEVICE, "cuBLASLt: %s", cublasLtGetStatusString(status));
}

void fx_gemm_close(struct fx_gemm *gemm)
{
    if (!gemm)
        return;
    cublasLtDestroy(gemm->handle);
    free(gemm);
}

/* ---- plans ------------------------------------------------------------------------------------
 */

/* A row-major matrix as it is stored. */
static cublasStatus_t set_layout(cublasLtMatrixLayoutOpaque_t *layout,
                                 const struct fx_gemm_matrix *matrix, bool bf16, int rows,
                                 int columns, int n_lanes)
{
    int64_t lane = (int64_t)matrix->lane;
    cublasStatus_t status = cublasLtMatrixLayoutInit(layout, bf16 ? CUDA_R_16BF : CUDA_R_32F,
                                                     (uint64_t)columns, (uint64_t)rows, matrix->ld);

    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT,
                                                  &n_lanes, sizeof n_lanes);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutSetAttribute(
            layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &lane, sizeof lane);
    return status;
}

static cublasStatus_t set_layouts(struct fx_gemm_plan *plan, const struct fx_gemm_shape *s)
{
    cublasStatus_t status = set_layout(&plan->left, &s->b, s->bf16, s->trans_b ? s->n : s->k,
                                       s->trans_b ? s->k : s->n, s->n_lanes);

    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_layout(&plan->right, &s->a, s->bf16, s->trans_a ? s->k : s->m,
                            s->trans_a ? s->m : s->k, s->n_lanes);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_layout(&plan->result, &s->c, s->c_bf16, s->m, s->n, s->n_lanes);
    return status;
}

static cublasStatus_t set_product(struct fx_gemm_plan *plan, const struct fx_gemm_shape *s)
{
    cublasOperation_t left = s->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t right = s->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t status = cublasLtMatmulDescInit(&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);

    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(&plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &left,
                                                sizeof left);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulDescSetAttribute(&plan->product, CUBLASLT_MATMUL_DESC_TRANSB, &right,
                                                sizeof right);
    return status;
}

/* What every lane's address is a multiple of, in bytes, if lane 0's is of ALIGNMENT_BYTES. */
static uint32_t alignment(const struct fx_gemm_matrix *matrix, bool bf16, int n_lanes)
{
    size_t value_bytes = bf16 ? 2 : sizeof(float);
    size_t bits = ALIGNMENT_BYTES | (n_lanes > 1 ? matrix->lane * value_bytes : 0);

    return (uint32_t)(bits & -bits);
}

/* Whether a sum over k that is split could lose its end.  cuBLASLt 12.8 to 13.2 was seen to return
 * the sum over whole blocks only where the number of parts divides that of the blocks and exceeds
 * the rest: on Hopper and Blackwell, facebookexperimental/triton pull request 2767. */
static bool may_lose_rest(int k)
{
    for (int block = MIN_BLOCK_K; block <= MAX_BLOCK_K; block *= 2)
        if (k % block != 0 && k % block < k / block)
            return true;
    return false;
}

/* How partial sums may meet: those of C's type are f32, too, where C is. */
static uint32_t reductions_of(const struct fx_gemm_shape *s)
{
    if (may_lose_rest(s->k))
        return CUBLASLT_REDUCTION_SCHEME_NONE;
    return CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE |
           (s->c_bf16 ? 0 : CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE);
}

static cublasStatus_t set_preference(cublasLtMatmulPreferenceOpaque_t *preference,
                                     const struct fx_gemm_shape *s, size_t workspace_limit)
{
    uint32_t reductions = reductions_of(s);
    uint32_t left = alignment(&s->b, s->bf16, s->n_lanes);
    uint32_t right = alignment(&s->a, s->bf16, s->n_lanes);
    uint32_t result = alignment(&s->c, s->c_bf16, s->n_lanes);
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *value;
        size_t n_bytes;
    } attributes[] = {
        { CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_limit, sizeof workspace_limit },
        { CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &left, sizeof left },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &right, sizeof right },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &result, sizeof result },
        { CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &result, sizeof result },
    };
    cublasStatus_t status = cublasLtMatmulPreferenceInit(preference);

    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        if (status == CUBLAS_STATUS_SUCCESS)
            status = cublasLtMatmulPreferenceSetAttribute(
                preference, attributes[i].name, attributes[i].value, attributes[i].n_bytes);
    return status;
}

/* The first algorithm that cuBLASLt proposes and that can run. */
static cublasStatus_t choose(struct fx_gemm_plan *plan,
                             cublasLtMatmulPreferenceOpaque_t *preference)
{
    cublasLtMatmulHeuristicResult_t proposals[N_PROPOSALS];
    int n = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        plan->handle, &plan->product, &plan->left, &plan->right, &plan->result, &plan->result,
        preference, N_PROPOSALS, proposals, &n);

    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    for (int i = 0; i < n; i++)
        if (proposals[i].state == CUBLAS_STATUS_SUCCESS) {
            plan->algorithm = proposals[i].algo;
            plan->workspace_bytes = proposals[i].workspaceSize;
            plan->waves = proposals[i].wavesCount;
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

/* A number of the algorithm's; -1: it has none. */
static int setting(const struct fx_gemm_plan *plan, cublasLtMatmulAlgoConfigAttributes_t name)
{
    int32_t value = -1;
    size_t written;

    if (cublasLtMatmulAlgoConfigGetAttribute(&plan->algorithm, name, &value, sizeof value,
                                             &written) != CUBLAS_STATUS_SUCCESS)
        return -1;
    return value;
}

/* Tile, stages and reduction are numbers of cublasLt.h's enumerations. */
static void log_choice(const struct fx_gemm_plan *plan)
{
    fx_log_verbose("cuBLASLt: %s: algorithm %d, tile %d, stages %d, split %d, reduction %d, %.2f "
                   "waves, workspace %zu",
                   plan->name, setting(plan, CUBLASLT_ALGO_CONFIG_ID),
                   setting(plan, CUBLASLT_ALGO_CONFIG_TILE_ID),
                   setting(plan, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                   setting(plan, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
                   setting(plan, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME), (double)plan->waves,
                   plan->workspace_bytes);
}

enum fx_status fx_gemm_plan_create(struct fx_gemm_plan **plan, struct fx_gemm *gemm,
                                   const struct fx_gemm_shape *shape, struct fx_err *err)
{
    cublasLtMatmulPreferenceOpaque_t preference;

    assert(shape->n_lanes >= 1 && (shape->bf16 || !shape->c_bf16));
    *plan = calloc(1, sizeof **plan);
    if (!*plan)
        return fx_fail(err, FX_EFAIL, "cuBLASLt: out of memory");
    struct fx_gemm_plan *p = *plan;
    p->handle = gemm->handle;
    p->alpha = shape->alpha;
    p->beta = shape->add ? 1.0f : 0.0f;
    snprintf(p->name, sizeof p->name, "%s product of %d lanes, %s(%d x %d) times %s(%d x %d)",
             shape->bf16 ? "bf16" : "f32", shape->n_lanes, shape->trans_a ? "transposed " : "",
             shape->m, shape->k, shape->trans_b ? "transposed " : "", shape->k, shape->n);
    cublasStatus_t status = set_layouts(p, shape);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_product(p, shape);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = set_preference(&preference, shape, gemm->workspace_limit);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = choose(p, &preference);
    if (status == CUBLAS_STATUS_SUCCESS) {
        log_choice(p);
        return FX_OK;
    }
    fx_fail(err, FX_EDEVICE, "cuBLASLt: %s: %s", p->name, cublasLtGetStatusString(status));
    fx_gemm_plan_destroy(p);
    *plan = NULL;
    return FX_EDEVICE;
}

void fx_gemm_plan_destroy(struct fx_gemm_plan *plan)
{
    free(plan);
}

size_t fx_gemm_plan_workspace(const struct fx_gemm_plan *plan)
{
    return plan->workspace_bytes;
}

bool fx_gemm_plan_splits(const struct fx_gemm_plan *plan)
{
    return setting(plan, CUBLASLT_ALGO_CONFIG_SPLITK_NUM) > 1;
}

enum fx_status fx_gemm_run(const struct fx_gemm_plan *plan, cudaStream_t stream, const void *a,
                           const void *b, void *c, void *workspace, struct fx_err *err)
{
    /* The descriptors are only read, but cuBLASLt's handles for them are not const. */
    struct fx_gemm_plan *p = (struct fx_gemm_plan *)plan;
    cublasStatus_t status = cublasLtMatmul(p->handle, &p->product, &p->alpha, b, &p->left, a,
                                           &p->right, &p->beta, c, &p->result, c, &p->result,
                                           &p->algorithm, workspace, p->workspace_bytes, stream);

    if (status == CUBLAS_STATUS_SUCCESS)
        return FX_OK;
    return fx_fail(err, FX_EFAIL, "cuBLASLt: %s: %s", p->name, cublasLtGetStatusString(status));
}
