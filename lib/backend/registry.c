/* Which back ends this build has, the only place that asks; and which device a run gets. */
#include "backend/backend.h"

#include <stdio.h>
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

/* Choosing a device.  `auto` asks the back ends in the order of their speed, and remembers why the
 * faster ones were passed over. */

enum { GPU_TEXT_BYTES = 16, MAX_DIGITS = 3 };

/* Whether the text is the word alone or with a number behind it, "auto:3"; then gpu is the same of
 * cuda, "cuda:3". */
static bool counts_round(const char *device, const char *word, char gpu[static GPU_TEXT_BYTES])
{
    size_t n = strlen(word), n_digits;

    if (strncmp(device, word, n) != 0 || (device[n] != '\0' && device[n] != ':'))
        return false;
    n_digits = strspn(device + n + (device[n] == ':'), "0123456789");
    snprintf(gpu, GPU_TEXT_BYTES, "cuda%s", device + n);
    return device[n] == '\0' ||
           (n_digits > 0 && n_digits <= MAX_DIGITS && n_digits == strlen(device + n + 1));
}

/* A back end by name, and which of its devices. */
static enum fx_status find(struct fx_choice *choice, const char *device, bool wraps,
                           struct fx_err *err)
{
    struct fx_device_options options = { 0 };
    struct fx_device_place place = { .wraps = wraps };

    FX_TRY(fx_backend_find(&choice->backend, device, &options, err));
    snprintf(choice->device, sizeof choice->device, "%s", choice->backend->name);
    if (!choice->backend->device_find)
        return FX_OK;
    place.ordinal = options.ordinal;
    enum fx_status status = choice->backend->device_find(&place, err);
    choice->warns = place.is_there;
    if (status != FX_OK)
        return status;
    choice->warns = false;
    choice->ordinal = place.ordinal;
    snprintf(choice->device, sizeof choice->device, "%s:%d", choice->backend->name, place.ordinal);
    snprintf(choice->why, sizeof choice->why, "%s", place.text);
    return FX_OK;
}

/* "device cuda: there is none" without whose device it is. */
static const char *reason(const char *message)
{
    const char *start = strncmp(message, "device ", 7) == 0 ? strstr(message, ": ") : NULL;

    return start ? start + 2 : message;
}

/* The processor, because there is no GPU: `none` says why. */
static enum fx_status choose_processor(struct fx_choice *choice, const char *none,
                                       struct fx_err *err)
{
    if (find(choice, "cpu", false, NULL) == FX_OK) {
        snprintf(choice->why, sizeof choice->why, "%s", none);
        return FX_OK;
    }
    choice->warns = true;
    snprintf(choice->why, sizeof choice->why,
             "%s; without oneDNN as well there is only ref, plain and slow", none);
    return find(choice, "ref", false, err);
}

static enum fx_status choose_best(struct fx_choice *choice, const char *gpu, struct fx_err *err)
{
    struct fx_err none = { 0 };
    enum fx_status status = find(choice, gpu, true, &none);

    if (status == FX_OK)
        return FX_OK;
    if (status != FX_EDEVICE)
        return fx_fail(err, status, "%s", none.msg);
    bool warns = choice->warns;
    status = choose_processor(choice, reason(none.msg), err);
    choice->warns |= warns;
    return status;
}

enum fx_status fx_choose(struct fx_choice *choice, const char *device, struct fx_err *err)
{
    char gpu[GPU_TEXT_BYTES];

    *choice = (struct fx_choice){ 0 };
    if (counts_round(device, "auto", gpu))
        return choose_best(choice, gpu, err);
    if (counts_round(device, "cuda:auto", gpu))
        return find(choice, gpu, true, err);
    return find(choice, device, false, err);
}

enum fx_status fx_choose_precision(enum fx_precision *precision, const char *device,
                                   struct fx_err *err)
{
    struct fx_choice choice;

    if (*precision != FX_PRECISION_AUTO)
        return FX_OK;
    FX_TRY(fx_choose(&choice, device, err));
    *precision = choice.backend->prefers_bf16 && choice.backend->prefers_bf16() ? FX_PRECISION_BF16
                                                                                : FX_PRECISION_FP32;
    return FX_OK;
}
