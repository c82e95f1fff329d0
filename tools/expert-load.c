/* expert-load: expert checkpoints of other programs in, one checked experts stream out
 * (expert-load(1)). */
#include "base/io.h"
#include "base/kind.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/tool.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/state_dict.h"
#include "data/image_facts.h"
#include "net/arch.h"
#include "net/model.h"
#include "tensor/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *arch, *output;
    char archs[FX_ARCH_LIST_BYTES]; /* arch, of each expert */
    int64_t seed, n_experts, n_classes;
    bool init, list, has_count;
    char **files; /* borrowed from argv */
    int n_files;
};

enum { KEY_BYTES = 1200, TEXT_BYTES = 32, PREFIX_BYTES = 48, HINT_BYTES = 160 };

/* What the output is made from: the files of the experts, or a seed. */
struct source {
    const struct args *args;
    struct fx_graph graph;
    struct fx_tensor_file files[FX_GRAPH_MAX_EXPERTS];
    struct fx_state_dict dict;
};

/* ---- list ------------------------------------------------------------------------------------ */

static enum fx_status list(const char *path, struct fx_err *err)
{
    struct fx_tensor_file file = { 0 };
    char shape[256];
    enum fx_status status = fx_component_open(&file, path, FX_WANTED_TENSORS, err);

    for (size_t i = 0; status == FX_OK && i < file.set.n_tensors; i++) {
        const struct fx_tensor *tensor = &file.set.tensors[i];
        fx_quote_put(stdout, tensor->name);
        fprintf(stdout, "\t%s\t%s\n", fx_dtype_name(tensor->dtype),
                fx_shape_text(tensor->n_dims, tensor->shape, shape, sizeof shape));
    }
    for (size_t i = 0; status == FX_OK && i < file.set.n_meta; i++)
        fx_log_verbose("%s: %s = %s", file.input.name, file.set.meta[i].key,
                       file.set.meta[i].value);
    fx_tensor_file_close(&file);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* One expert's file against its parameters. */
static enum fx_status take_file(struct source *source, int k, struct fx_err *err)
{
    struct fx_tensor_file *file = &source->files[k];
    struct fx_differences diffs = { 0 };
    char prefix[PREFIX_BYTES], hint[HINT_BYTES];
    bool has_hint;

    FX_TRY(fx_component_open(file, source->args->files[k], FX_WANTED_EXPERT, err));
    FX_TRY(fx_component_read_beside(file, err));
    snprintf(prefix, sizeof prefix, "expert_backbones.%d.", k);
    fx_state_dict_add(&source->dict, file, prefix, &diffs);
    fx_state_dict_require(&source->dict, prefix, true, file->input.name, &diffs);
    /* Of a network of the right names and shapes there is nothing to guess. */
    has_hint = diffs.n_unknown + diffs.n_missing + diffs.n_shape > 0 &&
               fx_arch_guess(&file->set, hint, sizeof hint);
    return fx_state_dict_judge(&source->dict, &diffs, file->input.name, source->args->arch,
                               has_hint ? hint : NULL, err);
}

/* All files are read and compared, also after a difference: one run says all that is wrong, file by
 * file, so nothing is left for the error record. */
static enum fx_status take_files(struct source *source, struct fx_err *err)
{
    enum fx_status status = FX_OK;

    FX_TRY(fx_state_dict_init(&source->dict, &source->graph, err));
    for (int k = 0; k < source->args->n_files; k++) {
        struct fx_err next = { 0 };
        if (take_file(source, k, &next) == FX_OK)
            continue;
        fx_log_error("%s", next.msg);
        status = next.status;
    }
    return status;
}

/* ---- output ---------------------------------------------------------------------------------- */

/* fx_tensor_fetch of fresh weights; counters start at 0. */
static enum fx_status fetch_fresh(void *ctx, const struct fx_tensor *tensor, void *buf,
                                  struct fx_err *err)
{
    const struct source *source = ctx;
    int number = fx_graph_find_param(&source->graph, tensor->name);
    const struct fx_param *param = &source->graph.params[number];

    (void)err;
    memset(buf, 0, tensor->n_bytes);
    if (param->kind != FX_PARAM_COUNTER)
        fx_param_init_fill(param, (uint64_t)source->args->seed, buf);
    return FX_OK;
}

static enum fx_status put_number(struct fx_tensor_set *set, const char *key, int64_t value,
                                 struct fx_err *err)
{
    char text[TEXT_BYTES];

    snprintf(text, sizeof text, "%" PRId64, value);
    return fx_tensor_set_put_meta(set, key, text, err);
}

/* Where each expert comes from, and what its file says about it (epoch, accuracy ...). */
static enum fx_status put_sources(const struct source *source, struct fx_tensor_set *set,
                                  struct fx_err *err)
{
    struct fx_component_list list = { source->files, source->args->n_files };
    char key[KEY_BYTES];

    FX_TRY(fx_facts_put_image_facts(list, set, err));
    for (int k = 0; k < source->args->n_files; k++) {
        const struct fx_tensor_file *file = &source->files[k];
        snprintf(key, sizeof key, "expert.%d.source", k);
        FX_TRY(fx_tensor_set_put_meta(set, key, file->input.name, err));
        for (size_t i = 0; i < file->set.n_meta; i++) {
            const struct fx_meta *meta = &file->set.meta[i];
            bool is_said = fx_image_facts_has(meta->key) && fx_tensor_set_meta(set, meta->key);
            if (is_said || strcmp(meta->key, "format") == 0 || strcmp(meta->key, "source") == 0)
                continue;
            snprintf(key, sizeof key, "expert.%d.%s", k, meta->key);
            FX_TRY(fx_tensor_set_put_meta(set, key, meta->value, err));
        }
    }
    return FX_OK;
}

static enum fx_status put_metadata(const struct source *source, struct fx_tensor_set *set,
                                   struct fx_err *err)
{
    FX_TRY(fx_tensor_set_put_meta(set, "arch", source->args->arch, err));
    FX_TRY(put_number(set, "experts", source->args->n_experts, err));
    FX_TRY(put_number(set, "classes", source->args->n_classes, err));
    FX_TRY(fx_tensor_set_put_meta(set, "tool", "expert-load", err));
    FX_TRY(fx_tensor_set_put_meta(set, "version", fx_version, err));
    FX_TRY(fx_tensor_set_put_meta(set, "command_line", fx_tool_command_line(), err));
    if (source->args->init)
        return put_number(set, "init_seed", source->args->seed, err);
    return put_sources(source, set, err);
}

static enum fx_status describe_fresh(const struct fx_graph *graph, struct fx_tensor_set *set,
                                     struct fx_err *err)
{
    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];
        enum fx_dtype dtype = fx_param_dtype(param);
        FX_TRY(fx_tensor_set_add(set, param->name, dtype, param->n_dims, param->shape, NULL, err));
    }
    return FX_OK;
}

static enum fx_status write_stream(struct source *source, struct fx_output *out,
                                   struct fx_tensor_set *set, struct fx_err *err)
{
    bool fresh = source->args->init;

    FX_TRY(fresh ? describe_fresh(&source->graph, set, err)
                 : fx_state_dict_describe(&source->dict, set, err));
    FX_TRY(put_metadata(source, set, err));
    FX_TRY(fx_safetensors_write(set, out->fd, out->is_stdout ? "stdout" : out->path,
                                fresh ? fetch_fresh : fx_state_dict_fetch,
                                fresh ? (void *)source : (void *)&source->dict, err));
    return fx_output_commit(out, err);
}

/* ---- run ------------------------------------------------------------------------------------- */

/* The number of files is wrong; perhaps because one of them, a checkpoint, has all the experts. */
static enum fx_status wrong_count(const struct args *args, struct fx_err *err)
{
    struct fx_input in;

    for (int i = 0; i < args->n_files; i++) {
        FX_TRY(fx_input_begin(&in, args->files[i], err));
        fx_input_peek(&in, FX_KIND_BYTES);
        enum fx_status status = fx_kind_check(FX_WANTED_EXPERT, in.name, in.bytes, in.n_bytes, err);
        fx_input_close(&in);
        FX_TRY(status);
    }
    return fx_fail(err, FX_EUSAGE, "%d files given, %" PRId64 " experts wanted (--count)",
                   args->n_files, args->n_experts);
}

static enum fx_status check_usage(const struct args *args, struct fx_err *err)
{
    if (args->list)
        return args->n_files <= 1 && !args->init && !args->arch
                   ? FX_OK
                   : fx_fail(err, FX_EUSAGE, "--list: takes one file and nothing else");
    if (!args->arch)
        return fx_fail(err, FX_EUSAGE, "--arch: which architecture? (--list FILE shows tensors)");
    if (args->init && args->n_files > 0)
        return fx_fail(err, FX_EUSAGE, "%s: no files with --init", args->files[0]);
    if (!args->init && args->n_files != args->n_experts)
        return wrong_count(args, err);
    return FX_OK;
}

/* The architectures as checkpoints have them; there are as many experts as they are, if several. */
static enum fx_status read_archs(struct args *args, struct fx_err *err)
{
    if (!args->arch)
        return FX_OK;
    FX_TRY(fx_arch_list_read(args->arch, args->archs, err));
    args->arch = args->archs;
    if (!args->has_count && fx_arch_count(args->arch) > 1)
        args->n_experts = fx_arch_count(args->arch);
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct source source = { .args = args };
    struct fx_model_config config = { .arch = args->arch,
                                      .n_experts = (int)args->n_experts,
                                      .n_classes = (int)args->n_classes,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_output out = { .fd = -1 };
    struct fx_tensor_set set;
    enum fx_status status;

    FX_TRY(check_usage(args, err));
    if (args->list)
        return list(args->n_files > 0 ? args->files[0] : NULL, err);
    fx_tensor_set_init(&set);
    FX_TRY_OUT(fx_model_build(&source.graph, &config, err));
    FX_TRY_OUT(fx_output_open(&out, args->output, true, err));
    if (!args->init)
        FX_TRY_OUT(take_files(&source, err));
    FX_TRY_OUT(write_stream(&source, &out, &set, err));
    fx_log_info("%" PRId64 " experts, %s, %zu tensors", args->n_experts, args->arch, set.n_tensors);
out:
    fx_output_abandon(&out);
    fx_tensor_set_fini(&set);
    fx_state_dict_fini(&source.dict);
    for (int k = 0; k < FX_GRAPH_MAX_EXPERTS; k++)
        fx_tensor_file_close(&source.files[k]);
    fx_graph_fini(&source.graph);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .n_experts = 4, .n_classes = 100, .files = argv };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "arch", 0, "NAME", FX_OPT_STRING, &args.arch, 0, 0, FX_ARCHS,
          "architecture of the experts, or of each: NAME,NAME,... (required)", NULL },
        { "classes", 0, "N", FX_OPT_INT, &args.n_classes, 2, 256, NULL,
          "number of classes (default 100)", NULL },
        { "count", 0, "N", FX_OPT_INT, &args.n_experts, 1, FX_GRAPH_MAX_EXPERTS, NULL,
          "number of experts (default 4, or that of the architectures)", &args.has_count },
        { "init", 0, "SEED", FX_OPT_INT, &args.seed, 0, 0x1p53, NULL,
          "initialise new experts from this seed instead of reading files", &args.init },
        { "list", 0, NULL, FX_OPT_FLAG, &args.list, 0, 0, NULL,
          "print name, dtype and shape of every tensor in the one FILE, and exit", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "expert-load",
        .synopsis = "--arch NAME [options] FILE...",
        .summary = "Read trained experts (.pth of any PyTorch, .safetensors), compare every tensor "
                   "with the architecture, and write them as one experts stream.",
        .options = options,
        .notes = fx_arch_help(),
        .example = "expert-load --arch resnet18 expert_{0..3}_best.pth > experts.safetensors",
    };
    struct fx_err err = { 0 };

    args.n_files = fx_tool_start(&tool, argc, argv);
    enum fx_status status = read_archs(&args, &err);
    if (status == FX_OK)
        status = run(&args, &err);
    return fx_tool_exit(status, &err);
}
