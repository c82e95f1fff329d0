/* Which family's network a file holds, when it is not the one that was asked for. */
#include "checkpoint/state_dict.h"

#include "net/arch.h"
#include "net/model.h"

#include <stdio.h>
#include <string.h>

/* The classes of an expert: the elements of its classifier's bias; 0 when it has none. */
static int count_classes(const struct fx_tensor_set *set, const struct fx_network *network)
{
    char name[64];

    snprintf(name, sizeof name, "%s.bias", network->classifier);
    const struct fx_tensor *bias = fx_tensor_set_find(set, name);
    if (!bias || bias->n_dims != 1 || bias->shape[0] < 2 || bias->shape[0] > 1000)
        return 0;
    return (int)bias->shape[0];
}

/* Compares the set with one expert; counters may be absent. */
static void compare(const struct fx_tensor_set *set, const struct fx_graph *graph, bool *has_names,
                    bool *has_shapes)
{
    static const char prefix[] = "expert_backbones.0.";
    size_t n_found = 0;

    *has_names = *has_shapes = true;
    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];
        const struct fx_tensor *tensor = fx_tensor_set_find(set, param->name + sizeof prefix - 1);
        if (!tensor) {
            *has_names = *has_names && param->kind == FX_PARAM_COUNTER;
            continue;
        }
        n_found++;
        if (tensor->n_dims != param->n_dims ||
            memcmp(tensor->shape, param->shape, (size_t)param->n_dims * sizeof *param->shape) != 0)
            *has_shapes = false;
    }
    *has_names = *has_names && n_found == set->n_tensors;
}

bool fx_arch_guess(const struct fx_tensor_set *set, char *buf, size_t n)
{
    if (set->n_tensors > 0 && strncmp(set->tensors[0].name, "expert_backbones.", 17) == 0) {
        snprintf(buf, n, "it holds several experts already");
        return true;
    }
    for (const struct fx_arch *arch = fx_archs; arch->name; arch++) {
        struct fx_graph graph = { 0 };
        struct fx_err ignored = { 0 };
        struct fx_model_config config = { .arch = arch->name,
                                          .n_experts = 1,
                                          .n_classes = count_classes(set, arch->network),
                                          .expert_dropout = -1,
                                          .fusion_dropout = -1 };
        bool has_names = false, has_shapes = false;
        if (fx_model_build(&graph, &config, &ignored) == FX_OK)
            compare(set, &graph, &has_names, &has_shapes);
        fx_graph_fini(&graph);
        if (has_names) {
            snprintf(buf, n, "its tensors %s %s with %d classes",
                     has_shapes ? "are those of" : "are named like those of another size of",
                     arch->name, config.n_classes);
            return true;
        }
    }
    return false;
}
