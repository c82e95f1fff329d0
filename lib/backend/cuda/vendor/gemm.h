/* The only door to cuBLASLt: row-major matrix products in equal lanes, planned once and run many
 * times.
 *
 *     C[m, n] = alpha * op(A)[m, k] op(B)[k, n] (+ C, if add)          for each of n_lanes lanes
 *
 * op(A) is A, or its transpose if trans_a: then A is stored as (k, m).  Likewise B: (k, n), or
 * (n, k) if trans_b.  Row r of a stored matrix begins r * ld elements behind its address, lane l's
 * matrix l * lane elements behind lane 0's.
 *
 * A 1x1 convolution of stride 1 over maps with `rows` pixels is three of these (w: (c_out, c_in)):
 *     y  = x w^T    m = rows   n = c_out  k = c_in   trans_b
 *     dx = dy w     m = rows   n = c_in   k = c_out
 *     dw = dy^T x   m = c_out  n = c_in   k = rows   trans_a
 *
 * Sums are f32, f32 inputs are not rounded (no TF32), and results do not depend on scheduling. */
#ifndef FX_BACKEND_CUDA_VENDOR_GEMM_H
#define FX_BACKEND_CUDA_VENDOR_GEMM_H

#include "base/status.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

struct fx_gemm;      /* the library for the current device */
struct fx_gemm_plan; /* one compiled product */

/* fx_gemm_check: whether the library is there; FX_EDEVICE: why not. */
enum fx_status fx_gemm_check(struct fx_err *err) FX_MUST_CHECK;

/* FX_EDEVICE: no device or driver, or no library. */
enum fx_status fx_gemm_open(struct fx_gemm **gemm, struct fx_err *err) FX_MUST_CHECK;
void fx_gemm_close(struct fx_gemm *gemm); /* accepts NULL; after its plans */

struct fx_gemm_matrix {
    int ld;      /* elements between rows */
    size_t lane; /* elements between lanes; 0: all lanes have the same one (A and B only) */
};
struct fx_gemm_shape {
    int n_lanes; /* at least 1 */
    bool trans_a, trans_b;
    int m, n, k;
    struct fx_gemm_matrix a, b, c;
    bool bf16;   /* A and B, else f32 */
    bool c_bf16; /* C, else f32; only with bf16 */
    float alpha;
    bool add; /* C += instead of C = */
};

/* fx_gemm_plan_create: FX_EDEVICE when cuBLASLt has no algorithm for the shape. */
enum fx_status fx_gemm_plan_create(struct fx_gemm_plan **plan, struct fx_gemm *gemm,
                                   const struct fx_gemm_shape *shape,
                                   struct fx_err *err) FX_MUST_CHECK;
void fx_gemm_plan_destroy(struct fx_gemm_plan *plan);           /* accepts NULL */
size_t fx_gemm_plan_workspace(const struct fx_gemm_plan *plan); /* bytes, at most 32 MiB */

bool fx_gemm_plan_splits(const struct fx_gemm_plan *plan); /* the sum over k, by itself */

/* fx_gemm_run: enqueues; may be captured.  FX_EFAIL when that fails.  16-byte aligned addresses of
 * device memory, the workspace 256; C overlaps neither A nor B; runs that may overlap in time have
 * their own workspaces. */
enum fx_status fx_gemm_run(const struct fx_gemm_plan *plan, cudaStream_t stream, const void *a,
                           const void *b, void *c, void *workspace,
                           struct fx_err *err) FX_MUST_CHECK;

#endif
