/* pth-dump FILE OUT: what the .pth reader finds, as safetensors, whatever names and dtypes: for
 * tests that compare values.  expert-load itself converts to the dtypes of a network. */
#include "archive/pth.h"
#include "base/tool.h"
#include "tensor/safetensors.h"

static enum fx_status run(const char *path, const char *out_path, struct fx_err *err)
{
    struct fx_input in = { 0 };
    struct fx_tensor_set set = { 0 };
    struct fx_output out = { .fd = -1 };
    enum fx_status status;

    FX_TRY_OUT(fx_input_open(&in, path, err));
    FX_TRY_OUT(fx_pth_read(&set, &in, err));
    FX_TRY_OUT(fx_output_open(&out, out_path, true, err));
    FX_TRY_OUT(fx_safetensors_write(&set, out.fd, out_path, NULL, NULL, err));
    FX_TRY_OUT(fx_output_commit(&out, err));
out:
    fx_output_abandon(&out);
    fx_tensor_set_fini(&set);
    fx_input_close(&in);
    return status;
}

int main(int argc, char **argv)
{
    static const struct fx_option options[] = { { .type = FX_OPT_END } };
    static const struct fx_tool tool = {
        .name = "pth-dump", .synopsis = "FILE OUT", .summary = "", .options = options, .example = ""
    };
    struct fx_err err = { 0 };
    enum fx_status status;

    if (fx_tool_start(&tool, argc, argv) != 2)
        status = fx_fail(&err, FX_EUSAGE, "two files, please");
    else
        status = run(argv[0], argv[1], &err);
    return fx_tool_exit(status, &err);
}
