/* The graph as a container: freeing it and finding parameters by name. */
#include "net/graph.h"

#include <stdlib.h>

void fx_graph_fini(struct fx_graph *graph)
{
    for (int i = 0; i < graph->n_params; i++)
        free(graph->params[i].name);
    free(graph->params);
    free(graph->nodes);
    fx_name_index_fini(&graph->names);
    *graph = (struct fx_graph){ 0 };
}

static const char *name_of(const void *params, size_t number)
{
    return ((const struct fx_param *)params)[number].name;
}

int fx_graph_find_param(const struct fx_graph *graph, const char *name)
{
    return (int)fx_name_index_find(&graph->names, name, name_of, graph->params);
}
