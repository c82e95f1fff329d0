/* dlopen and dlsym, with errors that say what to do. */
#include "backend/cuda/vendor/vendor_load_internal.h"

#include "backend/cuda/vendor/cublas_lt_api_internal.h"
#include "backend/cuda/vendor/cudnn_api_internal.h"

#include <dlfcn.h>

enum fx_status fx_vendor_load(void **library, const char *file, const char *const *names, size_t n,
                              void **functions, struct fx_err *err)
{
    void *loaded;

    if (*library)
        return FX_OK;
    loaded = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!loaded)
        return fx_fail(err, FX_EDEVICE, "device cuda: %s (LD_LIBRARY_PATH says where to look)",
                       dlerror());
    for (size_t i = 0; i < n; i++) {
        functions[i] = dlsym(loaded, names[i]);
        if (!functions[i]) {
            dlclose(loaded);
            return fx_fail(err, FX_EDEVICE, "device cuda: %s has no %s: another version", file,
                           names[i]);
        }
    }
    *library = loaded;
    return FX_OK;
}

/* cuBLASLt, loaded by name. */

struct fx_cublas_lt_api fx_cublas_lt_api;

#define NAME(name) #name,
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

enum fx_status fx_cublas_lt_load(struct fx_err *err)
{
    static const char *const names[] = { FX_CUBLAS_LT_FUNCTIONS(NAME) };
    static void *library;

    return fx_vendor_load(&library, "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR), names,
                          sizeof names / sizeof *names, (void **)&fx_cublas_lt_api, err);
}

/* cuDNN, loaded by name. */

struct fx_cudnn_api fx_cudnn_api;

#define NAME(name) #name,

enum fx_status fx_cudnn_load(struct fx_err *err)
{
    static const char *const names[] = { FX_CUDNN_FUNCTIONS(NAME) };
    static void *library;

    return fx_vendor_load(&library, "libcudnn.so.9", names, sizeof names / sizeof *names,
                          (void **)&fx_cudnn_api, err);
}
