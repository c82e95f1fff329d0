/* The version of a library that was found, against the one that the program was compiled with. */
#include "backend/cuda/vendor/vendor_load_internal.h"

#include "base/log.h"

/* 91002 and 91900 of cuDNN are 9.10 and 9.19, 130101 of cuBLASLt is 13.1. */
enum { MAJOR = 10000, MINOR = 100 };

enum fx_status fx_vendor_check_version(const char *name, size_t found, size_t compiled,
                                       bool *has_warned, struct fx_err *err)
{
    size_t minor = found / MINOR, wanted = compiled / MINOR;
    bool is_near = found / MAJOR == compiled / MAJOR && minor + 1 == wanted;

    if (minor >= wanted)
        return FX_OK;
    if (!is_near)
        return fx_fail(
            err, FX_EDEVICE, "%s: the library is %zu.%zu.%zu, this program needs %zu.%zu", name,
            found / MAJOR, minor % MINOR, found % MINOR, compiled / MAJOR, wanted % MINOR);
    if (!*has_warned)
        fx_log_warn("%s: the library is %zu.%zu.%zu, and this program was compiled with %zu.%zu",
                    name, found / MAJOR, minor % MINOR, found % MINOR, compiled / MAJOR,
                    wanted % MINOR);
    *has_warned = true;
    return FX_OK;
}
