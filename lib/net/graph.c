/* The graph as a container: freeing it and finding parameters by name. */
#include "net/graph.h"

#include "net/param_index.h"

#include <stdlib.h>
#include <string.h>

void fx_graph_fini(struct fx_graph *graph)
{
    for (int i = 0; i < graph->n_params; i++)
        free(graph->params[i].name);
    free(graph->params);
    free(graph->nodes);
    free(graph->index);
    *graph = (struct fx_graph){ 0 };
}

/* FNV-1a (Fowler, Noll, Vo): names share long prefixes, so every byte must count. */
static uint32_t hash_name(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

/* The slot that holds the name, or the empty one where it would go.  The table is never full. */
static int find_slot(const struct fx_graph *graph, const char *name)
{
    unsigned mask = (unsigned)graph->cap_index - 1;
    unsigned slot = hash_name(name) & mask;

    while (graph->index[slot] && strcmp(graph->params[graph->index[slot] - 1].name, name) != 0)
        slot = (slot + 1) & mask;
    return (int)slot;
}

int fx_graph_find_param(const struct fx_graph *graph, const char *name)
{
    return graph->cap_index ? graph->index[find_slot(graph, name)] - 1 : -1;
}

/* Twice the size, a power of two, with the names put in again. */
static enum fx_status grow_index(struct fx_graph *graph, struct fx_err *err)
{
    int cap = graph->cap_index ? 2 * graph->cap_index : 64;
    int *index = calloc((size_t)cap, sizeof *index);

    if (!index)
        return fx_fail(err, FX_EFAIL, "out of memory for the network's parameter names");
    free(graph->index);
    graph->index = index;
    graph->cap_index = cap;
    for (int i = 0; i < graph->n_params; i++)
        graph->index[find_slot(graph, graph->params[i].name)] = i + 1;
    return FX_OK;
}

enum fx_status fx_graph_index_last(struct fx_graph *graph, struct fx_err *err)
{
    int last = graph->n_params - 1;

    if (2 * graph->n_params > graph->cap_index)
        return grow_index(graph, err);
    graph->index[find_slot(graph, graph->params[last].name)] = last + 1;
    return FX_OK;
}
