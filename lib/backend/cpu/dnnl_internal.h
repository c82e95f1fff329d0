/* The interface to oneDNN, which no other file includes: what the cpu back end needs of it, the
 * same for oneDNN 2.6 and 3.x.
 *
 * Every value that passes here is packed nChw{b}c, every weight [groups]OIhw{b}i{b}o in f32 (b the
 * block of cpu_internal.h), with channel counts that are multiples of b: oneDNN never sees
 * padding.  A primitive that wants its weights in another layout or in bf16 gets them through a
 * reorder into the workspace of the call. */
#ifndef FX_BACKEND_CPU_DNNL_INTERNAL_H
#define FX_BACKEND_CPU_DNNL_INTERNAL_H

#include "backend/cpu/conv_internal.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct fx_dnnl;        /* the CPU engine */
struct fx_dnnl_stream; /* one for each worker thread */
struct fx_dnnl_conv;   /* one compiled convolution, in one direction */

/* What oneDNN may use on this machine; DNNL_MAX_CPU_ISA lowers it. */
enum fx_dnnl_isa {
    FX_DNNL_PLAIN,
    FX_DNNL_AVX2,
    FX_DNNL_AVX512,
    FX_DNNL_AVX512_BF16,
    FX_DNNL_AMX /* with bf16 */
};
enum fx_dnnl_isa fx_dnnl_isa(void);

enum fx_status fx_dnnl_open(struct fx_dnnl **dnnl, struct fx_err *err) FX_MUST_CHECK;
void fx_dnnl_close(struct fx_dnnl *dnnl); /* accepts NULL */
enum fx_status fx_dnnl_stream_open(struct fx_dnnl_stream **stream, struct fx_dnnl *dnnl,
                                   struct fx_err *err) FX_MUST_CHECK;
void fx_dnnl_stream_close(struct fx_dnnl_stream *stream); /* accepts NULL */

/* fx_dnnl_conv_create: compiles for as many OpenMP threads as the calling thread would use.
 *   direction  FORWARD: dst = conv(src, weights); DATA: diff_src from diff_dst and weights;
 *              WEIGHTS: f32 diff_weights from src and diff_dst
 *   winograd   ask for it; falls back to the direct algorithm where oneDNN has none
 * FX_EDEVICE when oneDNN has no implementation at all. */
enum fx_status fx_dnnl_conv_create(struct fx_dnnl_conv **conv, struct fx_dnnl *dnnl,
                                   const struct fx_conv_shape *shape,
                                   enum fx_conv_direction direction, bool winograd,
                                   struct fx_err *err) FX_MUST_CHECK;
void fx_dnnl_conv_destroy(struct fx_dnnl_conv *conv);           /* accepts NULL */
size_t fx_dnnl_conv_workspace(const struct fx_dnnl_conv *conv); /* bytes */
const char *fx_dnnl_conv_name(const struct fx_dnnl_conv *conv); /* oneDNN's, "jit:avx512_core" */

/* fx_dnnl_conv_run: src, dst are the values or their gradients, weights the masters or (=) their
 * gradient; all 64-byte aligned, none overlap.  Returns when done. */
enum fx_status fx_dnnl_conv_run(const struct fx_dnnl_conv *conv, struct fx_dnnl_stream *stream,
                                void *src, float *weights, void *dst, void *workspace,
                                struct fx_err *err) FX_MUST_CHECK;

/* A row-major matrix product C (m, n) = A B + beta C, f32; trans: A is (k, m), B is (n, k). */
struct fx_dnnl_gemm {
    bool trans_a, trans_b;
    int m, n, k;
    const float *a, *b;
    int lda, ldb, ldc; /* floats between rows */
    float beta;
    float *c;
};
enum fx_status fx_dnnl_gemm(const struct fx_dnnl_gemm *g, struct fx_err *err) FX_MUST_CHECK;

#endif
