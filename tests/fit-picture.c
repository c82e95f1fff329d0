/* fit-picture FILE...: the 3072 bytes that a model gets of each picture, to standard output. */
#include "base/io.h"
#include "base/tool.h"
#include "data/dataset.h"
#include "image/picture.h"

#include <unistd.h>

static enum fx_status fit(const char *path, struct fx_err *err)
{
    struct fx_picture picture = { 0 };
    struct fx_input in = { 0 };
    uint8_t image[FX_IMAGE_BYTES];
    enum fx_status status;

    FX_TRY(fx_input_open(&in, path, err));
    FX_TRY_OUT(fx_picture_decode(&picture, in.bytes, in.n_bytes, in.name, err));
    FX_TRY_OUT(fx_picture_fit(&picture, image, err));
    FX_TRY_OUT(fx_write_full(STDOUT_FILENO, image, sizeof image, "stdout", err));
out:
    fx_picture_fini(&picture);
    fx_input_close(&in);
    return status;
}

int main(int argc, char **argv)
{
    const struct fx_option options[] = { { .type = FX_OPT_END } };
    const struct fx_tool tool = { .name = "fit-picture",
                                  .synopsis = "FILE...",
                                  .summary = "Write the 3072 bytes that a model gets of pictures.",
                                  .options = options,
                                  .example = "fit-picture cow.jpg > cow.raw" };
    struct fx_err err = { 0 };
    enum fx_status status = FX_OK;

    int n = fx_tool_start(&tool, argc, argv);
    for (int i = 0; i < n && status == FX_OK; i++)
        status = fit(argv[i], &err);
    return fx_tool_exit(status, &err);
}
