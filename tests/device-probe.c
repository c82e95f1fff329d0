/* device-probe DEVICE: whether this build and this machine have a device; if not, one line says why
 * and the exit status is 77. */
#include "backend/backend.h"
#include "base/tool.h"

#include <stddef.h>

static enum fx_status probe(const char *name, struct fx_err *err)
{
    struct fx_device_options options = { .n_threads = 1, .precision = FX_PRECISION_FP32 };
    const struct fx_backend *backend;
    struct fx_device *device;

    FX_TRY(fx_backend_find(&backend, name, &options, err));
    FX_TRY(backend->device_open(&device, &options, err));
    backend->device_close(device);
    return FX_OK;
}

int main(int argc, char **argv)
{
    const struct fx_option options[] = { { .type = FX_OPT_END } };
    const struct fx_tool tool = { .name = "device-probe",
                                  .synopsis = "DEVICE",
                                  .summary =
                                      "Exits 0 if this build and this machine have the device.",
                                  .options = options,
                                  .example = "device-probe cuda" };
    struct fx_err err = { 0 };

    if (fx_tool_start(&tool, argc, argv) != 1)
        return fx_tool_exit(fx_fail(&err, FX_EUSAGE, "DEVICE is required"), &err);
    return fx_tool_exit(probe(argv[0], &err), &err);
}
