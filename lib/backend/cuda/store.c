/* Arenas on the device, and parameters in and out of them. */
#include "backend/cuda/store_internal.h"

#include "backend/cuda/error_internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- layout of convolution weights ----
 *
 * Between C order, (c_out, c_in / groups, kernel, kernel), and the layout of cuDNN and cuBLASLt,
 * (merged, out, kernel, kernel, in), fx_weight_floats(l) values.  Element by element: it happens at
 * the start and the end of a run, and at checkpoints. */

/* Where output channel o and input channel i (of its group) meet at tap 0; the next tap lies l->in
 * values further. */
static size_t weight_at(const struct fx_weight_layout *l, int o, int i)
{
    int per_out = l->c_out / l->groups, per_in = l->c_in / l->groups;
    int merge = l->groups / l->merged, g = o / per_out;
    int gm = g / merge; /* the merged group, and the channels within it */
    int om = o - gm * merge * per_out, im = g % merge * per_in + i;
    int taps = l->kernel * l->kernel;

    return (((size_t)gm * (size_t)l->out + (size_t)om) * (size_t)taps) * (size_t)l->in + (size_t)im;
}

/* Also writes the zeros. */
static void filter_pack(const struct fx_weight_layout *l, const float *plain, float *packed)
{
    int taps = l->kernel * l->kernel;

    memset(packed, 0, fx_weight_floats(l) * sizeof *packed);
    for (int o = 0; o < l->c_out; o++)
        for (int i = 0; i < l->c_in / l->groups; i++)
            for (int t = 0; t < taps; t++)
                packed[weight_at(l, o, i) + (size_t)t * (size_t)l->in] = *plain++;
}

static void filter_unpack(const struct fx_weight_layout *l, const float *packed, float *plain)
{
    int taps = l->kernel * l->kernel;

    for (int o = 0; o < l->c_out; o++)
        for (int i = 0; i < l->c_in / l->groups; i++)
            for (int t = 0; t < taps; t++)
                *plain++ = packed[weight_at(l, o, i) + (size_t)t * (size_t)l->in];
}

/* ---- arenas ---- */

static enum fx_status out_of_memory(struct fx_err *err)
{
    return fx_fail(err, FX_EFAIL, "device cuda: out of memory for the parameter table");
}

enum fx_status fx_device_store_init(struct fx_device_store *store, const struct fx_graph *graph,
                                    bool trains, bool bf16, struct fx_err *err)
{
    *store = (struct fx_device_store){ .bf16 = bf16 };
    FX_TRY(fx_store_layout_init(&store->layout, graph, trains, err));
    store->weights = calloc((size_t)graph->n_params + 1, sizeof *store->weights);
    if (!store->weights)
        return out_of_memory(err);
    for (int i = 0; i < graph->n_nodes; i++) {
        const struct fx_node *node = &graph->nodes[i];

        if (node->kind == FX_NODE_CONV2D) {
            struct fx_weight_layout *weight = &store->weights[node->params[0]];

            *weight = fx_weight_layout_of(node, graph->nodes[node->inputs[0]].shape.c, FX_K_BLOCK);
            fx_store_layout_set_packed(&store->layout, node->params[0], fx_weight_floats(weight));
        }
    }
    FX_TRY(fx_store_layout_place(&store->layout, err));
    store->counters = calloc(store->layout.n_counters + 1, sizeof *store->counters);
    return store->counters ? FX_OK : out_of_memory(err);
}

void fx_device_store_fini(struct fx_device_store *store)
{
    for (int role = 0; role < FX_N_ROLES; role++)
        cudaFree(store->roles[role]);
    cudaFree(store->shadow);
    cudaFree(store->running);
    cudaFree(store->pending);
    cudaFree(store->running_average);
    cudaFree(store->chunks);
    cudaFree(store->partials);
    free(store->weights);
    free(store->counters);
    fx_store_layout_fini(&store->layout);
    *store = (struct fx_device_store){ 0 };
}

void fx_device_store_memory(const struct fx_device_store *store, struct fx_memory *memory)
{
    fx_store_layout_memory(&store->layout, memory);
    if (store->bf16)
        memory->parameters += 2 * (store->layout.n_fixed + store->layout.n_trained);
    if (store->layout.trains)
        memory->optimizer += store->layout.n_chunks * (sizeof(struct fx_chunk) + sizeof(double));
}

/* n_bytes of zeros; NULL for none. */
static enum fx_status make_zeros(void *to, size_t n_bytes, cudaStream_t stream, struct fx_err *err)
{
    void *memory = NULL;

    if (n_bytes > 0) {
        FX_CUDA(cudaMalloc(&memory, n_bytes));
        memcpy(to, &memory, sizeof memory);
        FX_CUDA(cudaMemsetAsync(memory, 0, n_bytes, stream));
    }
    return FX_OK;
}

static enum fx_status load_chunks(struct fx_device_store *store, cudaStream_t stream,
                                  struct fx_err *err)
{
    const struct fx_store_layout *layout = &store->layout;

    FX_CUDA(cudaMemcpyAsync(store->chunks, layout->chunks,
                            layout->n_chunks * sizeof *layout->chunks, cudaMemcpyHostToDevice,
                            stream));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

enum fx_status fx_device_store_allocate(struct fx_device_store *store, cudaStream_t stream,
                                        struct fx_err *err)
{
    const struct fx_store_layout *layout = &store->layout;
    size_t trained = layout->n_trained * sizeof(float), running = layout->n_running * sizeof(float);
    size_t n_weights = layout->n_fixed + layout->n_trained;
    int last = !layout->trains    ? FX_ROLE_VALUE
               : layout->averages ? FX_ROLE_AVERAGE
                                  : FX_ROLE_EXP_AVG_SQ;

    FX_TRY(make_zeros(&store->roles[FX_ROLE_VALUE], n_weights * sizeof(float), stream, err));
    for (int role = FX_ROLE_VALUE + 1; role <= last; role++)
        FX_TRY(make_zeros(&store->roles[role], trained, stream, err));
    if (store->bf16)
        FX_TRY(make_zeros(&store->shadow, 2 * n_weights, stream, err));
    FX_TRY(make_zeros(&store->running, running, stream, err));
    if (layout->averages)
        FX_TRY(make_zeros(&store->running_average, running, stream, err));
    if (layout->trains && layout->n_chunks > 0) {
        FX_TRY(make_zeros(&store->pending, running, stream, err));
        FX_TRY(make_zeros(&store->chunks, layout->n_chunks * sizeof *store->chunks, stream, err));
        FX_TRY(
            make_zeros(&store->partials, layout->n_chunks * sizeof *store->partials, stream, err));
        FX_TRY(load_chunks(store, stream, err));
    }
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

float *fx_device_store_at(const struct fx_device_store *store, int param, enum fx_tensor_role role)
{
    bool is_weight = fx_param_is_weight(&store->layout.graph->params[param]);
    float *running = role == FX_ROLE_AVERAGE ? store->running_average : store->running;
    float *base = is_weight ? store->roles[role] : running;
    size_t before = is_weight && role != FX_ROLE_VALUE ? store->layout.n_fixed : 0;

    return base ? base + store->layout.extents[param].offset - before : NULL;
}

void *fx_device_store_shadow(const struct fx_device_store *store, int param)
{
    return (char *)store->shadow + 2 * store->layout.extents[param].offset;
}

/* ---- in and out ---- */

static enum fx_status check_role(const struct fx_device_store *store, int param,
                                 enum fx_tensor_role role, struct fx_err *err)
{
    const struct fx_param *p = &store->layout.graph->params[param];

    if (role == FX_ROLE_AVERAGE
            ? store->layout.averages && fx_param_is_averaged(p)
            : role == FX_ROLE_VALUE || (p->kind == FX_PARAM_TRAINED && store->layout.trains))
        return FX_OK;
    return fx_fail(err, FX_EUSAGE, "%s: has no such role", p->name);
}

/* From C order into the device's layout, or back. */
static void pack(const struct fx_device_store *store, int param, const float *plain, float *packed)
{
    if (store->weights[param].kernel > 0)
        filter_pack(&store->weights[param], plain, packed);
    else
        memcpy(packed, plain, store->layout.extents[param].n * sizeof *plain);
}

static void unpack(const struct fx_device_store *store, int param, const float *packed,
                   float *plain)
{
    if (store->weights[param].kernel > 0)
        filter_unpack(&store->weights[param], packed, plain);
    else
        memcpy(plain, packed, store->layout.extents[param].n * sizeof *plain);
}

/* Packed values to the device, and the shadow of weights. */
static enum fx_status send(struct fx_device_store *store, cudaStream_t stream, int param,
                           enum fx_tensor_role role, const float *packed, struct fx_err *err)
{
    bool is_weight = fx_param_is_weight(&store->layout.graph->params[param]);
    float *to = fx_device_store_at(store, param, role);
    size_t n = store->layout.extents[param].n;

    FX_CUDA(cudaMemcpyAsync(to, packed, n * sizeof *packed, cudaMemcpyHostToDevice, stream));
    if (store->bf16 && is_weight && role == FX_ROLE_VALUE)
        FX_CUDA(fx_k_to_bf16(stream, to, fx_device_store_shadow(store, param), n));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

static enum fx_status receive(const struct fx_device_store *store, cudaStream_t stream, int param,
                              enum fx_tensor_role role, float *packed, struct fx_err *err)
{
    size_t n = store->layout.extents[param].n;

    FX_CUDA(cudaMemcpyAsync(packed, fx_device_store_at(store, param, role), n * sizeof *packed,
                            cudaMemcpyDeviceToHost, stream));
    FX_CUDA(cudaStreamSynchronize(stream));
    return FX_OK;
}

enum fx_status fx_device_store_write(struct fx_device_store *store, cudaStream_t stream, int param,
                                     enum fx_tensor_role role, const void *data, struct fx_err *err)
{
    const struct fx_extent *extent = &store->layout.extents[param];
    enum fx_status status;
    float *packed;

    FX_TRY(check_role(store, param, role, err));
    if (store->layout.graph->params[param].kind == FX_PARAM_COUNTER) {
        memcpy(&store->counters[extent->offset], data, sizeof *store->counters);
        return FX_OK;
    }
    packed = malloc(extent->n * sizeof *packed);
    if (!packed)
        return out_of_memory(err);
    pack(store, param, data, packed);
    status = send(store, stream, param, role, packed, err);
    free(packed);
    return status;
}

enum fx_status fx_device_store_read(const struct fx_device_store *store, cudaStream_t stream,
                                    int param, enum fx_tensor_role role, void *data,
                                    struct fx_err *err)
{
    const struct fx_extent *extent = &store->layout.extents[param];
    enum fx_status status;
    float *packed;

    FX_TRY(check_role(store, param, role, err));
    if (store->layout.graph->params[param].kind == FX_PARAM_COUNTER) {
        memcpy(data, &store->counters[extent->offset], sizeof *store->counters);
        return FX_OK;
    }
    packed = malloc(extent->n * sizeof *packed);
    if (!packed)
        return out_of_memory(err);
    status = receive(store, stream, param, role, packed, err);
    if (status == FX_OK)
        unpack(store, param, packed, data);
    free(packed);
    return status;
}

enum fx_status fx_device_store_swap(struct fx_device_store *store, cudaStream_t stream,
                                    struct fx_err *err)
{
    const struct fx_store_layout *layout = &store->layout;
    float *values = store->roles[FX_ROLE_VALUE] + layout->n_fixed;

    FX_CUDA(fx_k_swap(stream, values, store->roles[FX_ROLE_AVERAGE], layout->n_trained));
    FX_CUDA(fx_k_swap(stream, store->running, store->running_average, layout->n_running));
    if (store->bf16 && layout->n_trained > 0)
        FX_CUDA(
            fx_k_to_bf16(stream, values, fx_device_store_trained_shadow(store), layout->n_trained));
    return FX_OK;
}
