/* cuBLASLt's functions, found when a device is opened, as cuDNN's are (cudnn_api_internal.h).  Any
 * library of the header's major version will do, which its file name has: these are in all. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUBLAS_LT_API_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUBLAS_LT_API_INTERNAL_H

#include "base/status.h"

#include <cublasLt.h>

/* The names with _internal are what the library's own inline functions call. */
#define FX_CUBLAS_LT_FUNCTIONS(F)                                                                  \
    F(cublasLtGetStatusString)                                                                     \
    F(cublasLtCreate)                                                                              \
    F(cublasLtDestroy)                                                                             \
    F(cublasLtMatmul)                                                                              \
    F(cublasLtMatmulAlgoConfigGetAttribute)                                                        \
    F(cublasLtMatmulAlgoGetHeuristic)                                                              \
    F(cublasLtMatmulDescInit_internal)                                                             \
    F(cublasLtMatmulDescSetAttribute)                                                              \
    F(cublasLtMatmulPreferenceInit_internal)                                                       \
    F(cublasLtMatmulPreferenceSetAttribute)                                                        \
    F(cublasLtMatrixLayoutInit_internal)                                                           \
    F(cublasLtMatrixLayoutSetAttribute)

#define FX_CUBLAS_LT_MEMBER(name) __typeof__(name) *name;
struct fx_cublas_lt_api {
    FX_CUBLAS_LT_FUNCTIONS(FX_CUBLAS_LT_MEMBER)
};
extern struct fx_cublas_lt_api fx_cublas_lt_api;

/* fx_cublas_lt_load: loads the library and finds its functions; the second call does nothing.
 * FX_EDEVICE: there is none, or it lacks a function. */
enum fx_status fx_cublas_lt_load(struct fx_err *err) FX_MUST_CHECK;

#define cublasLtGetStatusString fx_cublas_lt_api.cublasLtGetStatusString
#define cublasLtCreate fx_cublas_lt_api.cublasLtCreate
#define cublasLtDestroy fx_cublas_lt_api.cublasLtDestroy
#define cublasLtMatmul fx_cublas_lt_api.cublasLtMatmul
#define cublasLtMatmulAlgoConfigGetAttribute fx_cublas_lt_api.cublasLtMatmulAlgoConfigGetAttribute
#define cublasLtMatmulAlgoGetHeuristic fx_cublas_lt_api.cublasLtMatmulAlgoGetHeuristic
#define cublasLtMatmulDescSetAttribute fx_cublas_lt_api.cublasLtMatmulDescSetAttribute
#define cublasLtMatmulPreferenceSetAttribute fx_cublas_lt_api.cublasLtMatmulPreferenceSetAttribute
#define cublasLtMatrixLayoutSetAttribute fx_cublas_lt_api.cublasLtMatrixLayoutSetAttribute
#define cublasLtMatmulDescInit(product, compute, scale)                                            \
    fx_cublas_lt_api.cublasLtMatmulDescInit_internal(product, sizeof *(product), compute, scale)
#define cublasLtMatmulPreferenceInit(preference)                                                   \
    fx_cublas_lt_api.cublasLtMatmulPreferenceInit_internal(preference, sizeof *(preference))
#define cublasLtMatrixLayoutInit(layout, type, rows, columns, ld)                                  \
    fx_cublas_lt_api.cublasLtMatrixLayoutInit_internal(layout, sizeof *(layout), type, rows,       \
                                                       columns, ld)

#endif
