/* The CUDA kernels, behind plain C: what lib/backend/cuda launches.
 *
 * Each function enqueues on a stream and returns the launch's error; nothing synchronises, nothing
 * allocates, and pointers are addresses of device memory.  A launch does the same thing for
 * `n_lanes` equal lanes side by side (grid.z): addresses given are lane 0's, a `lane` stride leads
 * to the next one's.  The plain-C counterpart of each is in lib/ops, lib/backend/host or
 * lib/data, and the operator tests compare them.
 *
 * Determinism: no floating-point atomics; sums have a fixed order, whatever the scheduling.  That
 * of norms' sums depends on the device's number of multiprocessors.
 * Numbers: maps are f32 or bf16, arithmetic is f32, sums over the batch end in double.
 * Letters: N images, C channels, K experts or lanes; `rows` = N * H * W pixels of a map. */
#ifndef FX_KERNELS_KERNELS_H
#define FX_KERNELS_KERNELS_H

#include "data/augment.h"
#include "net/blocks.h"
#include "ops/loss.h"
#include "ops/optimizer.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FX_K_BLOCK = 8 }; /* channels are padded to whole blocks; a block is one 16-byte load */

/* How to launch: on which stream, for how many equal lanes, and the type of maps. */
struct fx_k_launch {
    cudaStream_t stream;
    int n_lanes, n_processors; /* multiprocessors of the device, for norms: at least 1 */
    bool bf16;
    unsigned *tickets; /* of this stream alone, for the sums of norms: zeros, and zeros again */
};

/* A map in NHWC: pixel r, channel c of lane k is data[k * lane + r * ld + c] in elements.  A
 * group-major map is cut into groups of group_c channels, each a map of its own (ld == group_c):
 * channel c is data[k * lane + (c / group_c) * group + r * ld + c % group_c].  Else group_c = 0.
 * Channels c .. up to a whole block are padding: every kernel that writes an exact map leaves zeros
 * there. */
struct fx_k_map {
    void *data;
    size_t lane, group; /* elements */
    int group_c, c, ld; /* ld and group_c are multiples of FX_K_BLOCK */
};

/* Values of a parameter or of dense rows, f32: data + k * lane. */
struct fx_k_array {
    float *data; /* NULL: absent */
    size_t lane; /* floats */
};

/* ---- what changes from step to step: one block of device memory, copied in before the step ----
 */

/* The header; arrays follow it (lib/backend/cuda/input_internal.h says where). */
struct fx_k_batch {
    uint64_t seed;
    uint32_t epoch;
    int32_t n;
    bool is_first;    /* the first training forward since the last update */
    bool has_partner; /* images are mixed, cutmix or mixup */
    struct fx_mix mix;
    struct fx_loss_config loss;
};

/* Where the arrays of a batch lie. */
struct fx_k_batch_view {
    const struct fx_k_batch *batch;
    const uint32_t *numbers; /* (n) image numbers */
    const uint32_t *partner; /* (n) positions; read if has_partner */
    const uint8_t *labels;   /* (n) */
    const void *rows;        /* (n) struct fx_k_row of batch_row.h */
};

/* A dropout: element e = pixel * c + channel of image i is dropped as ops/dropout.h
 * says, pixel counted within the image.  word is lane 0's fx_rng_word; each lane's is 1 << 16 more.
 * p = 0: none. */
struct fx_k_drop {
    struct fx_k_batch_view view;
    uint32_t word;
    float p;
    int c;    /* channels of an element's pixel */
    int area; /* pixels (or tokens) of an image */
};

/* The mask of a dropout of maps: a byte for each pixel of the batch and block of eight channels,
 * blocks fastest; bit i keeps channel i, and those beyond the last channel are 0.  bytes NULL: no
 * dropout.  Where it is applied first it is drawn, if draw.p > 0. */
struct fx_k_mask {
    uint8_t *bytes;
    size_t lane;  /* from one lane to the next */
    float factor; /* of what is kept */
    struct fx_k_drop draw;
};

/* ---- norm_*.cu: BATCHNORM with the ReLU and dropout behind it ---------------------------------
 */

/* Batch statistics of channels: three arrays of `stride` floats (mean, biased variance, unbiased
 * variance) from data + k * lane. */
struct fx_k_stats {
    float *data;
    size_t lane;
    int stride;
};

/* What a norm does.  mean and var: batch statistics in training, running ones in evaluation. */
struct fx_k_norm {
    struct fx_k_array weight, bias, mean, var;
    float eps;
    bool relu;
    struct fx_k_mask mask;
};

/* Scratch that the sums of a launch need, in bytes; the same for forward and backward. */
size_t fx_k_norm_scratch(const struct fx_k_launch *l, int rows, int c);
/* Tickets that they need, in bytes. */
size_t fx_k_norm_tickets(int c, int n_lanes);

/* stats of channels first .. x->c-1 over all rows. */
cudaError_t fx_k_norm_stats(const struct fx_k_launch *l, const struct fx_k_map *x, int first,
                            int rows, const struct fx_k_stats *stats, void *scratch);
/* The same of channels first .. first + from->c - 1 of x, which are `from` and are copied from
 * there; both numbers are multiples of FX_K_BLOCK, x->c is their sum, `from` is not group-major. */
cudaError_t fx_k_norm_stats_copy(const struct fx_k_launch *l, const struct fx_k_map *from,
                                 const struct fx_k_map *x, int first, int rows,
                                 const struct fx_k_stats *stats, void *scratch);
/* y = drop(relu(norm(x))), the only one that draws norm->mask. */
cudaError_t fx_k_norm_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                            const struct fx_k_map *y, int rows, const struct fx_k_norm *norm);
/* y = norm(x) + a, then ReLU if relu; the norm's own ReLU and dropout are not applied.  y may be a.
 */
cudaError_t fx_k_norm_add(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *a, const struct fx_k_map *y, int rows,
                          const struct fx_k_norm *norm, bool relu);
/* With a sum, the result of fx_k_norm_add with ReLU: first dy = sum <= 0 ? 0 : dy; norm->relu and a
 * mask are not for that.  From dy: the parameters' gradients (= or, if accumulate, +=), and into
 * coef (3 arrays of padded c floats a lane, lane stride 3 * padded c) what dx needs: by_g, by_x and
 * constant of dx = by_g * g + by_x * (x - mean) + constant, with g = dy behind dropout and ReLU. */
cudaError_t fx_k_norm_back_sums(const struct fx_k_launch *l, const struct fx_k_map *x,
                                const struct fx_k_map *dy, const struct fx_k_map *sum, int rows,
                                const struct fx_k_norm *norm, struct fx_k_array d_weight,
                                struct fx_k_array d_bias, bool accumulate, float *coef,
                                void *scratch);
/* dx = (or +=, if add) by_g * g + by_x * (x - mean) + constant; dx may be dy.  coef NULL: of a norm
 * whose statistics are constants, weight / std * g. */
cudaError_t fx_k_norm_back_apply(const struct fx_k_launch *l, const struct fx_k_map *x,
                                 const struct fx_k_map *dy, const struct fx_k_map *dx, int rows,
                                 const struct fx_k_norm *norm, const float *coef, bool add);

/* The backward pass of a norm among several that read the same map (lower/instruction.h,
 * NORM_GATHER), in one pass: the parameters' gradients (= or, if accumulate, +=); g = (or +=, if
 * add) weight * (dy behind dropout and ReLU); in two more arrays of stats, the fourth and the
 * fifth, = or += weight times this pass's gradients of bias and weight.  g may be dy. */
cudaError_t fx_k_norm_gather(const struct fx_k_launch *l, const struct fx_k_map *x,
                             const struct fx_k_map *dy, const struct fx_k_map *g, int rows,
                             const struct fx_k_norm *norm, struct fx_k_array d_weight,
                             struct fx_k_array d_bias, bool accumulate,
                             const struct fx_k_stats *stats, bool add, void *scratch);
/* dx, channels first .. first + dx->c - 1 of the map, from what was gathered (NORM_SETTLE); dx may
 * be g if first is 0: what lies behind it in its last block is used up by then, and cleared. */
cudaError_t fx_k_norm_settle(const struct fx_k_launch *l, const struct fx_k_map *x,
                             const struct fx_k_map *g, int first, const struct fx_k_map *dx,
                             int rows, const struct fx_k_stats *stats, float eps);

/* One BATCHNORM node's running statistics: parameters' offsets in the running arena, the batch's
 * statistics in the activation arena. */
struct fx_k_running {
    const float *mean, *unbiased; /* (c) of the batch */
    size_t at_mean, at_var;       /* floats from the arena's start */
    int c;
    float momentum;
};
/* pending = (1 - momentum) * last + momentum * batch for n nodes (table in device memory); last is
 * `running` if batch->is_first, else `pending`.  *not_finite |= 1 when a result is not finite. */
cudaError_t fx_k_running_gather(cudaStream_t stream, const struct fx_k_running *table, int n,
                                const struct fx_k_batch *batch, const float *running,
                                float *pending, int *not_finite);

/* ---- add.cu ------------------------------------------------------------------------- */

/* y = a + b, then ReLU if relu; all exact. */
cudaError_t fx_k_add(const struct fx_k_launch *l, const struct fx_k_map *a,
                     const struct fx_k_map *b, const struct fx_k_map *y, int rows, bool relu);
/* dx = y <= 0 ? 0 : dy; dx may be dy. */
cudaError_t fx_k_relu_back(const struct fx_k_launch *l, const struct fx_k_map *y,
                           const struct fx_k_map *dy, const struct fx_k_map *dx, int rows);
/* dst += src in the first src->c channels; dst may be wider, what lies beyond belongs to others. */
cudaError_t fx_k_add_into(const struct fx_k_launch *l, const struct fx_k_map *src,
                          const struct fx_k_map *dst, int rows);
/* Channels from_c .. from_c+n_c-1 of `from` to to_c .. of `to`; any channel numbers; behind them
 * zeros to the end of the block. */
cudaError_t fx_k_copy(const struct fx_k_launch *l, const struct fx_k_map *from, int from_c,
                      const struct fx_k_map *to, int to_c, int n_c, int rows);
/* y = factor * x where the mask keeps it, else 0; y may be x. */
cudaError_t fx_k_drop_map(const struct fx_k_launch *l, const struct fx_k_map *x,
                          const struct fx_k_map *y, int rows, const struct fx_k_mask *mask);

/* ---- pool.cu -------------------------------------------------------------------------------- */

/* 2x2 average, stride 2, of n maps of h x w pixels; an odd last row or column is left out (and gets
 * a gradient of zero). */
cudaError_t fx_k_avgpool(const struct fx_k_launch *l, const struct fx_k_map *x,
                         const struct fx_k_map *y, int n, int h, int w);
cudaError_t fx_k_avgpool_back(const struct fx_k_launch *l, const struct fx_k_map *dy,
                              const struct fx_k_map *dx, int n, int h, int w);
/* y (n, c) f32 = mean over `area` pixels; back: dx = dy / area everywhere. */
cudaError_t fx_k_globalpool(const struct fx_k_launch *l, const struct fx_k_map *x, int n, int area,
                            struct fx_k_array y);
cudaError_t fx_k_globalpool_back(const struct fx_k_launch *l, struct fx_k_array dy, int n, int area,
                                 const struct fx_k_map *dx);

/* ---- conv.cu: convolution weights -------------------------------------------------------- */

/* grad = (or +=, if accumulate) fresh, which is bf16 if l->bf16; a weight is (merged * out, taps,
 * in), and what lies between groups of the graph that were merged is held at zero. */
cudaError_t fx_k_weight_grad(const struct fx_k_launch *l, const struct fx_weight_layout *w,
                             const void *fresh, size_t fresh_lane, struct fx_k_array grad,
                             bool accumulate);
/* grad = (or +=, if accumulate) the sum of n_parts arrays of n values, in their order; those of a
 * lane lie behind those of the one before. */
cudaError_t fx_k_sum_parts(const struct fx_k_launch *l, const float *parts, int n_parts, size_t n,
                           struct fx_k_array grad, bool accumulate);
/* to (bf16) = from, n values: the shadow of the masters after a load. */
cudaError_t fx_k_to_bf16(cudaStream_t stream, const float *from, void *to, size_t n);

/* ---- dense.cu, layernorm.cu, fusion.cu, attention.cu: fusion module, classifiers, head; f32 ---
 * The results of the backward functions: `add` says += instead of =, NULL data: not wanted. */

struct fx_k_grad {
    float *data;
    size_t lane;
    bool add;
};

/* y = act(y + bias) for (rows, c). */
cudaError_t fx_k_bias_act(const struct fx_k_launch *l, struct fx_k_array y, int rows, int c,
                          struct fx_k_array bias, bool relu);
/* dz = relu ? (y <= 0 ? 0 : dy) : dy into dz (may be NULL without relu: dy is used as it is);
 * d_bias = or += column sums of dz. */
cudaError_t fx_k_bias_act_back(const struct fx_k_launch *l, struct fx_k_array y,
                               struct fx_k_array dy, int rows, int c, bool relu,
                               struct fx_k_array dz, struct fx_k_grad d_bias);
cudaError_t fx_k_layernorm(const struct fx_k_launch *l, struct fx_k_array x, int rows, int c,
                           float eps, struct fx_k_array weight, struct fx_k_array bias,
                           struct fx_k_array y);
cudaError_t fx_k_layernorm_back(const struct fx_k_launch *l, struct fx_k_array x,
                                struct fx_k_array dy, int rows, int c, float eps,
                                struct fx_k_array weight, struct fx_k_grad dx,
                                struct fx_k_grad d_weight, struct fx_k_grad d_bias);

/* Up to FX_NODE_MAX_INPUTS inputs of one node, and their gradients; no lanes: these nodes join
 * them.
 */
struct fx_k_inputs {
    int n;
    const float *x[FX_NODE_MAX_INPUTS];
    struct fx_k_grad dx[FX_NODE_MAX_INPUTS]; /* backward only */
    int c[FX_NODE_MAX_INPUTS];               /* CONCAT: channels of each */
};
/* y = prod_k (x_k + shift), n values. */
cudaError_t fx_k_product(cudaStream_t stream, const struct fx_k_inputs *in, float shift, float *y,
                         size_t n);
cudaError_t fx_k_product_back(cudaStream_t stream, const struct fx_k_inputs *in, float shift,
                              const float *dy, size_t n);
/* y = sum_k softmax(w)_k x_k.  scratch: fx_k_weighted_sum_scratch(n) bytes. */
cudaError_t fx_k_weighted_sum(cudaStream_t stream, const struct fx_k_inputs *in, const float *w,
                              float *y, size_t n);
size_t fx_k_weighted_sum_scratch(size_t n);
cudaError_t fx_k_weighted_sum_back(cudaStream_t stream, const struct fx_k_inputs *in,
                                   const float *w, const float *dy, size_t n, struct fx_k_grad d_w,
                                   void *scratch);
/* y = sum_k softmax(g)_k x_k, row by row: the last input is g (rows, n - 1), the others (rows, c).
 */
cudaError_t fx_k_gated_sum(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                           float *y);
cudaError_t fx_k_gated_sum_back(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                                const float *dy);
/* tokens (rows, n, c): token k of a row is x_k (rows, c). */
cudaError_t fx_k_stack(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                       float *y);
cudaError_t fx_k_stack_back(cudaStream_t stream, const struct fx_k_inputs *in, int rows, int c,
                            const float *dy);
/* (rows, tokens, c) -> (rows, c), the mean over tokens. */
cudaError_t fx_k_token_mean(cudaStream_t stream, const float *x, int rows, int tokens, int c,
                            float *y);
cudaError_t fx_k_token_mean_back(cudaStream_t stream, const float *dy, int rows, int tokens, int c,
                                 struct fx_k_grad dx);
/* y = x_0 + the mean of the other inputs, n values. */
cudaError_t fx_k_residual(cudaStream_t stream, const struct fx_k_inputs *in, float *y, size_t n);
cudaError_t fx_k_residual_back(cudaStream_t stream, const struct fx_k_inputs *in, const float *dy,
                               size_t n);
/* y (rows, sum of in->c) = inputs side by side. */
cudaError_t fx_k_concat(cudaStream_t stream, const struct fx_k_inputs *in, int rows, float *y);
cudaError_t fx_k_concat_back(cudaStream_t stream, const struct fx_k_inputs *in, int rows,
                             const float *dy);
/* y = a + b, then ReLU; back: each dx = or += (relu && y <= 0 ? 0 : dy). */
cudaError_t fx_k_add_vectors(cudaStream_t stream, const float *a, const float *b, float *y,
                             size_t n, bool relu);
cudaError_t fx_k_add_vectors_back(cudaStream_t stream, const struct fx_k_inputs *in, const float *y,
                                  const float *dy, size_t n, bool relu);
/* y = drop(x) for (n, area, c); back: dx = or += drop(dy). */
cudaError_t fx_k_drop_vector(const struct fx_k_launch *l, struct fx_k_array x, struct fx_k_array y,
                             int n, const struct fx_k_drop *drop);
cudaError_t fx_k_drop_vector_back(const struct fx_k_launch *l, struct fx_k_array dy,
                                  struct fx_k_grad dx, int n, const struct fx_k_drop *drop);

/* Multi-head attention over few tokens: qkv (n, tokens, 3c) -> y (n, tokens, c); the mask element
 * of dropout is (head * tokens + query) * tokens + key (drop->p = 0: none). tokens <= 16. */
struct fx_k_attention_shape {
    int n, tokens, c, heads;
    struct fx_k_drop drop;
};
cudaError_t fx_k_attention(cudaStream_t stream, const struct fx_k_attention_shape *a,
                           const float *qkv, float *y);
cudaError_t fx_k_attention_back(cudaStream_t stream, const struct fx_k_attention_shape *a,
                                const float *qkv, const float *dy, struct fx_k_grad d_qkv);

/* ---- loss.cu -------------------------------------------------------------------------------- */

/* Up to 256 classes; more are cudaErrorInvalidValue.  The pointers of heads, and losses, are device
 * memory. */
size_t fx_k_loss_scratch(int n);
/* Adds to losses; writes (=) the logits' gradients.  As lib/ops/loss.c, in double.  An
 * image is mixed with its partner (lam) if batch->has_partner.  scratch: fx_k_loss_scratch bytes.
 */
cudaError_t fx_k_loss(cudaStream_t stream, const struct fx_heads *heads,
                      const struct fx_k_batch_view *batch, struct fx_losses *losses, void *scratch);

/* ---- optimizer.cu --------------------------------------------------------------------------- */

/* struct fx_update and struct fx_sgd as the device needs them: all but the scales is computed on
 * the host. */
struct fx_k_update {
    double clip, clip_group[FX_N_GROUPS], grad_scale;
    float average_step; /* 1 - ema */
    bool is_sgd;
    struct fx_adamw adamw[FX_N_GROUPS];      /* scale: not set */
    struct fx_sgd_momentum sgd[FX_N_GROUPS]; /* likewise */
};

/* What an update found out; `skip` keeps everything as it was, in this update and in all that
 * follow until the host clears it. */
struct fx_k_result {
    double grad_norm;
    float scale[FX_N_GROUPS]; /* what each group's gradients are multiplied by */
    int32_t skip;             /* 0, or which guard: 1 loss, 2 gradient, 3 running statistic */
};

/* partials[i] = sum of squares of chunk i. */
cudaError_t fx_k_square_sums(cudaStream_t stream, const struct fx_chunk *chunks, size_t n_chunks,
                             const float *grads, double *partials);
/* Norms, guards and scales from the partials, as lib/backend/host/step.c; a result->skip that is
 * there stays. */
cudaError_t fx_k_norms(cudaStream_t stream, const struct fx_chunk *chunks, size_t n_chunks,
                       const double *partials, const struct fx_k_update *update,
                       const struct fx_losses *losses, const int *not_finite,
                       struct fx_k_result *result);
/* AdamW or SGD over all chunks, unless result->skip; shadow (bf16 copy of values): NULL in fp32. */
cudaError_t fx_k_optimize(cudaStream_t stream, const struct fx_chunk *chunks, size_t n_chunks,
                          const struct fx_k_update *update, const struct fx_k_result *result,
                          float *values, const float *grads, float *exp_avg, float *exp_avg_sq,
                          void *shadow);
/* running = pending, n floats, unless result->skip. */
cudaError_t fx_k_running_commit(cudaStream_t stream, const struct fx_k_result *result,
                                const float *pending, float *running, size_t n);

/* average += average_step * (value - average), n floats, unless result->skip. */
cudaError_t fx_k_average(cudaStream_t stream, const struct fx_k_update *update,
                         const struct fx_k_result *result, float *average, const float *value,
                         size_t n);
/* Exchanges n floats. */
cudaError_t fx_k_swap(cudaStream_t stream, float *a, float *b, size_t n);

/* ---- input.cu, augment.cu: the batch from the resident images ---------------------------------
 */

/* crop, flip and pixel operations: out u8 (n, 3, 32, 32) from images u8 (., 3, 32, 32) by the rows
 * of the batch; the same bytes as fx_augment_apply_u8. */
cudaError_t fx_k_augment(cudaStream_t stream, const struct fx_k_batch_view *batch, int n,
                         const uint8_t *images, uint8_t *out);
/* The finished input from augmented images: normalised, erased, mixed; a map of 3 channels.  The
 * same numbers as fx_augment_batch. */
cudaError_t fx_k_input(const struct fx_k_launch *l, const struct fx_k_batch_view *batch, int n,
                       const uint8_t *augmented, const float mean[3], const float std[3],
                       const struct fx_k_map *y);

/* ---- input.cu: between maps and f32 as the host has it, (n, c, h, w) lane behind lane ----------
 */

/* y, a map of c channels, = pixels. */
cudaError_t fx_k_pixels(const struct fx_k_launch *l, const float *pixels, int n, int c, int h,
                        int w, const struct fx_k_map *y);
/* out = map. */
cudaError_t fx_k_unpack_map(const struct fx_k_launch *l, const struct fx_k_map *map, int n, int h,
                            int w, float *out);

#ifdef __cplusplus
}
#endif
#endif
