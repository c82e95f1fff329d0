/* cuBLASLt, loaded by name. */
#include "backend/cuda/vendor/cublas_lt_api_internal.h"

#include "backend/cuda/vendor/vendor_load_internal.h"

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
