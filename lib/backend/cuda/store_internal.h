/* The parameters on the device: arenas by role, laid out by backend/host/store_layout.h.
 *
 * A convolution's weight is (merged groups, out, kernel, kernel, in), channels padded with zeros
 * (net/blocks.h), everything else C order.  In bf16 a shadow arena holds a bf16 copy of all
 * trained values, which the convolutions read; the masters stay f32.  Counters live on the host. */
#ifndef FX_BACKEND_CUDA_STORE_INTERNAL_H
#define FX_BACKEND_CUDA_STORE_INTERNAL_H

#include "backend/host/store_layout.h"
#include "kernels/kernels.h"
#include "net/blocks.h"

struct fx_device_store {
    struct fx_store_layout layout;
    bool bf16;
    struct fx_weight_layout *weights; /* owned; by parameter; kernel 0: not a convolution's */
    int64_t *counters;                /* owned, host memory */
    /* owned, device memory: */
    float *roles[FX_N_ROLES]; /* trained; by role, as the layout has them */
    void *shadow;             /* bf16; NULL in fp32 */
    float *running, *pending; /* as committed; after the forward passes since then */
    float *running_average;
    struct fx_chunk *chunks;
    double *partials; /* one for each chunk */
};

/* Device memory is handed out in multiples of this. */
enum { FX_DEVICE_ALIGN = 256 };
static inline size_t fx_device_round(size_t n_bytes)
{
    return (n_bytes + FX_DEVICE_ALIGN - 1) / FX_DEVICE_ALIGN * FX_DEVICE_ALIGN;
}

/* The bf16 copy of the first trained weight; NULL in fp32. */
static inline void *fx_device_store_trained_shadow(const struct fx_device_store *store)
{
    return store->shadow ? (char *)store->shadow + 2 * store->layout.n_fixed : NULL;
}

enum fx_status fx_device_store_init(struct fx_device_store *store, const struct fx_graph *graph,
                                    bool trains, bool bf16, struct fx_err *err) FX_MUST_CHECK;
void fx_device_store_fini(struct fx_device_store *store); /* accepts a zeroed store */

/* fx_device_store_memory: fills parameters, gradients and optimizer. */
void fx_device_store_memory(const struct fx_device_store *store, struct fx_memory *memory);

/* fx_device_store_allocate: once; everything zero.  Waits for the stream. */
enum fx_status fx_device_store_allocate(struct fx_device_store *store, cudaStream_t stream,
                                        struct fx_err *err) FX_MUST_CHECK;

/* A parameter's address in a role (running statistics: FX_ROLE_VALUE, FX_ROLE_AVERAGE); a trained
 * one's shadow. */
float *fx_device_store_at(const struct fx_device_store *store, int param, enum fx_tensor_role role);
void *fx_device_store_shadow(const struct fx_device_store *store, int param);

/* fx_device_store_swap: the back end's averages_swap, enqueued. */
enum fx_status fx_device_store_swap(struct fx_device_store *store, cudaStream_t stream,
                                    struct fx_err *err) FX_MUST_CHECK;

/* fx_device_store_write, fx_device_store_read: the back end's tensor_write and tensor_read; they
 * wait for the stream. */
enum fx_status fx_device_store_write(struct fx_device_store *store, cudaStream_t stream, int param,
                                     enum fx_tensor_role role, const void *data,
                                     struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_device_store_read(const struct fx_device_store *store, cudaStream_t stream,
                                    int param, enum fx_tensor_role role, void *data,
                                    struct fx_err *err) FX_MUST_CHECK;

#endif
