/* cuDNN, loaded by name. */
#include "backend/cuda/vendor/cudnn_api_internal.h"

#include "backend/cuda/vendor/vendor_load_internal.h"

struct fx_cudnn_api fx_cudnn_api;

#define NAME(name) #name,

enum fx_status fx_cudnn_load(struct fx_err *err)
{
    static const char *const names[] = { FX_CUDNN_FUNCTIONS(NAME) };
    static void *library;

    return fx_vendor_load(&library, "libcudnn.so.9", names, sizeof names / sizeof *names,
                          (void **)&fx_cudnn_api, err);
}
