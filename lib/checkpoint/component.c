/* Opening component files, and asking several of them the same question: who may answer which. */
#include "checkpoint/component.h"

#include "archive/pth.h"
#include "base/jsonl.h"
#include "base/log.h"
#include "data/image_facts.h"
#include "net/graph.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LENGTH_BYTES = 8, HEADER_BYTES_MAX = 100000000 };

/* A safetensors file begins with the length of its header, then the header's '{'.  A file whose
 * name says so is read as one in any case, for the better message. */
static bool is_safetensors(const struct fx_input *in)
{
    const char *dot = strrchr(in->name, '.');
    uint64_t n_header = 0;

    if (dot && strcmp(dot, ".safetensors") == 0)
        return true;
    if (in->n_bytes <= LENGTH_BYTES)
        return false;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n_header = n_header << 8 | in->bytes[i];
    return n_header <= HEADER_BYTES_MAX && strchr("{ \t\r\n", in->bytes[LENGTH_BYTES]);
}

static enum fx_status read_file(struct fx_tensor_file *file, const char *path, struct fx_err *err)
{
    struct fx_input *in = &file->input;

    FX_TRY(fx_input_open(in, path, err));
    if (!fx_pth_is_pth(in->bytes, in->n_bytes) && is_safetensors(in))
        return fx_safetensors_parse(&file->set, in->bytes, in->n_bytes, in->name, err);
    return fx_pth_read(&file->set, in, err);
}

/* Tensors of something else would only be compared in vain: they are looked at in any case. */
enum fx_status fx_component_open(struct fx_tensor_file *file, const char *path,
                                 enum fx_wanted wanted, struct fx_err *err)
{
    const struct fx_input *in = &file->input;

    *file = (struct fx_tensor_file){ 0 };
    if (read_file(file, path, err) != FX_OK)
        return fx_kind_explain(wanted, &file->input, err);
    return fx_kind_check(wanted, in->name, in->bytes, in->n_bytes, err);
}

/* ---- what is said beside the tensors --------------------------------------------------------- */

/* FILE.json beside FILE.pth; NULL when there is no such file, or none that is JSON. */
static enum fx_status read_json_beside(const char *file, json_t **root, struct fx_err *err)
{
    const char *slash = strrchr(file, '/'), *dot = strrchr(slash ? slash : file, '.');
    struct fx_input in = { 0 };
    json_error_t why;
    struct stat st;
    char path[4096];

    *root = NULL;
    if (!dot ||
        snprintf(path, sizeof path, "%.*s.json", (int)(dot - file), file) >= (int)sizeof path ||
        stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return FX_OK;
    FX_TRY(fx_input_open(&in, path, err));
    enum fx_status status = fx_json_parse((const char *)in.bytes, in.n_bytes, 0, root, &why);
    fx_input_close(&in);
    if (status == FX_EFAIL)
        return fx_fail(err, FX_EFAIL, "%s: %s", path, why.text);
    if (!*root)
        fx_log_warn("%s: line %d: %s; ignored", path, why.line, why.text);
    return FX_OK;
}

/* The text of a key: of the component, or of the checkpoint that it was taken from, where every
 * value is the text that stood in it. */
static const char *text_of(const json_t *root, const char *key, char *buf, size_t n)
{
    const json_t *value = json_object_get(root, key);

    if (json_is_integer(value)) {
        snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return buf;
    }
    if (!json_is_string(value))
        value = json_object_get(json_object_get(root, "checkpoint"), key);
    return json_string_value(value);
}

static enum fx_status take_text(const json_t *root, const char *key, struct fx_tensor_set *set,
                                struct fx_err *err)
{
    char number[32];
    const char *text = text_of(root, key, number, sizeof number);

    return text && !fx_tensor_set_meta(set, key) ? fx_tensor_set_put_meta(set, key, text, err)
                                                 : FX_OK;
}

enum fx_status fx_component_read_beside(struct fx_tensor_file *file, struct fx_err *err)
{
    static const char *const keys[] = { "component", "arch",        "fusion",      "fused",
                                        "classes",   "experts",     "epoch",       "step",
                                        "seed",      "data_digest", "val_accuracy" };
    json_t *root;

    if (fx_tensor_set_meta(&file->set, "component"))
        return FX_OK;
    enum fx_status status = read_json_beside(file->input.name, &root, err);
    bool is_ours = json_is_string(json_object_get(root, "component"));
    for (size_t i = 0; is_ours && status == FX_OK && i < sizeof keys / sizeof *keys; i++)
        status = take_text(root, keys[i], &file->set, err);
    for (int i = 0; is_ours && status == FX_OK && i < FX_N_IMAGE_FACTS; i++)
        status = take_text(root, fx_image_fact_keys[i], &file->set, err);
    json_decref(root);
    return status;
}

/* "expert_backbones.2": 2. */
int fx_component_expert(const struct fx_tensor_file *file)
{
    static const char prefix[] = "expert_backbones.";
    const char *name = fx_tensor_set_meta(&file->set, "component");
    size_t n = sizeof prefix - 1;

    if (!name || strncmp(name, prefix, n) != 0)
        return -1;
    return name[n] >= '0' && name[n] <= '9' && name[n + 1] == '\0' ? name[n] - '0' : -1;
}

/* ---- who answers ----------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}

/* Tensors have the names that they have in the model, so the file speaks of all of it. */
static bool is_of_model(const struct fx_tensor_file *file)
{
    const char *name = file->set.n_tensors > 0 ? file->set.tensors[0].name : NULL;

    return starts_with(name, "expert_backbones.") || starts_with(name, "fusion_module.") ||
           starts_with(name, "global_head.");
}

static bool is_expert(const struct fx_tensor_file *file)
{
    const char *component = fx_tensor_set_meta(&file->set, "component");

    return !is_of_model(file) && (!component || starts_with(component, "expert_backbones."));
}

/* An expert that was taken out of a model tells the fusion that it was trained under; what it will
 * be joined with, the fusion module says. */
static bool knows_fusion(const struct fx_tensor_file *file)
{
    const char *component = fx_tensor_set_meta(&file->set, "component");

    return is_of_model(file) || starts_with(component, "fusion_module");
}

/* The form of the fused logits belongs to the head that was trained in it. */
static bool knows_fused(const struct fx_tensor_file *file)
{
    const char *component = fx_tensor_set_meta(&file->set, "component");

    return is_of_model(file) || starts_with(component, "global_head");
}

/* An expert that was trained alone says 1. */
static bool knows_experts(const struct fx_tensor_file *file)
{
    return is_of_model(file) || fx_tensor_set_meta(&file->set, "component");
}

static bool knows_classes(const struct fx_tensor_file *file)
{
    (void)file;
    return true;
}

static bool is_not_expert(const struct fx_tensor_file *file)
{
    return !is_expert(file);
}

/* ---- one answer ------------------------------------------------------------------------------ */

static enum fx_status contradiction(const struct fx_tensor_file *first,
                                    const struct fx_tensor_file *second, const char *key,
                                    const char *option, struct fx_err *err)
{
    return fx_fail(err, FX_EINPUT, "%s: says %s %s, but %s says %s; %s decides", second->input.name,
                   key, fx_tensor_set_meta(&second->set, key), first->input.name,
                   fx_tensor_set_meta(&first->set, key), option);
}

/* What those who know say under a key, NULL when they say nothing. */
static enum fx_status ask(struct fx_component_list list,
                          bool (*knows)(const struct fx_tensor_file *), const char *key,
                          const char *option, const char **answer, struct fx_err *err)
{
    const struct fx_tensor_file *first = NULL;

    *answer = NULL;
    for (int i = 0; i < list.n; i++) {
        const struct fx_tensor_file *file = &list.files[i];
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

enum fx_status fx_facts_fused(struct fx_component_list list, const char **fused, struct fx_err *err)
{
    return ask(list, knows_fused, "fused", "--fused", fused, err);
}

static enum fx_status put_agreed(struct fx_component_list list, const char *key, bool is_list,
                                 struct fx_tensor_set *set, struct fx_err *err)
{
    const char *agreed = NULL;

    for (int i = 0; i < list.n; i++) {
        const char *value = fx_tensor_set_meta(&list.files[i].set, key);
        if (value && is_list && *value != '[')
            continue;
        if (value && agreed && strcmp(value, agreed) != 0)
            return FX_OK;
        agreed = value ? value : agreed;
    }
    return agreed ? fx_tensor_set_put_meta(set, key, agreed, err) : FX_OK;
}

enum fx_status fx_facts_put_agreed(struct fx_component_list list, const char *key,
                                   struct fx_tensor_set *set, struct fx_err *err)
{
    return put_agreed(list, key, false, set, err);
}

enum fx_status fx_facts_put_image_facts(struct fx_component_list list, struct fx_tensor_set *set,
                                        struct fx_err *err)
{
    for (int i = 0; i < FX_N_IMAGE_FACTS; i++)
        FX_TRY(put_agreed(list, fx_image_fact_keys[i], true, set, err));
    return FX_OK;
}

static enum fx_status ask_number(struct fx_component_list list,
                                 bool (*knows)(const struct fx_tensor_file *), const char *key,
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
                              const struct fx_tensor_file *experts[FX_GRAPH_MAX_EXPERTS],
                              struct fx_err *err)
{
    for (int i = 0; i < list.n; i++) {
        const struct fx_tensor_file *file = &list.files[i];
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
static void join_archs(const struct fx_tensor_file *experts[FX_GRAPH_MAX_EXPERTS], char *arch,
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
    const struct fx_tensor_file *experts[FX_GRAPH_MAX_EXPERTS] = { NULL };
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
