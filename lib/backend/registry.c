/* Which back ends this build has: the only place that asks. */
#include "backend/backends.h"

#include <stdlib.h>
#include <string.h>

#if FX_HAVE_DNNL
#define CPU_TABLE &fx_backend_cpu
#define CPU_NAME " cpu"
#else
#define CPU_TABLE NULL
#define CPU_NAME ""
#endif

#if FX_HAVE_CUDA && FX_CUDA_SIM
#define CUDA_TABLE &fx_backend_cuda
#define CUDA_NAME " cuda (simulated)" /* tests/cuda-sim */
#elif FX_HAVE_CUDA
#define CUDA_TABLE &fx_backend_cuda
#define CUDA_NAME " cuda"
#else
#define CUDA_TABLE NULL
#define CUDA_NAME ""
#endif

static const struct {
    const char *name;
    const struct fx_backend *backend; /* NULL: known, but not in this build */
    const char *missing;              /* why not */
} entries[] = {
    { "ref", &fx_backend_ref, NULL },
    { "cpu", CPU_TABLE, "this build has no oneDNN" },
    { "cuda", CUDA_TABLE, "this build has no CUDA" },
};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

/* "cuda:1": the number behind the colon; 0 without one.  Only cuda has several devices. */
static bool parse_ordinal(const char *device, size_t n_name, int *ordinal)
{
    char *end;
    long number;

    *ordinal = 0;
    if (device[n_name] == '\0')
        return true;
    if (strncmp(device, "cuda:", 5) != 0 || device[5] < '0' || device[5] > '9')
        return false;
    number = strtol(device + 5, &end, 10);
    *ordinal = (int)number;
    return *end == '\0' && number < 1024;
}

enum fx_status fx_backend_find(const struct fx_backend **backend, const char *device,
                               struct fx_device_options *options, struct fx_err *err)
{
    size_t n = strcspn(device, ":");

    for (int i = 0; i < N_ENTRIES; i++) {
        if (strlen(entries[i].name) != n || strncmp(entries[i].name, device, n) != 0)
            continue;
        if (!parse_ordinal(device, n, &options->ordinal))
            break;
        if (!entries[i].backend)
            return fx_fail(err, FX_EDEVICE, "device %s: %s (it has: %s)", device,
                           entries[i].missing, fx_backend_names());
        *backend = entries[i].backend;
        return FX_OK;
    }
    return fx_fail(err, FX_EUSAGE, "unknown device '%s' (there are: auto, cpu, ref, cuda, cuda:N)",
                   device);
}

const char *fx_backend_names(void)
{
    return "ref" CPU_NAME CUDA_NAME;
}
