/* Rows on their way: a thread loads a batch of them before it uses the first, and keeps them as
 * they lie in memory until then. */
#ifndef FX_KERNELS_NORM_ROWS_CUH
#define FX_KERNELS_NORM_ROWS_CUH

#include "norm_cut.cuh"

/* Rows of a batch: 64 bytes of each thread are on their way, from all maps that are read.  Dropout
 * computes more than it loads. */
template <class T> static __device__ constexpr int fx_norm_batch(int n_maps, bool drops)
{
    return drops ? 1 : 64 / (FX_K_BLOCK * (int)sizeof(T) * n_maps);
}

/* A block of channels as it lies in memory. */
template <class T> struct fx_norm_packed;

template <> struct fx_norm_packed<float> {
    float4 a, b;
};

template <> struct fx_norm_packed<__nv_bfloat16> {
    uint4 pairs;
};

static __device__ __forceinline__ fx_map_block fx_norm_unpack(const fx_norm_packed<float> &p)
{
    return { { p.a.x, p.a.y, p.a.z, p.a.w, p.b.x, p.b.y, p.b.z, p.b.w } };
}

/* A bf16 is the upper half of a float. */
static __device__ __forceinline__ fx_map_block
fx_norm_unpack(const fx_norm_packed<__nv_bfloat16> &p)
{
    uint32_t pairs[] = { p.pairs.x, p.pairs.y, p.pairs.z, p.pairs.w };
    fx_map_block block;

#pragma unroll
    for (int i = 0; i < FX_K_BLOCK / 2; i++) {
        block.c[2 * i] = __uint_as_float(pairs[i] << 16);
        block.c[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
    }
    return block;
}

/* A thread's way down its channels of a map; T is const where the map is read only. */
template <class T> struct fx_norm_way {
    T *at;       /* the thread's next row */
    size_t step; /* to the one after it */
};

template <class T>
static __device__ __forceinline__ fx_norm_way<T> fx_norm_way_of(const fx_k_map &map,
                                                                const fx_norm_cut &cut,
                                                                const fx_norm_thread &t)
{
    return { fx_map_at<T>(map, t.lane, (size_t)t.row, t.first),
             (size_t)cut.height * (size_t)map.ld };
}

/* Whether row i of the batch that begins at `row` is there. */
static __device__ __forceinline__ bool fx_norm_has(const fx_norm_cut &cut, const fx_norm_thread &t,
                                                   int row, int i)
{
    return row + i * cut.height < t.end;
}

/* Loads those of N rows that are there. */
template <class T, int N>
static __device__ __forceinline__ void fx_norm_load(const fx_norm_way<const T> &way,
                                                    const fx_norm_cut &cut, const fx_norm_thread &t,
                                                    int row, fx_norm_packed<T> (&batch)[N])
{
#pragma unroll
    for (int i = 0; i < N; i++)
        if (fx_norm_has(cut, t, row, i))
            batch[i] = *reinterpret_cast<const fx_norm_packed<T> *>(way.at + (size_t)i * way.step);
}

#endif
