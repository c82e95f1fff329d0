/* ckpt-join: component files, or PyTorch's whole model, in; one checkpoint out (ckpt-join(1)). */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "net/model.h"
#include "tensor/safetensors.h"
#include "train/assembly.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *arch, *fusion, *output;
    int64_t n_experts, n_classes;
    char **files; /* borrowed from argv */
    int n_files;
};

enum { KEY_BYTES = 64, PREFIX_BYTES = 48, N_FILES_MAX = FX_GRAPH_MAX_EXPERTS + 2 };

struct join {
    const struct args *args;
    struct fx_graph graph;
    struct fx_component files[N_FILES_MAX];
    int number[N_FILES_MAX];              /* which expert a file says it is, or -1 */
    bool is_placed[FX_GRAPH_MAX_EXPERTS]; /* a file says, or was found, to be this expert */
    struct fx_assembly assembly;
};

/* ---- files ----------------------------------------------------------------------------------- */

/* The place of an expert that does not say which one it is: the first that is free. */
static int free_place(const struct join *join)
{
    int k = 0;

    while (k < FX_GRAPH_MAX_EXPERTS - 1 && join->is_placed[k])
        k++;
    return k;
}

/* What file i is, by the names of its tensors: the prefix under which most of them are parameters
 * of the model.  Nothing known is taken for an expert, whose names will then be reported. */
static void recognise(struct join *join, int i, char prefix[PREFIX_BYTES])
{
    static const char *const wholes[] = { "", "fusion_module.", "global_head." };
    const struct fx_component *file = &join->files[i];
    int place = join->number[i] >= 0 ? join->number[i] : free_place(join);
    char expert[PREFIX_BYTES];
    size_t best;

    snprintf(expert, sizeof(expert), "expert_backbones.%d.", place);
    snprintf(prefix, PREFIX_BYTES, "%s", expert);
    best = fx_assembly_count(&join->assembly, &file->set, expert);
    for (size_t w = 0; w < sizeof(wholes) / sizeof(*wholes); w++) {
        size_t n = fx_assembly_count(&join->assembly, &file->set, wholes[w]);
        if (n > best) {
            best = n;
            snprintf(prefix, PREFIX_BYTES, "%s", wholes[w]);
        }
    }
    if (strcmp(prefix, expert) == 0)
        join->is_placed[place] = true;
}

/* Opens file i and asks it which expert it is, before any other takes that place. */
static enum fx_status open_file(struct join *join, int i, struct fx_err *err)
{
    struct fx_component *file = &join->files[i];
    int n_experts = (int)join->args->n_experts;

    FX_TRY(fx_component_open(file, join->args->files[i], err));
    int number = fx_component_expert(file);
    join->number[i] = number;
    if (number >= n_experts)
        return fx_fail(err, FX_EINPUT, "%s: says that it is expert %d, the model has %d (--count)",
                       file->input.name, number, n_experts);
    if (number >= 0)
        join->is_placed[number] = true;
    return FX_OK;
}

static enum fx_status take_file(struct join *join, int i, struct fx_err *err)
{
    struct fx_component *file = &join->files[i];
    struct fx_assembly_tally tally = { 0 };
    char prefix[PREFIX_BYTES];

    recognise(join, i, prefix);
    fx_log_verbose("%s: is %s", file->input.name, prefix[0] ? prefix : "a whole model");
    fx_assembly_add(&join->assembly, file, prefix, &tally);
    /* A component's file is complete; what a whole model lacks, another file may bring. */
    if (prefix[0])
        fx_assembly_require(&join->assembly, prefix, true, file->input.name, &tally);
    return fx_assembly_judge(&tally, file->input.name, join->args->arch, NULL, err);
}

/* Component i of the model: the experts, then fusion module and head. */
static void name_component(const struct join *join, int i, char prefix[PREFIX_BYTES])
{
    int n_experts = (int)join->args->n_experts;

    if (i < n_experts)
        snprintf(prefix, PREFIX_BYTES, "expert_backbones.%d.", i);
    else
        snprintf(prefix, PREFIX_BYTES, "%s", i == n_experts ? "fusion_module." : "global_head.");
}

/* Components that no file brings are named as such, what else is missing tensor by tensor. */
static enum fx_status require_all(struct join *join, struct fx_err *err)
{
    const char *file = join->args->n_files == 1 ? join->files[0].input.name : "the files together";
    struct fx_assembly_tally tally = { 0 };
    char prefix[PREFIX_BYTES], absent[FX_ERR_MSG_BYTES / 2] = "";

    for (int i = 0; i < join->args->n_experts + 2; i++) {
        size_t at = strlen(absent);
        name_component(join, i, prefix);
        if (fx_assembly_has(&join->assembly, prefix))
            fx_assembly_require(&join->assembly, prefix, false, file, &tally);
        else
            snprintf(absent + at, sizeof(absent) - at, "%s%.*s", at > 0 ? ", " : "",
                     (int)strlen(prefix) - 1, prefix);
    }
    FX_TRY(fx_assembly_judge(&tally, file, join->args->arch, NULL, err));
    if (absent[0])
        return fx_fail(err, FX_EINPUT, "%s: no tensors of %s", file, absent);
    return FX_OK;
}

/* The last failure is the error record, those before it are lines on the log. */
static void note(enum fx_status *status, struct fx_err *err, const struct fx_err *next)
{
    if (next->status == FX_OK)
        return;
    if (*status != FX_OK)
        fx_log_error("%s", err->msg);
    *err = *next;
    *status = next->status;
}

/* All files are read and compared, also after a difference: one run says all that is wrong. */
static enum fx_status take_files(struct join *join, struct fx_err *err)
{
    enum fx_status status = FX_OK;
    bool is_open[N_FILES_MAX];

    FX_TRY(fx_assembly_init(&join->assembly, &join->graph, err));
    for (int i = 0; i < join->args->n_files; i++) {
        struct fx_err next = { 0 };
        is_open[i] = open_file(join, i, &next) == FX_OK;
        note(&status, err, &next);
    }
    for (int i = 0; i < join->args->n_files; i++) {
        struct fx_err next = { 0 };
        if (is_open[i] && take_file(join, i, &next) != FX_OK)
            note(&status, err, &next);
    }
    return status == FX_OK ? require_all(join, err) : status;
}

/* ---- output ---------------------------------------------------------------------------------- */

static enum fx_status put_number(struct fx_tensor_set *set, const char *key, int64_t value,
                                 struct fx_err *err)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRId64, value);
    return fx_tensor_set_put_meta(set, key, text, err);
}

/* What all files that mention a key agree on (epoch, accuracy ...) stays true of the whole. */
static enum fx_status put_agreed(const struct join *join, const char *key,
                                 struct fx_tensor_set *set, struct fx_err *err)
{
    const char *agreed = NULL;

    for (int i = 0; i < join->args->n_files; i++) {
        const char *value = fx_tensor_set_meta(&join->files[i].set, key);
        if (value && agreed && strcmp(value, agreed) != 0)
            return FX_OK;
        agreed = value ? value : agreed;
    }
    return agreed ? fx_tensor_set_put_meta(set, key, agreed, err) : FX_OK;
}

static enum fx_status put_metadata(const struct join *join, struct fx_tensor_set *set,
                                   struct fx_err *err)
{
    static const char *const agreed[] = { "epoch", "step", "seed", "data_digest", "val_accuracy" };
    char key[KEY_BYTES];

    FX_TRY(fx_tensor_set_put_meta(set, "arch", join->args->arch, err));
    FX_TRY(fx_tensor_set_put_meta(set, "fusion", join->args->fusion, err));
    FX_TRY(put_number(set, "experts", join->args->n_experts, err));
    FX_TRY(put_number(set, "classes", join->args->n_classes, err));
    for (size_t i = 0; i < sizeof(agreed) / sizeof(*agreed); i++)
        FX_TRY(put_agreed(join, agreed[i], set, err));
    FX_TRY(fx_tensor_set_put_meta(set, "tool", "ckpt-join", err));
    FX_TRY(fx_tensor_set_put_meta(set, "version", fx_version, err));
    FX_TRY(fx_tensor_set_put_meta(set, "command_line", fx_tool_command_line(), err));
    for (int i = 0; i < join->args->n_files; i++) {
        snprintf(key, sizeof(key), "source.%d", i);
        FX_TRY(fx_tensor_set_put_meta(set, key, join->files[i].input.name, err));
    }
    return FX_OK;
}

static enum fx_status write_checkpoint(struct join *join, struct fx_output *out,
                                       struct fx_tensor_set *set, struct fx_err *err)
{
    FX_TRY(fx_assembly_describe(&join->assembly, set, err));
    FX_TRY(put_metadata(join, set, err));
    FX_TRY(fx_safetensors_write(set, out->fd, out->is_stdout ? "stdout" : out->path,
                                fx_assembly_fetch, &join->assembly, err));
    return fx_output_commit(out, err);
}

static enum fx_status check_usage(const struct args *args, struct fx_err *err)
{
    if (!args->arch)
        return fx_fail(err, FX_EUSAGE, "--arch: which architecture?");
    if (!args->fusion)
        return fx_fail(err, FX_EUSAGE, "--fusion: which fusion module?");
    if (args->n_files == 0)
        return fx_fail(err, FX_EUSAGE, "no files given");
    if (args->n_files > args->n_experts + 2)
        return fx_fail(err, FX_EUSAGE,
                       "%d files given, %" PRId64 " experts, fusion and head wanted", args->n_files,
                       args->n_experts);
    return FX_OK;
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct join join = { .args = args };
    struct fx_model_config config = { .arch = args->arch,
                                      .fusion = args->fusion,
                                      .n_experts = (int)args->n_experts,
                                      .n_classes = (int)args->n_classes,
                                      .expert_dropout = -1,
                                      .fusion_dropout = -1 };
    struct fx_output out = { .fd = -1 };
    struct fx_tensor_set set;
    enum fx_status status;

    FX_TRY(check_usage(args, err));
    fx_tensor_set_init(&set);
    FX_TRY_OUT(fx_model_build(&join.graph, &config, err));
    FX_TRY_OUT(fx_output_open(&out, args->output, true, err));
    FX_TRY_OUT(take_files(&join, err));
    FX_TRY_OUT(write_checkpoint(&join, &out, &set, err));
    fx_log_info("%d files, %zu tensors", args->n_files, set.n_tensors);
out:
    fx_output_abandon(&out);
    fx_tensor_set_fini(&set);
    fx_assembly_fini(&join.assembly);
    for (int i = 0; i < N_FILES_MAX; i++)
        fx_component_close(&join.files[i]);
    fx_graph_fini(&join.graph);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .n_experts = 4, .n_classes = 100, .files = argv };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "arch", 0, "NAME", FX_OPT_STRING, &args.arch, 0, 0, NULL,
          "architecture of the experts, as in fusion-tools(7)", NULL },
        { "classes", 0, "N", FX_OPT_INT, &args.n_classes, 2, 256, NULL,
          "number of classes (default 100)", NULL },
        { "count", 0, "N", FX_OPT_INT, &args.n_experts, 1, FX_GRAPH_MAX_EXPERTS, NULL,
          "number of experts (default 4)", NULL },
        { "fusion", 0, "NAME", FX_OPT_STRING, &args.fusion, 0, 0, NULL,
          "fusion module, as in fusion-tools(7)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "ckpt-join",
        .synopsis = "--arch NAME --fusion NAME [options] FILE...",
        .summary = "Put a checkpoint together: from the files that ckpt-split made, or from "
                   "PyTorch's file of a\nwhole model.",
        .options = options,
        .example = "ckpt-join --arch resnet18 --fusion multiplicative -o model.safetensors "
                   "whole_model.pth",
    };
    struct fx_err err = { 0 };

    args.n_files = fx_tool_start(&tool, argc, argv);
    enum fx_status status = run(&args, &err);
    return fx_tool_exit(status, &err);
}
