/* The parameter store: the plan of the arenas, and reading and writing parameters. */
#include "backend/host/store.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_FLOATS = FX_ARENA_ALIGN / (int)sizeof(float) };

static size_t round_floats(size_t n)
{
    return (n + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

enum fx_status fx_store_init(struct fx_store *store, const struct fx_graph *graph, bool trains,
                             const struct fx_packing *packing, struct fx_err *err)
{
    *store = (struct fx_store){ .graph = graph, .trains = trains };
    if (packing)
        store->packing = *packing;
    store->slots = calloc((size_t)graph->n_params + 1, sizeof *store->slots);
    if (!store->slots)
        return fx_fail(err, FX_EFAIL, "out of memory for the parameter table");
    for (int i = 0; i < graph->n_params; i++)
        store->slots[i].n = (size_t)graph->params[i].n_elements;
    return FX_OK;
}

void fx_store_fini(struct fx_store *store)
{
    for (int role = 0; role <= FX_ROLE_EXP_AVG_SQ; role++)
        fx_arena_destroy(&store->arenas[role]);
    fx_arena_destroy(&store->statistics);
    free(store->partials);
    free(store->chunks);
    free(store->slots);
    *store = (struct fx_store){ 0 };
}

void fx_store_set_packed(struct fx_store *store, int param, size_t n)
{
    store->slots[param].n = n;
}

/* Floats or numbers of all parameters whose kind is in [first, last], each on its own cache line.
 */
static size_t sum_slots(const struct fx_store *store, enum fx_param_kind first,
                        enum fx_param_kind last)
{
    size_t n = 0;

    for (int i = 0; i < store->graph->n_params; i++) {
        enum fx_param_kind kind = store->graph->params[i].kind;

        if (kind >= first && kind <= last)
            n += round_floats(store->slots[i].n);
    }
    return n;
}

static size_t count_counters(const struct fx_store *store)
{
    size_t n = 0;

    for (int i = 0; i < store->graph->n_params; i++)
        n += store->graph->params[i].kind == FX_PARAM_COUNTER;
    return n;
}

/* Running statistics, their pending copies in training, and the counters. */
static size_t statistics_bytes(const struct fx_store *store)
{
    size_t n_running = sum_slots(store, FX_PARAM_RUNNING_MEAN, FX_PARAM_RUNNING_VAR);
    size_t n_copies = store->trains ? 2 : 1;

    return n_copies * n_running * sizeof(float) + count_counters(store) * sizeof(int64_t);
}

void fx_store_memory(const struct fx_store *store, struct fx_memory *memory)
{
    size_t trained = sum_slots(store, FX_PARAM_TRAINED, FX_PARAM_TRAINED) * sizeof(float);

    memory->parameters = trained + statistics_bytes(store);
    memory->gradients = store->trains ? trained : 0;
    memory->optimizer = store->trains ? 2 * trained : 0;
}

/* Gives every parameter its place in the arena of its kind. */
static void place(struct fx_store *store)
{
    for (int i = 0; i < store->graph->n_params; i++) {
        struct fx_slot *slot = &store->slots[i];
        size_t *used = &store->n_running;

        if (store->graph->params[i].kind == FX_PARAM_TRAINED)
            used = &store->n_trained;
        if (store->graph->params[i].kind == FX_PARAM_COUNTER) {
            slot->offset = store->n_counters++;
            continue;
        }
        slot->offset = *used;
        *used += round_floats(slot->n);
    }
}

/* Appends [begin, end) in pieces of FX_CHUNK_FLOATS to the chunks, or only counts them. */
static size_t cut_range(struct fx_chunk *chunks, size_t n, size_t begin, size_t end,
                        enum fx_param_group group)
{
    for (; begin < end; begin += FX_CHUNK_FLOATS, n++) {
        size_t stop = begin + FX_CHUNK_FLOATS;

        if (chunks)
            chunks[n] = (struct fx_chunk){ begin, stop < end ? stop : end, group };
    }
    return n;
}

/* The trained arenas cut into chunks, each within one group (groups are contiguous). */
static size_t cut_chunks(const struct fx_store *store, struct fx_chunk *chunks)
{
    const struct fx_graph *graph = store->graph;
    size_t n = 0, begin = 0, end = 0;
    enum fx_param_group group = FX_GROUP_EXPERTS;

    for (int i = 0; i < graph->n_params; i++) {
        if (graph->params[i].kind != FX_PARAM_TRAINED)
            continue;
        if (graph->params[i].group != group) {
            n = cut_range(chunks, n, begin, end, group);
            group = graph->params[i].group;
            begin = end;
        }
        end = store->slots[i].offset + round_floats(store->slots[i].n);
    }
    return cut_range(chunks, n, begin, end, group);
}

static enum fx_status make_chunks(struct fx_store *store, struct fx_err *err)
{
    store->n_chunks = cut_chunks(store, NULL);
    store->chunks = calloc(store->n_chunks + 1, sizeof *store->chunks);
    store->partials = calloc(store->n_chunks + 1, sizeof *store->partials);
    if (!store->chunks || !store->partials)
        return fx_fail(err, FX_EFAIL, "out of memory for the optimizer's table");
    (void)cut_chunks(store, store->chunks);
    return FX_OK;
}

enum fx_status fx_store_allocate(struct fx_store *store, struct fx_err *err)
{
    static const char *const names[] = { "parameters", "gradients", "optimizer state",
                                         "optimizer state" };
    float **floats[] = { &store->values, &store->grads, &store->exp_avg, &store->exp_avg_sq };
    int n_roles = store->trains ? 4 : 1;

    place(store);
    FX_TRY(make_chunks(store, err));
    for (int role = 0; role < n_roles; role++) {
        FX_TRY(fx_arena_create(&store->arenas[role], store->n_trained * sizeof(float), names[role],
                               err));
        *floats[role] = store->arenas[role].base;
    }
    FX_TRY(fx_arena_create(&store->statistics, statistics_bytes(store), "running statistics", err));
    store->running = store->statistics.base;
    if (store->running) {
        float *end = store->running + store->n_running;

        store->pending = store->trains ? end : NULL;
        store->counters = (int64_t *)(store->trains ? end + store->n_running : end);
    }
    store->is_allocated = true;
    return FX_OK;
}

float *fx_store_at(const struct fx_store *store, int param, enum fx_tensor_role role)
{
    float *const arenas[] = { store->values, store->grads, store->exp_avg, store->exp_avg_sq };
    size_t offset = store->slots[param].offset;

    if (store->graph->params[param].kind != FX_PARAM_TRAINED)
        return store->running + offset;
    return arenas[role] + offset;
}

/* A role other than VALUE exists only for trained parameters of a model that trains. */
static enum fx_status check_role(const struct fx_store *store, int param, enum fx_tensor_role role,
                                 struct fx_err *err)
{
    const struct fx_param *p = &store->graph->params[param];

    if (!store->is_allocated)
        return fx_fail(err, FX_EUSAGE, "%s: the model has no memory yet", p->name);
    if (role != FX_ROLE_VALUE && (p->kind != FX_PARAM_TRAINED || !store->trains))
        return fx_fail(err, FX_EUSAGE, "%s: has no gradient and no optimizer state", p->name);
    return FX_OK;
}

static bool is_packed(const struct fx_store *store, int param)
{
    return store->packing.pack && store->graph->params[param].kind == FX_PARAM_TRAINED;
}

enum fx_status fx_store_write(struct fx_store *store, int param, enum fx_tensor_role role,
                              const void *data, struct fx_err *err)
{
    const struct fx_param *p = &store->graph->params[param];

    FX_TRY(check_role(store, param, role, err));
    if (p->kind == FX_PARAM_COUNTER)
        memcpy(&store->counters[store->slots[param].offset], data, sizeof(int64_t));
    else if (is_packed(store, param))
        return store->packing.pack(store->packing.ctx, param, data, fx_store_at(store, param, role),
                                   err);
    else
        memcpy(fx_store_at(store, param, role), data, (size_t)p->n_elements * sizeof(float));
    return FX_OK;
}

enum fx_status fx_store_read(const struct fx_store *store, int param, enum fx_tensor_role role,
                             void *data, struct fx_err *err)
{
    const struct fx_param *p = &store->graph->params[param];

    FX_TRY(check_role(store, param, role, err));
    if (p->kind == FX_PARAM_COUNTER)
        memcpy(data, &store->counters[store->slots[param].offset], sizeof(int64_t));
    else if (is_packed(store, param))
        return store->packing.unpack(store->packing.ctx, param, fx_store_at(store, param, role),
                                     data, err);
    else
        memcpy(data, fx_store_at(store, param, role), (size_t)p->n_elements * sizeof(float));
    return FX_OK;
}
