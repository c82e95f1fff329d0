/* lib/backend/cuda/vendor/gemm.h without cuBLASLt: plain loops on the stream. */
#include <cstdint>

extern "C" {
#include "backend/cuda/vendor/gemm.h"
}

#include "sim.h"
#include "sim_product.h"

struct fx_gemm {
    int device;
};

struct fx_gemm_plan {
    struct fx_gemm_shape shape;
};

namespace cuda_sim
{

static constexpr size_t GEMM_WORKSPACE = 4096; /* that it says it needs; it only scribbles there */

/* A matrix of a shape as it is stored, and whether a product reads it transposed. */
struct stored {
    size_t rows, columns;
    fx_gemm_matrix place;
    bool trans;
    size_t value_bytes;
};

static stored matrix_a(const fx_gemm_shape &s)
{
    size_t m = (size_t)s.m, k = (size_t)s.k, bytes = s.bf16 ? 2 : 4;

    return s.trans_a ? stored{ k, m, s.a, true, bytes } : stored{ m, k, s.a, false, bytes };
}

static stored matrix_b(const fx_gemm_shape &s)
{
    size_t k = (size_t)s.k, n = (size_t)s.n, bytes = s.bf16 ? 2 : 4;

    return s.trans_b ? stored{ n, k, s.b, true, bytes } : stored{ k, n, s.b, false, bytes };
}

static stored matrix_c(const fx_gemm_shape &s)
{
    return stored{ (size_t)s.m, (size_t)s.n, s.c, false, (size_t)(s.c_bf16 ? 2 : 4) };
}

/* From the first element of lane 0 to the last of the last lane. */
static size_t extent_bytes(const stored &m, int n_lanes)
{
    return m.value_bytes *
           (m.place.lane * (size_t)(n_lanes - 1) + (size_t)m.place.ld * (m.rows - 1) + m.columns);
}

static bool is_stored_well(const stored &m)
{
    return m.rows > 0 && m.columns > 0 && (size_t)m.place.ld >= m.columns;
}

static bool is_sound(const fx_gemm_shape &s)
{
    return s.n_lanes >= 1 && is_stored_well(matrix_a(s)) && is_stored_well(matrix_b(s)) &&
           is_stored_well(matrix_c(s)) && (s.n_lanes == 1 || s.c.lane > 0) && (s.bf16 || !s.c_bf16);
}

/* op(M) of a lane in packed rows. */
static std::vector<float> packed(const stored &m, const values &all, int lane)
{
    std::vector<float> result(m.rows * m.columns);

    for (size_t r = 0; r < m.rows; r++)
        for (size_t c = 0; c < m.columns; c++)
            result[m.trans ? c * m.rows + r : r * m.columns + c] =
                all.get((size_t)lane * m.place.lane + r * (size_t)m.place.ld + c);
    return result;
}

static void multiply_lane(const fx_gemm_shape &s, int lane, const values &a, const values &b,
                          const values &c)
{
    std::vector<double> sums((size_t)s.m * (size_t)s.n, 0.0);
    size_t begin = (size_t)lane * s.c.lane, n = (size_t)s.n;

    multiply_add((size_t)s.m, n, (size_t)s.k, packed(matrix_a(s), a, lane),
                 packed(matrix_b(s), b, lane), sums);
    for (size_t i = 0; i < sums.size(); i++) {
        size_t at = begin + i / n * (size_t)s.c.ld + i % n;
        float sum = s.alpha * (float)sums[i];

        c.set(at, s.add ? c.get(at) + sum : sum);
    }
}

/* Whether a lane of one matrix and a lane of another have bytes in common.  Their rows may
 * alternate: both may be columns of the same rows. */
static bool lanes_overlap(const stored &a, uintptr_t first_a, const stored &b, uintptr_t first_b)
{
    size_t row_a = a.columns * a.value_bytes, ld_a = (size_t)a.place.ld * a.value_bytes;
    size_t row_b = b.columns * b.value_bytes, ld_b = (size_t)b.place.ld * b.value_bytes;

    if (first_a >= first_b + ld_b * (b.rows - 1) + row_b ||
        first_b >= first_a + ld_a * (a.rows - 1) + row_a)
        return false;
    size_t ahead = (first_b % ld_a + ld_a - first_a % ld_a) % ld_a;
    return ld_a != ld_b || ahead < row_a || ahead + row_b > ld_a;
}

static bool overlap(const stored &a, const void *at_a, const stored &b, const void *at_b,
                    int n_lanes)
{
    for (int i = 0; i < n_lanes; i++)
        for (int j = 0; j < n_lanes; j++)
            if (lanes_overlap(
                    a, reinterpret_cast<uintptr_t>(at_a) + (size_t)i * a.place.lane * a.value_bytes,
                    b,
                    reinterpret_cast<uintptr_t>(at_b) + (size_t)j * b.place.lane * b.value_bytes))
                return true;
    return false;
}

/* What the addresses of a run break of what gemm.h asks for; NULL: nothing. */
static const char *complaint(const fx_gemm_shape &s, const void *a, const void *b, const void *c,
                             const void *workspace)
{
    stored ma = matrix_a(s), mb = matrix_b(s), mc = matrix_c(s);

    if (!is_device_memory(a, extent_bytes(ma, s.n_lanes)) ||
        !is_device_memory(b, extent_bytes(mb, s.n_lanes)) ||
        !is_device_memory(c, extent_bytes(mc, s.n_lanes)) ||
        !is_device_memory(workspace, GEMM_WORKSPACE))
        return "a matrix or the workspace is not in device memory";
    if (!is_aligned(a, 16) || !is_aligned(b, 16) || !is_aligned(c, 16) ||
        !is_aligned(workspace, 256))
        return "an address is not aligned";
    if (overlap(mc, c, ma, a, s.n_lanes) || overlap(mc, c, mb, b, s.n_lanes))
        return "C overlaps A or B";
    return nullptr;
}

} // namespace cuda_sim

using namespace cuda_sim;

enum fx_status fx_gemm_check(struct fx_err *)
{
    return FX_OK;
}

enum fx_status fx_gemm_open(struct fx_gemm **gemm, struct fx_err *err)
{
    int device;
    cudaError_t error = cudaGetDevice(&device);

    *gemm = nullptr;
    if (error != cudaSuccess)
        return fx_fail(err, FX_EDEVICE, "cuBLASLt: %s", cudaGetErrorString(error));
    *gemm = new fx_gemm{ device };
    return FX_OK;
}

void fx_gemm_close(struct fx_gemm *gemm)
{
    delete gemm;
}

enum fx_status fx_gemm_plan_create(struct fx_gemm_plan **plan, struct fx_gemm *,
                                   const struct fx_gemm_shape *shape, struct fx_err *err)
{
    *plan = nullptr;
    if (!is_sound(*shape))
        return fx_fail(err, FX_EDEVICE, "cuBLASLt: no algorithm for a product of %d x %d x %d",
                       shape->m, shape->n, shape->k);
    *plan = new fx_gemm_plan{ *shape };
    return FX_OK;
}

void fx_gemm_plan_destroy(struct fx_gemm_plan *plan)
{
    delete plan;
}

size_t fx_gemm_plan_workspace(const struct fx_gemm_plan *)
{
    return GEMM_WORKSPACE;
}

bool fx_gemm_plan_splits(const struct fx_gemm_plan *)
{
    return false;
}

enum fx_status fx_gemm_run(const struct fx_gemm_plan *plan, cudaStream_t stream, const void *a,
                           const void *b, void *c, void *workspace, struct fx_err *err)
{
    fx_gemm_shape s = plan->shape;
    values va = { const_cast<void *>(a), s.bf16 }, vb = { const_cast<void *>(b), s.bf16 };
    values vc = { c, s.c_bf16 };
    const char *wrong = complaint(s, a, b, c, workspace);

    if (wrong)
        return fx_fail(err, FX_EFAIL, "cuBLASLt: %s", wrong);
    if (made_up_ms(made_up::PRODUCT) < 0)
        return fx_fail(err, FX_EFAIL, "cuBLASLt: a made-up failure");
    cudaError_t error = enqueue(stream, "a product", [=] {
        spend(made_up_ms(made_up::PRODUCT) + made_up_ms(made_up::DEPTH) * s.k);
        scribble(workspace, GEMM_WORKSPACE);
        for (int lane = 0; lane < s.n_lanes; lane++)
            multiply_lane(s, lane, va, vb, vc);
    });
    if (error != cudaSuccess)
        return fx_fail(err, FX_EFAIL, "cuBLASLt: %s", cudaGetErrorString(error));
    return FX_OK;
}
