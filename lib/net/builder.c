/* The builder's state: lanes, paths, the sticky failure, and appending parameters.  The nodes are
 * in builder_nodes.c. */
#include "net/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fx_builder_init(struct fx_builder *b, struct fx_graph *graph, struct fx_err *err)
{
    *b = (struct fx_builder){ .graph = graph, .err = err, .lane = FX_LANE_FUSION };
    graph->fused = -1;
}

void fx_builder_lane(struct fx_builder *b, int lane)
{
    b->lane = lane;
    b->next_dropout = 0;
}

void fx_builder_component(struct fx_builder *b, enum fx_param_group group, int first_number)
{
    b->group = group;
    b->next_number = first_number;
}

int fx_builder_fail(struct fx_builder *b, enum fx_status status, const char *fmt, ...)
{
    char text[FX_ERR_MSG_BYTES];
    size_t n = strlen(b->path);
    va_list args;

    if (b->status != FX_OK)
        return -1;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    b->status = status;
    if (n > 0)
        (void)fx_fail(b->err, status, "%.*s: %s", (int)n - 1, b->path, text);
    else
        (void)fx_fail(b->err, status, "%s", text);
    return -1;
}

void fx_builder_enter(struct fx_builder *b, const char *fmt, ...)
{
    size_t length = strlen(b->path);
    va_list args;
    int n;

    if (b->status != FX_OK)
        return;
    va_start(args, fmt);
    n = vsnprintf(b->path + length, sizeof b->path - length, fmt, args);
    va_end(args);
    if (b->depth == FX_BUILDER_DEPTH || length + (size_t)n + 2 > sizeof b->path) {
        b->path[length] = '\0';
        (void)fx_builder_fail(b, FX_EFAIL, "modules are nested too deeply");
        return;
    }
    b->lengths[b->depth++] = length;
    memcpy(b->path + length + n, ".", 2);
}

void fx_builder_leave(struct fx_builder *b)
{
    if (b->status == FX_OK)
        b->path[b->lengths[--b->depth]] = '\0';
}

/* Room for one more parameter. */
static bool grow_params(struct fx_graph *graph)
{
    int cap = graph->cap_params ? 2 * graph->cap_params : 64;
    struct fx_param *params;

    if (graph->n_params < graph->cap_params)
        return true;
    params = realloc(graph->params, (size_t)cap * sizeof *params);
    if (!params)
        return false;
    graph->params = params;
    graph->cap_params = cap;
    return true;
}

static struct fx_param param_from_spec(const struct fx_builder *b, const struct fx_param_spec *spec)
{
    struct fx_param param = {
        .kind = b->is_fixed && spec->kind == FX_PARAM_TRAINED ? FX_PARAM_FIXED : spec->kind,
        .group = b->group,
        .lane = b->lane,
        .n_dims = spec->n_dims,
        .n_elements = 1,
        .init = spec->init,
        .fan_in = spec->fan_in,
        .fan_out = spec->fan_out,
        .number = b->next_number,
    };

    for (int d = 0; d < spec->n_dims; d++) {
        param.shape[d] = spec->shape[d];
        param.n_elements *= spec->shape[d];
    }
    return param;
}

int fx_build_param(struct fx_builder *b, const struct fx_param_spec *spec)
{
    struct fx_graph *graph = b->graph;
    char name[2 * FX_BUILDER_PATH_BYTES];
    struct fx_param param;

    if (b->status != FX_OK)
        return -1;
    snprintf(name, sizeof name, "%s%s", b->path, spec->name);
    if (fx_graph_find_param(graph, name) >= 0)
        return fx_builder_fail(b, FX_EFAIL, "two parameters are named %s", name);
    param = param_from_spec(b, spec);
    param.name = strdup(name);
    if (!param.name || !grow_params(graph) ||
        !fx_name_index_add(&graph->names, name, (size_t)graph->n_params)) {
        free(param.name);
        return fx_builder_fail(b, FX_EFAIL, "out of memory for the network's parameters");
    }
    graph->params[graph->n_params] = param;
    b->next_number++;
    return graph->n_params++;
}
