/* ckpt-split: a checkpoint in, one file for each component out, for PyTorch and for ckpt-join
 * (ckpt-split(1)). */
#include "archive/pth.h"
#include "base/io.h"
#include "base/jsonl.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/tool.h"
#include "checkpoint/checkpoint.h"
#include "data/image_facts.h"
#include "net/arch.h"
#include "net/model.h"
#include "tensor/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *input, *dir, *format;
    bool list;
};

enum { N_COMPONENTS_MAX = FX_GRAPH_MAX_EXPERTS + 2, TEXT_BYTES = 256, PATH_BYTES = 4096 };

/* One component: the tensors whose names begin with the prefix, and the file they go to. */
struct component {
    char prefix[TEXT_BYTES], arch[FX_ARCH_LIST_BYTES];
    char folder[TEXT_BYTES], stem[TEXT_BYTES * 2];
    struct fx_tensor_set set;
    struct fx_output data, json;
};

struct checkpoint {
    struct fx_tensor_file file;
    struct fx_checkpoint_info info;
    struct fx_graph graph;
    struct component components[N_COMPONENTS_MAX];
    int n_components;
};

/* ---- reading --------------------------------------------------------------------------------- */

static enum fx_status read_checkpoint(struct checkpoint *c, const char *path, struct fx_err *err)
{
    struct fx_model_config config = { .expert_dropout = -1, .fusion_dropout = -1 };

    FX_TRY(fx_checkpoint_open(&c->file, path, FX_WANTED_CHECKPOINT, &c->info, err));
    config.arch = c->info.arch;
    config.fusion = c->info.fusion;
    config.fused = c->info.fused;
    config.n_experts = c->info.n_experts;
    config.n_classes = c->info.n_classes;
    if (fx_checkpoint_build(&c->graph, &config, err) != FX_OK ||
        fx_checkpoint_check(&c->file.set, &c->graph, c->info.fusion, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", c->file.input.name);
    return FX_OK;
}

/* ---- the layout ------------------------------------------------------------------------------ */

static struct component *new_component(struct checkpoint *c, const char *folder)
{
    struct component *component = &c->components[c->n_components++];

    fx_tensor_set_init(&component->set);
    component->data.fd = component->json.fd = -1;
    snprintf(component->folder, sizeof component->folder, "%s", folder);
    return component;
}

/* Which components there are and how their files are called (reference: the mission's layout). */
static void lay_out(struct checkpoint *c)
{
    const char *family = NULL;

    for (int k = 0; k < c->info.n_experts; k++) {
        struct component *component = new_component(c, "experts");
        size_t n_arch;
        const char *arch = fx_arch_of_expert(c->info.arch, k, &n_arch);
        const char *own = fx_arch_find(arch)->folder;
        snprintf(component->arch, sizeof component->arch, "%.*s", (int)n_arch, arch);
        family = !family || strcmp(family, own) == 0 ? own : "mixed";
        snprintf(component->prefix, sizeof component->prefix, "expert_backbones.%d.", k);
        snprintf(component->stem, sizeof component->stem, "%s_expert_%d_best", own, k);
    }
    if (!c->info.fusion)
        return;
    struct component *fusion = new_component(c, "fusion"), *head = new_component(c, "global");
    snprintf(fusion->arch, sizeof fusion->arch, "%s", c->info.arch);
    snprintf(fusion->prefix, sizeof fusion->prefix, "fusion_module.");
    snprintf(fusion->stem, sizeof fusion->stem, "%s_%s_fusion_best", family, c->info.fusion);
    snprintf(head->arch, sizeof head->arch, "%s", c->info.arch);
    snprintf(head->prefix, sizeof head->prefix, "global_head.");
    snprintf(head->stem, sizeof head->stem, "%s_%s_global_head_best", family, c->info.fusion);
}

static const struct component *component_of(const struct checkpoint *c, const char *name)
{
    for (int i = 0; i < c->n_components; i++)
        if (strncmp(name, c->components[i].prefix, strlen(c->components[i].prefix)) == 0)
            return &c->components[i];
    return NULL;
}

/* ---- list ------------------------------------------------------------------------------------ */

/* Name, dtype, shape, offset in the file, and the component's file ("-": a trainer's own state). */
static void list(const struct checkpoint *c, const char *format)
{
    char shape[TEXT_BYTES];

    for (size_t i = 0; i < c->file.set.n_tensors; i++) {
        const struct fx_tensor *tensor = &c->file.set.tensors[i];
        const struct component *component = component_of(c, tensor->name);
        fx_quote_put(stdout, tensor->name);
        fprintf(stdout, "\t%s\t%s\t%td\t", fx_dtype_name(tensor->dtype),
                fx_shape_text(tensor->n_dims, tensor->shape, shape, sizeof shape),
                (const uint8_t *)tensor->data - c->file.input.bytes);
        if (component)
            fprintf(stdout, "%s/%s.%s\n", component->folder, component->stem, format);
        else
            fprintf(stdout, "-\n");
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

/* What the checkpoint says about the run, for each component: the keys with their own place. */
static const char *const run_keys[] = { "fusion", "fused", "experts",     "classes",     "epoch",
                                        "step",   "seed",  "data_digest", "val_accuracy" };
enum { N_RUN_KEYS = sizeof run_keys / sizeof *run_keys };

/* The component's tensors under their bare names, in the graph's order, and its metadata. */
static enum fx_status fill_set(const struct checkpoint *c, struct component *component,
                               struct fx_err *err)
{
    size_t n_prefix = strlen(component->prefix);
    char bare[TEXT_BYTES];

    for (int i = 0; i < c->graph.n_params; i++) {
        const char *name = c->graph.params[i].name;
        const struct fx_tensor *tensor = fx_tensor_set_find(&c->file.set, name);
        if (strncmp(name, component->prefix, n_prefix) == 0)
            FX_TRY(fx_tensor_set_add(&component->set, name + n_prefix, tensor->dtype,
                                     tensor->n_dims, tensor->shape, tensor->data, err));
    }
    snprintf(bare, sizeof bare, "%.*s", (int)n_prefix - 1, component->prefix);
    FX_TRY(fx_tensor_set_put_meta(&component->set, "component", bare, err));
    FX_TRY(fx_tensor_set_put_meta(&component->set, "arch", component->arch, err));
    for (size_t i = 0; i < N_RUN_KEYS; i++) {
        const char *value = fx_tensor_set_meta(&c->file.set, run_keys[i]);
        if (value)
            FX_TRY(fx_tensor_set_put_meta(&component->set, run_keys[i], value, err));
    }
    FX_TRY(fx_image_facts_copy(&c->file.set, &component->set, err));
    FX_TRY(fx_tensor_set_put_meta(&component->set, "tool", "ckpt-split", err));
    FX_TRY(fx_tensor_set_put_meta(&component->set, "version", fx_version, err));
    return fx_tensor_set_put_meta(&component->set, "source", c->file.input.name, err);
}

/* A number or list where the text is one, except for names and digests, which may look like one. */
static json_t *json_value(const char *key, const char *text)
{
    static const char *const numbers[] = { "experts", "classes", "epoch",
                                           "step",    "seed",    "val_accuracy" };
    bool is_list = fx_image_facts_has(key), is_number = false;
    json_t *value = NULL;
    json_error_t why;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        is_number |= strcmp(key, numbers[i]) == 0;
    if ((is_list || is_number) &&
        fx_json_parse(text, strlen(text), JSON_DECODE_ANY, &value, &why) == FX_EFAIL)
        return NULL;
    if (is_list ? json_is_array(value) : json_is_number(value))
        return value;
    json_decref(value);
    return fx_json_text(text);
}

/* {the component's metadata, "checkpoint": {all of the checkpoint's}} */
static json_t *describe(const struct checkpoint *c, const struct component *component)
{
    json_t *object = json_object(), *all = json_object();
    bool failed = !object || !all;

    for (size_t i = 0; !failed && i < component->set.n_meta; i++)
        failed = json_object_set_new(
            object, component->set.meta[i].key,
            json_value(component->set.meta[i].key, component->set.meta[i].value));
    for (size_t i = 0; !failed && i < c->file.set.n_meta; i++)
        failed = json_object_set_new(all, c->file.set.meta[i].key,
                                     fx_json_text(c->file.set.meta[i].value));
    if (!failed)
        failed = json_object_set(object, "checkpoint", all) != 0;
    json_decref(all);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static enum fx_status open_component(struct component *component, const char *dir,
                                     const char *suffix, struct fx_output *out, struct fx_err *err)
{
    char path[PATH_BYTES];

    if (snprintf(path, sizeof path, "%s/%s", dir, component->folder) >= (int)sizeof path)
        return fx_fail(err, FX_EUSAGE, "-d %s: path too long", dir);
    FX_TRY(fx_make_dirs(path, err));
    if (snprintf(path, sizeof path, "%s/%s/%s.%s", dir, component->folder, component->stem,
                 suffix) >= (int)sizeof path)
        return fx_fail(err, FX_EUSAGE, "-d %s: path too long", dir);
    return fx_output_open(out, path, true, err);
}

static enum fx_status write_json(const struct checkpoint *c, const struct component *component,
                                 struct fx_err *err)
{
    json_t *object = describe(c, component);
    char *text = object ? fx_json_dump(object, JSON_INDENT(2)) : NULL;
    enum fx_status status;

    if (!text)
        status = fx_fail(err, FX_EFAIL, "%s: out of memory", component->json.path);
    else
        status = fx_write_full(component->json.fd, text, strlen(text), component->json.path, err);
    if (status == FX_OK)
        status = fx_write_full(component->json.fd, "\n", 1, component->json.path, err);
    free(text);
    json_decref(object);
    return status;
}

static enum fx_status write_component(const struct checkpoint *c, struct component *component,
                                      const struct args *args, struct fx_err *err)
{
    FX_TRY(fill_set(c, component, err));
    FX_TRY(open_component(component, args->dir, args->format, &component->data, err));
    FX_TRY(open_component(component, args->dir, "json", &component->json, err));
    if (strcmp(args->format, "pth") == 0)
        FX_TRY(fx_pth_write(&component->set, component->data.fd, component->stem,
                            component->data.path, err));
    else
        FX_TRY(fx_safetensors_write(&component->set, component->data.fd, component->data.path, NULL,
                                    NULL, err));
    return write_json(c, component, err);
}

/* Everything is written under temporary names before the first file gets its final one. */
static enum fx_status write_components(struct checkpoint *c, const struct args *args,
                                       struct fx_err *err)
{
    for (int i = 0; i < c->n_components; i++)
        FX_TRY(write_component(c, &c->components[i], args, err));
    for (int i = 0; i < c->n_components; i++) {
        FX_TRY(fx_output_commit(&c->components[i].data, err));
        FX_TRY(fx_output_commit(&c->components[i].json, err));
    }
    fx_log_info("%s: %d components written to %s", c->file.input.name, c->n_components, args->dir);
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct checkpoint c = { 0 };
    enum fx_status status;

    FX_TRY_OUT(read_checkpoint(&c, args->input, err));
    lay_out(&c);
    if (args->list)
        list(&c, args->format);
    else
        status = write_components(&c, args, err);
out:
    for (int i = 0; i < c.n_components; i++) {
        fx_output_abandon(&c.components[i].data);
        fx_output_abandon(&c.components[i].json);
        fx_tensor_set_fini(&c.components[i].set);
    }
    fx_graph_fini(&c.graph);
    fx_tensor_file_close(&c.file);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .format = "pth" };
    const struct fx_option options[] = {
        { "directory", 'd', "DIR", FX_OPT_STRING, &args.dir, 0, 0, NULL,
          "write the files below DIR, which is made if it is not there", NULL },
        { "format", 0, "FORMAT", FX_OPT_CHOICE, &args.format, 0, 0, "pth|safetensors",
          "pth or safetensors (default pth)", NULL },
        { "list", 0, NULL, FX_OPT_FLAG, &args.list, 0, 0, NULL,
          "print name, dtype, shape, offset and file of every tensor, and write nothing", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "ckpt-split",
        .synopsis = "-d DIR [options] [CHECKPOINT]",
        .summary = "Write each expert, the fusion module and the global head of a checkpoint as a "
                   "file of its own, which PyTorch loads, with a .json beside it that says where "
                   "it comes from.",
        .options = options,
        .example = "ckpt-split -d resnet_fusions/multiplicative run/best.safetensors",
    };
    struct fx_err err = { 0 };
    enum fx_status status;

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    if (n_operands > 1)
        status = fx_fail(&err, FX_EUSAGE, "%s: one checkpoint at a time", argv[1]);
    else if (!args.list && !args.dir)
        status = fx_fail(&err, FX_EUSAGE, "-d: which directory? (or --list)");
    else
        status = run(&args, &err);
    return fx_tool_exit(status, &err);
}
