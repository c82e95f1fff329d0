/* Choosing a device.  `auto` asks the back ends in the order of their speed, and remembers why the
 * faster ones were passed over. */
#include "backend/choice.h"

#include <stdio.h>
#include <string.h>

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
