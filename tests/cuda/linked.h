/* For programs that stand in for functions of cuDNN and cuBLASLt: they are linked with the shared
 * libraries (Makefile), and what the back end loads by name is found here first. */
#ifndef FX_TESTS_CUDA_LINKED_H
#define FX_TESTS_CUDA_LINKED_H

#include "backend/cuda/vendor/vendor_load_internal.h"

#include <dlfcn.h>

/* In place of lib/backend/cuda/vendor/vendor_load.c. */
enum fx_status fx_vendor_load(void **library, const char *file, const char *const *names, size_t n,
                              void **functions, struct fx_err *err)
{
    (void)library;
    for (size_t i = 0; i < n; i++) {
        functions[i] = dlsym(RTLD_DEFAULT, names[i]);
        if (functions[i] == NULL)
            return fx_fail(err, FX_EDEVICE, "%s has no %s", file, names[i]);
    }
    return FX_OK;
}

#endif
