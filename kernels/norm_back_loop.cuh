/* The loop that all passes of the backward direction share: over the rows of a thread's channels of
 * a map and of the gradient of its norm. */
#ifndef FX_KERNELS_NORM_BACK_LOOP_CUH
#define FX_KERNELS_NORM_BACK_LOOP_CUH

#include "norm_sums.cuh"
#include "norm_value.cuh"

/* What becomes of each row's result: it is forgotten, written, or added to what is there; or it is
 * forgotten, and what is left of dy behind the ReLU of a sum is written over it. */
enum fx_norm_end { FX_NORM_FORGETS, FX_NORM_SETS, FX_NORM_ADDS, FX_NORM_PULLS };

struct fx_norm_maps {
    fx_k_map x, dy;
    fx_k_map to; /* the results'; of FX_NORM_PULLS the sum; unused by FX_NORM_FORGETS */
};

/* The gradient g of a sum behind ReLU, from that of its result. */
static __device__ __forceinline__ void fx_norm_pull_sum(const fx_map_block &sum, fx_map_block *g)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++)
        if (sum.c[i] <= 0.0f)
            g->c[i] = 0.0f;
}

/* For each row: make(k, x, &g), with the gradient g behind dropout and ReLU, which it makes the
 * result.  k is what begin() returns, once, when the first rows are on their way: the coefficients
 * of the thread's channels, of which scale and shift, the norm's, decide where the ReLU is open. */
template <class T, bool RELU, bool DROPS, fx_norm_end END, class Begin, class Make>
static __device__ __forceinline__ void fx_norm_back_loop(const fx_norm_maps &maps,
                                                         const fx_norm_cut &cut,
                                                         const fx_norm_thread &t,
                                                         const fx_k_norm &norm, Begin begin,
                                                         Make make)
{
    constexpr int BATCH = fx_norm_batch<T>(END == FX_NORM_PULLS ? 3 : 2); /* more would spill */
    fx_norm_way<const T> values = fx_norm_way_of<const T>(maps.x, cut, t);
    fx_norm_way<T> grads = fx_norm_way_of<T>(maps.dy, cut, t);
    fx_norm_way<T> to = fx_norm_way_of<T>(maps.to, cut, t);
    fx_norm_way<uint8_t> mask = fx_norm_mask_way_of(norm.mask, cut, t);
    fx_norm_packed<uint8_t> kept[BATCH] = {};
    fx_norm_packed<T> v_batch[BATCH] = {}, g_batch[BATCH] = {}, old_batch[BATCH] = {};
    auto load = [&](int row) {
        fx_norm_load(values, cut, t, row, v_batch);
        fx_norm_load({ grads.at, grads.step }, cut, t, row, g_batch);
        if constexpr (DROPS)
            fx_norm_load({ mask.at, mask.step }, cut, t, row, kept);
        if constexpr (END == FX_NORM_ADDS || END == FX_NORM_PULLS)
            fx_norm_load({ to.at, to.step }, cut, t, row, old_batch);
    };

    load(t.row);
    auto line = begin();
    for (int row = t.row; row < t.end; row += BATCH * cut.height) {
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (!fx_norm_has(cut, t, row, k))
                break;
            fx_map_block v = fx_norm_unpack(v_batch[k]), g = fx_norm_unpack(g_batch[k]);
            if constexpr (END == FX_NORM_PULLS) {
                fx_norm_pull_sum(fx_norm_unpack(old_batch[k]), &g);
                fx_norm_store_exact(grads.at + k * grads.step, t.first, cut.c, g);
            }
            if constexpr (DROPS)
                fx_mask_apply(kept[k].kept, norm.mask.factor, &g);
            if constexpr (RELU)
                fx_norm_pull(line.scale, line.shift, v, &g);
            make(line, v, &g);
            if constexpr (END == FX_NORM_ADDS)
                fx_norm_add_to(to.at + k * to.step, t.first, cut.c, fx_norm_unpack(old_batch[k]),
                               g);
            else if constexpr (END == FX_NORM_SETS)
                fx_norm_store_exact(to.at + k * to.step, t.first, cut.c, g);
        }
        values.at += BATCH * values.step;
        grads.at += BATCH * grads.step;
        to.at += BATCH * to.step;
        mask.at += BATCH * mask.step;
        load(row + BATCH * cut.height);
    }
}

/* What the sums of the backward pass need of a norm. */
struct fx_norm_sum_line {
    fx_map_block scale, shift, mean;
};

/* Fills the table; the coefficients of a thread's channels.  All threads of the block call it. */
static __device__ __forceinline__ fx_norm_sum_line fx_norm_sum_line_of(const fx_k_norm &norm,
                                                                       const fx_norm_cut &cut,
                                                                       const fx_norm_thread &t,
                                                                       fx_norm_table *table)
{
    fx_norm_fill(norm, cut, t.lane, table);
    return { fx_map_load(table->scale + t.x * FX_K_BLOCK),
             fx_map_load(table->shift + t.x * FX_K_BLOCK),
             fx_map_load(table->mean + t.x * FX_K_BLOCK) };
}

/* The two sums of the backward pass, over the rows of a thread: of g, and of g * (x - mean). */
static __device__ __forceinline__ void fx_norm_sum_back(fx_norm_pair *sums, const fx_map_block &x,
                                                        const fx_map_block &mean,
                                                        const fx_map_block &g)
{
#pragma unroll
    for (int i = 0; i < FX_K_BLOCK; i++) {
        sums->a[i] += g.c[i];
        sums->b[i] += g.c[i] * (x.c[i] - mean.c[i]);
    }
}

#endif
