/* dlopen and dlsym, with errors that say what to do. */
#include "backend/cuda/vendor/vendor_load_internal.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

enum fx_status fx_vendor_load(void **library, const char *file, const char *const *names, size_t n,
                              void **functions, struct fx_err *err)
{
    void *loaded;

    if (*library)
        return FX_OK;
    loaded = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!loaded)
        return fx_fail(err, FX_EDEVICE,
                       "device cuda: %s; the Python package nvidia-cudnn-cu%d brings cuDNN and "
                       "cuBLAS, LD_LIBRARY_PATH says where they are",
                       dlerror(), CUDART_VERSION / 1000);
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
