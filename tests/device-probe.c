/* device-probe DEVICE: prints which device that is here, and what; if build or machine have none,
 * one line says why and the exit status is 77. */
#include "backend/backend.h"
#include "base/tool.h"

#include <stdio.h>

static enum fx_status probe(const char *name, struct fx_err *err)
{
    struct fx_device_options options = { .n_threads = 1, .precision = FX_PRECISION_FP32 };
    struct fx_choice choice;
    struct fx_device *device;

    FX_TRY(fx_choose(&choice, name, err));
    options.ordinal = choice.ordinal;
    FX_TRY(choice.backend->device_open(&device, &options, err));
    choice.backend->device_close(device);
    printf("%s%s%s\n", choice.device, choice.why[0] != '\0' ? ": " : "", choice.why);
    return FX_OK;
}

int main(int argc, char **argv)
{
    const struct fx_option options[] = { { .type = FX_OPT_END } };
    const struct fx_tool tool = { .name = "device-probe",
                                  .synopsis = "DEVICE",
                                  .summary = "Names the device, and exits 0 if it can be used.",
                                  .options = options,
                                  .example = "device-probe cuda" };
    struct fx_err err = { 0 };

    if (fx_tool_start(&tool, argc, argv) != 1)
        return fx_tool_exit(fx_fail(&err, FX_EUSAGE, "DEVICE is required"), &err);
    return fx_tool_exit(probe(argv[0], &err), &err);
}
