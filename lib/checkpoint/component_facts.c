/* Asking several files the same question; who may answer which. */
#include "checkpoint/component_facts.h"

#include "net/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- who answers ----------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}

/* Tensors have the names that they have in the model, so the file speaks of all of it. */
static bool is_of_model(const struct fx_component *file)
{
    const char *name = file->set.n_tensors > 0 ? file->set.tensors[0].name : NULL;

    return starts_with(name, "expert_backbones.") || starts_with(name, "fusion_module.") ||
           starts_with(name, "global_head.");
}

static bool is_expert(const struct fx_component *file)
{
    const char *component = fx_tensor_set_meta(&file->set, "component");

    return !is_of_model(file) && (!component || starts_with(component, "expert_backbones."));
}

/* An expert that was taken out of a model tells the fusion that it was trained under; what it will
 * be joined with, the fusion module says. */
static bool knows_fusion(const struct fx_component *file)
{
    const char *component = fx_tensor_set_meta(&file->set, "component");

    return is_of_model(file) || starts_with(component, "fusion_module");
}

/* An expert that was trained alone says 1. */
static bool knows_experts(const struct fx_component *file)
{
    return is_of_model(file) || fx_tensor_set_meta(&file->set, "component");
}

static bool knows_classes(const struct fx_component *file)
{
    (void)file;
    return true;
}

static bool is_not_expert(const struct fx_component *file)
{
    return !is_expert(file);
}

/* ---- one answer ------------------------------------------------------------------------------ */

static enum fx_status contradiction(const struct fx_component *first,
                                    const struct fx_component *second, const char *key,
                                    const char *option, struct fx_err *err)
{
    return fx_fail(err, FX_EINPUT, "%s: says %s %s, but %s says %s; %s decides", second->input.name,
                   key, fx_tensor_set_meta(&second->set, key), first->input.name,
                   fx_tensor_set_meta(&first->set, key), option);
}

/* What those who know say under a key, NULL when they say nothing. */
static enum fx_status ask(struct fx_component_list list, bool (*knows)(const struct fx_component *),
                          const char *key, const char *option, const char **answer,
                          struct fx_err *err)
{
    const struct fx_component *first = NULL;

    *answer = NULL;
    for (int i = 0; i < list.n; i++) {
        const struct fx_component *file = &list.files[i];
        const char *value = knows(file) ? fx_tensor_set_meta(&file->set, key) : NULL;
        if (!value)
            continue;
        if (first && strcmp(value, *answer) != 0)
            return contradiction(first, file, key, option, err);
        if (!first) {
            first = file;
            *answer = value;
        }
    }
    return FX_OK;
}

enum fx_status fx_facts_fusion(struct fx_component_list list, const char **fusion,
                               struct fx_err *err)
{
    return ask(list, knows_fusion, "fusion", "--fusion", fusion, err);
}

static enum fx_status ask_number(struct fx_component_list list,
                                 bool (*knows)(const struct fx_component *), const char *key,
                                 const char *option, int64_t *value, struct fx_err *err)
{
    const char *text;
    char *end;

    FX_TRY(ask(list, knows, key, option, &text, err));
    if (!text)
        return FX_OK;
    *value = strtoll(text, &end, 10);
    if (end == text || *end != '\0')
        return fx_fail(err, FX_EINPUT, "the files say %s %s: not a number; %s decides", key, text,
                       option);
    return FX_OK;
}

enum fx_status fx_facts_classes(struct fx_component_list list, int64_t *value, struct fx_err *err)
{
    return ask_number(list, knows_classes, "classes", "--classes", value, err);
}

enum fx_status fx_facts_experts(struct fx_component_list list, int64_t *value, struct fx_err *err)
{
    return ask_number(list, knows_experts, "experts", "--count", value, err);
}

/* ---- the architecture ------------------------------------------------------------------------ */

/* The experts that say which one they are and what, by number. */
static enum fx_status collect(struct fx_component_list list,
                              const struct fx_component *experts[FX_GRAPH_MAX_EXPERTS],
                              struct fx_err *err)
{
    for (int i = 0; i < list.n; i++) {
        const struct fx_component *file = &list.files[i];
        const char *arch = fx_tensor_set_meta(&file->set, "arch");
        int k = fx_component_expert(file);
        if (!arch || k < 0 || k >= FX_GRAPH_MAX_EXPERTS)
            continue;
        if (experts[k] && strcmp(arch, fx_tensor_set_meta(&experts[k]->set, "arch")) != 0)
            return contradiction(experts[k], file, "arch", "--arch", err);
        experts[k] = file;
    }
    return FX_OK;
}

/* "a;b;a;b", when all places up to the last one are known; otherwise "". */
static void join_archs(const struct fx_component *experts[FX_GRAPH_MAX_EXPERTS], char *arch,
                       size_t n)
{
    int n_known = 0, last = -1;

    arch[0] = '\0';
    for (int k = 0; k < FX_GRAPH_MAX_EXPERTS; k++)
        if (experts[k]) {
            n_known++;
            last = k;
        }
    for (int k = 0; n_known == last + 1 && k <= last; k++) {
        size_t at = strlen(arch);
        snprintf(arch + at, n - at, "%s%s", k > 0 ? ";" : "",
                 fx_tensor_set_meta(&experts[k]->set, "arch"));
    }
}

enum fx_status fx_facts_arch(struct fx_component_list list, char *arch, size_t n,
                             struct fx_err *err)
{
    const struct fx_component *experts[FX_GRAPH_MAX_EXPERTS] = { NULL };
    struct fx_err differ = { 0 };
    const char *answer;
    enum fx_status status;

    arch[0] = '\0';
    FX_TRY(collect(list, experts, err));
    status = ask(list, is_expert, "arch", "--arch", &answer, &differ);
    if (status != FX_OK) { /* they differ: as they may, when each has its place */
        join_archs(experts, arch, n);
        if (arch[0] == '\0')
            *err = differ;
        return arch[0] != '\0' ? FX_OK : status;
    }
    if (!answer)
        FX_TRY(ask(list, is_not_expert, "arch", "--arch", &answer, err));
    snprintf(arch, n, "%s", answer ? answer : "");
    return FX_OK;
}
