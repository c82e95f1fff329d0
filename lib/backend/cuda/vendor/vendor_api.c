/* The functions of cuBLASLt and cuDNN, loaded by name.  In a file apart from vendor_load.c, which
 * the tests that link the libraries replace. */
#include "backend/cuda/vendor/vendor_load_internal.h"

#include "backend/cuda/vendor/cublas_lt_api_internal.h"
#include "backend/cuda/vendor/cudnn_api_internal.h"

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

struct fx_cudnn_api fx_cudnn_api;

enum fx_status fx_cudnn_load(struct fx_err *err)
{
    static const char *const names[] = { FX_CUDNN_FUNCTIONS(NAME) };
    static void *library;

    return fx_vendor_load(&library, "libcudnn.so.9", names, sizeof names / sizeof *names,
                          (void **)&fx_cudnn_api, err);
}
