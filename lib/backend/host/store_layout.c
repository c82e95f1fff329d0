/* The plan of the parameters' arenas. */
#include "backend/host/store_layout.h"

#include "backend/host/arena.h"

#include <stdlib.h>

enum { LINE_FLOATS = FX_ARENA_ALIGN / (int)sizeof(float) };

static size_t round_floats(size_t n)
{
    return (n + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

enum fx_status fx_store_layout_init(struct fx_store_layout *layout, const struct fx_graph *graph,
                                    bool trains, struct fx_err *err)
{
    *layout = (struct fx_store_layout){ .graph = graph, .trains = trains };
    layout->extents = calloc((size_t)graph->n_params + 1, sizeof *layout->extents);
    if (!layout->extents)
        return fx_fail(err, FX_EFAIL, "out of memory for the parameter table");
    for (int i = 0; i < graph->n_params; i++)
        layout->extents[i].n = (size_t)graph->params[i].n_elements;
    layout->averages = trains && graph->averages;
    layout->gathers = trains;
    for (int i = 0; i < graph->n_nodes; i++)
        if (graph->nodes[i].kind == FX_NODE_BATCHNORM && fx_graph_is_fixed(graph, &graph->nodes[i]))
            layout->gathers = false; /* norms of a graph are all of a kind */
    return FX_OK;
}

void fx_store_layout_fini(struct fx_store_layout *layout)
{
    free(layout->chunks);
    free(layout->extents);
    *layout = (struct fx_store_layout){ 0 };
}

void fx_store_layout_set_packed(struct fx_store_layout *layout, int param, size_t n)
{
    layout->extents[param].n = n;
}

/* Floats or numbers of all parameters whose kind is in [first, last], each on its own cache line.
 */
static size_t sum_extents(const struct fx_store_layout *layout, enum fx_param_kind first,
                          enum fx_param_kind last)
{
    size_t n = 0;

    for (int i = 0; i < layout->graph->n_params; i++) {
        enum fx_param_kind kind = layout->graph->params[i].kind;

        if (kind >= first && kind <= last)
            n += round_floats(layout->extents[i].n);
    }
    return n;
}

static size_t count_counters(const struct fx_store_layout *layout)
{
    size_t n = 0;

    for (int i = 0; i < layout->graph->n_params; i++)
        n += layout->graph->params[i].kind == FX_PARAM_COUNTER;
    return n;
}

size_t fx_store_layout_statistics_bytes(const struct fx_store_layout *layout)
{
    size_t n_running = sum_extents(layout, FX_PARAM_RUNNING_MEAN, FX_PARAM_RUNNING_VAR);
    size_t n_copies = (size_t)1 + layout->gathers + layout->averages;

    return n_copies * n_running * sizeof(float) + count_counters(layout) * sizeof(int64_t);
}

void fx_store_layout_memory(const struct fx_store_layout *layout, struct fx_memory *memory)
{
    size_t trained = sum_extents(layout, FX_PARAM_TRAINED, FX_PARAM_TRAINED) * sizeof(float);

    size_t fixed = sum_extents(layout, FX_PARAM_FIXED, FX_PARAM_FIXED) * sizeof(float);

    memory->parameters = fixed + trained + fx_store_layout_statistics_bytes(layout);
    memory->gradients = layout->trains ? trained : 0;
    memory->optimizer = layout->trains ? (2 + (size_t)layout->averages) * trained : 0;
}

/* Gives every parameter its extent in the arena of its kind. */
static void place_extents(struct fx_store_layout *layout)
{
    size_t n_weights = 0;

    for (int i = 0; i < layout->graph->n_params; i++) {
        struct fx_extent *extent = &layout->extents[i];
        size_t *used = &layout->n_running;

        if (fx_param_is_weight(&layout->graph->params[i]))
            used = &n_weights;
        if (layout->graph->params[i].kind == FX_PARAM_COUNTER) {
            extent->offset = layout->n_counters++;
            continue;
        }
        extent->offset = *used;
        *used += round_floats(extent->n);
        if (layout->graph->params[i].kind == FX_PARAM_FIXED)
            layout->n_fixed = n_weights;
    }
    layout->n_trained = n_weights - layout->n_fixed;
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
static size_t cut_chunks(const struct fx_store_layout *layout, struct fx_chunk *chunks)
{
    const struct fx_graph *graph = layout->graph;
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
        end = layout->extents[i].offset + round_floats(layout->extents[i].n) - layout->n_fixed;
    }
    return cut_range(chunks, n, begin, end, group);
}

enum fx_status fx_store_layout_place(struct fx_store_layout *layout, struct fx_err *err)
{
    place_extents(layout);
    layout->n_chunks = cut_chunks(layout, NULL);
    layout->chunks = calloc(layout->n_chunks + 1, sizeof *layout->chunks);
    if (!layout->chunks)
        return fx_fail(err, FX_EFAIL, "out of memory for the optimizer's table");
    (void)cut_chunks(layout, layout->chunks);
    return FX_OK;
}
