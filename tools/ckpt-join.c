/* ckpt-join: component files, or PyTorch's whole model, in; one checkpoint out (ckpt-join(1)). */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "checkpoint/join.h"
#include "net/arch.h"
#include "net/fusion.h"
#include "tensor/safetensors.h"

#include <inttypes.h>

static enum fx_status write_checkpoint(struct fx_join *join, struct fx_output *out,
                                       struct fx_tensor_set *set, struct fx_err *err)
{
    FX_TRY(fx_join_describe(join, set, err));
    FX_TRY(fx_tensor_set_put_meta(set, "tool", "ckpt-join", err));
    FX_TRY(fx_tensor_set_put_meta(set, "version", fx_version, err));
    FX_TRY(fx_tensor_set_put_meta(set, "command_line", fx_tool_command_line(), err));
    FX_TRY(fx_safetensors_write(set, out->fd, out->is_stdout ? "stdout" : out->path,
                                fx_state_dict_fetch, &join->dict, err));
    return fx_output_commit(out, err);
}

static enum fx_status run(const struct fx_join_options *options, const char *output,
                          struct fx_err *err)
{
    struct fx_join join = { 0 };
    struct fx_output out = { .fd = -1 };
    struct fx_tensor_set set;
    enum fx_status status;

    fx_tensor_set_init(&set);
    FX_TRY_OUT(fx_join_open(&join, options, err));
    FX_TRY_OUT(fx_output_open(&out, output, true, err));
    FX_TRY_OUT(fx_join_take(&join, err));
    FX_TRY_OUT(write_checkpoint(&join, &out, &set, err));
    fx_log_info("%s, %s, %" PRId64 " experts, %" PRId64 " classes: %d files, %zu tensors",
                join.options.arch, join.options.fusion, join.options.n_experts,
                join.options.n_classes, options->n_files, set.n_tensors);
out:
    fx_output_abandon(&out);
    fx_tensor_set_fini(&set);
    fx_join_close(&join);
    return status;
}

int main(int argc, char **argv)
{
    struct fx_join_options model = { .n_experts = 4, .n_classes = 100, .files = argv };
    const char *output = NULL;
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&output),
        { "arch", 0, "NAME", FX_OPT_STRING, &model.arch, 0, 0, FX_ARCHS,
          "architecture of the experts, or NAME,NAME,... (default: what the files say)", NULL },
        { "classes", 0, "N", FX_OPT_INT, &model.n_classes, 2, 256, NULL,
          "number of classes (default: what the files say, or 100)", &model.has_classes },
        { "count", 0, "N", FX_OPT_INT, &model.n_experts, 1, FX_GRAPH_MAX_EXPERTS, NULL,
          "number of experts (default: what the files say, or 4)", &model.has_experts },
        { "fusion", 0, "NAME", FX_OPT_CHOICE, &model.fusion, 0, 0, FX_FUSIONS,
          "fusion module (default: what the files say)", NULL },
        { "fused", 0, "NAME", FX_OPT_CHOICE, &model.fused, 0, 0, FX_FUSED_FORMS,
          "logits of the fused model (default: what the files say, or head)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "ckpt-join",
        .synopsis = "[options] FILE...",
        .summary = "Put a checkpoint together: from the files that ckpt-split made, or from "
                   "PyTorch's file of a whole model.",
        .options = options,
        .notes = fx_model_help(),
        .example = "ckpt-join -o joined.safetensors experts/*.pth fusion/*.pth global/*.pth",
    };
    struct fx_err err = { 0 };

    model.n_files = fx_tool_start(&tool, argc, argv);
    enum fx_status status = run(&model, output, &err);
    return fx_tool_exit(status, &err);
}
