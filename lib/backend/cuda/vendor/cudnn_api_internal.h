/* cuDNN's functions, found when a device is opened.  Linked in the usual way cuDNN and cuBLASLt
 * would be mapped by every tool at every start: 0.15 s and 200 MiB for `--help`, and no start at
 * all on a machine without them.  Callers write the library's own names. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_API_INTERNAL_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_API_INTERNAL_H

#include "base/status.h"

#include <cudnn_graph.h>
#include <cudnn_version.h>

/* Plans are made for the description of a device, which older ones do not have.  The library may
 * be older than the headers: whatever is asked of it is in every version since this one. */
enum { FX_CUDNN_OLDEST = 90800 };
_Static_assert(CUDNN_VERSION >= FX_CUDNN_OLDEST,
               "cuDNN 9.8 or newer is needed; HAVE_CUDA=0 builds without");

#define FX_CUDNN_FUNCTIONS(F)                                                                      \
    F(cudnnGetVersion)                                                                             \
    F(cudnnGetErrorString)                                                                         \
    F(cudnnGetLastErrorString)                                                                     \
    F(cudnnCreate)                                                                                 \
    F(cudnnDestroy)                                                                                \
    F(cudnnSetStream)                                                                              \
    F(cudnnBackendCreateDescriptor)                                                                \
    F(cudnnBackendDestroyDescriptor)                                                               \
    F(cudnnBackendSetAttribute)                                                                    \
    F(cudnnBackendGetAttribute)                                                                    \
    F(cudnnBackendFinalize)                                                                        \
    F(cudnnBackendExecute)

#define FX_CUDNN_MEMBER(name) __typeof__(name) *name;
struct fx_cudnn_api {
    FX_CUDNN_FUNCTIONS(FX_CUDNN_MEMBER)
};
extern struct fx_cudnn_api fx_cudnn_api;

/* fx_cudnn_load: loads the library and finds its functions; the second call does nothing.
 * FX_EDEVICE: there is none, or it lacks a function. */
enum fx_status fx_cudnn_load(struct fx_err *err) FX_MUST_CHECK;

#define cudnnGetVersion fx_cudnn_api.cudnnGetVersion
#define cudnnGetErrorString fx_cudnn_api.cudnnGetErrorString
#define cudnnGetLastErrorString fx_cudnn_api.cudnnGetLastErrorString
#define cudnnCreate fx_cudnn_api.cudnnCreate
#define cudnnDestroy fx_cudnn_api.cudnnDestroy
#define cudnnSetStream fx_cudnn_api.cudnnSetStream
#define cudnnBackendCreateDescriptor fx_cudnn_api.cudnnBackendCreateDescriptor
#define cudnnBackendDestroyDescriptor fx_cudnn_api.cudnnBackendDestroyDescriptor
#define cudnnBackendSetAttribute fx_cudnn_api.cudnnBackendSetAttribute
#define cudnnBackendGetAttribute fx_cudnn_api.cudnnBackendGetAttribute
#define cudnnBackendFinalize fx_cudnn_api.cudnnBackendFinalize
#define cudnnBackendExecute fx_cudnn_api.cudnnBackendExecute

#endif
