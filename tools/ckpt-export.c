/* ckpt-export: a model in, its evaluation as an ONNX file out (ckpt-export(1)). */
#include "base/io.h"
#include "base/log.h"
#include "base/tool.h"
#include "checkpoint/model_source.h"
#include "data/dataset.h"
#include "data/image_facts.h"
#include "onnx/onnx.h"

struct args {
    const char *input; /* NULL or "-": stdin */
    const char *output, *format, *data;
};

/* What the model does not say about images, the data set does. */
static enum fx_status take_facts(const struct fx_model_source *model, const char *data,
                                 struct fx_err *err)
{
    struct fx_dataset dataset;
    enum fx_status status = FX_OK;

    if (!data)
        return FX_OK;
    FX_TRY(fx_dataset_open(&dataset, data, err));
    if (dataset.n_classes != model->graph->n_classes)
        status = fx_fail(err, FX_EINPUT, "%s: the model has %d classes, the data set %s has %d",
                         model->name, model->graph->n_classes, data, dataset.n_classes);
    else
        status = fx_image_facts_copy(&dataset.file.set, model->set, err);
    fx_dataset_close(&dataset);
    return status;
}

static enum fx_status write_onnx(const struct fx_model_source *model, struct fx_output *out,
                                 struct fx_err *err)
{
    const char *name = out->is_stdout ? "stdout" : out->path;
    struct fx_onnx_model onnx = { .graph = model->graph,
                                  .set = model->set,
                                  .fetch = model->fetch,
                                  .fetch_ctx = model->fetch_ctx };

    if (!fx_tensor_set_meta(model->set, "mean") || !fx_tensor_set_meta(model->set, "std"))
        return fx_fail(err, FX_EUSAGE,
                       "%s: does not say how images were normalised; name its data set (--data)",
                       model->name);
    if (fx_image_facts_channels(model->set, onnx.mean, onnx.std, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", model->name);
    FX_TRY(fx_onnx_write(&onnx, out->fd, name, err));
    return fx_output_commit(out, err);
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct fx_model_source model = { 0 };
    struct fx_output out = { .fd = -1 };
    enum fx_status status;

    FX_TRY_OUT(fx_model_source_open(&model, args->input, err));
    FX_TRY_OUT(take_facts(&model, args->data, err));
    FX_TRY_OUT(fx_output_open(&out, args->output, true, err));
    FX_TRY_OUT(write_onnx(&model, &out, err));
    fx_log_info("%s: %d experts, %d classes, %d nodes", model.name, model.graph->n_experts,
                model.graph->n_classes, model.graph->n_nodes);
out:
    fx_output_abandon(&out);
    fx_model_source_close(&model);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = { .format = "onnx" };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "data", 0, "FILE", FX_OPT_STRING, &args.data, 0, 0, NULL,
          "data set with labels, mean and deviation for a checkpoint without them", NULL },
        { "format", 0, "FORMAT", FX_OPT_CHOICE, &args.format, 0, 0, "onnx", "onnx (the default)",
          NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "ckpt-export",
        .synopsis = "[options] [CHECKPOINT|FOLDER]",
        .summary = "Write what a model computes in evaluation as an ONNX file: images as bytes in, "
                   "the logits of the fused model and of each expert out.",
        .options = options,
        .example = "ckpt-export --format onnx -o model.onnx run/best.safetensors",
    };
    struct fx_err err = { 0 };
    enum fx_status status;

    int n_operands = fx_tool_start(&tool, argc, argv);
    args.input = n_operands > 0 ? argv[0] : NULL;
    if (n_operands > 1)
        status = fx_fail(&err, FX_EUSAGE, "%s: one model at a time", argv[1]);
    else
        status = run(&args, &err);
    return fx_tool_exit(status, &err);
}
