/* The only door to cuDNN: two-dimensional convolutions, compiled once and run many times.
 *
 * A plan is one convolution shape in one direction, with the engine that cuDNN runs it by.  Every
 * layer of that shape in every lane shares it: a plan holds no addresses.  Plans are built for a
 * device that is there, or for the description of one, on a machine that need not have any.
 *
 * Maps are NHWC, packed (pixel stride = channels), weights (c_out, kernel, kernel, c_in / groups);
 * channels, of a group too, are multiples of 8.  All three tensors are f32, or all are bf16; sums
 * are f32.  f32 means f32: engines that round their inputs (TF32) are refused, and so are engines
 * whose result depends on scheduling. */
#ifndef FX_BACKEND_CUDA_VENDOR_CUDNN_PLAN_H
#define FX_BACKEND_CUDA_VENDOR_CUDNN_PLAN_H

#include "backend/cuda/plan_cache.h"
#include "backend/lower/lower.h"
#include "base/status.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

struct fx_cudnn;      /* the library for one device: handles, plans, their cache on disk */
struct fx_cudnn_plan; /* one compiled convolution, in one direction */

/* fx_cudnn_check: whether the library is there, and knows devices of this compute capability (90
 * for 9.0); FX_EDEVICE: why not. */
enum fx_status fx_cudnn_check(int capability, struct fx_err *err) FX_MUST_CHECK;

/* fx_cudnn_open: for the current device.
 *   streams          lane i of fx_cudnn_run enqueues on streams[i]; they outlive the library
 *   workspace_limit  bytes that a plan may ask for
 * FX_EDEVICE: no driver, or no library, or one older than 9.8. */
enum fx_status fx_cudnn_open(struct fx_cudnn **cudnn, const cudaStream_t *streams, int n_streams,
                             size_t workspace_limit, struct fx_err *err) FX_MUST_CHECK;
/* fx_cudnn_open_description: for the device that a text describes, cuDNN's JSON of device
 * properties; its plans cannot be run.  FX_EINPUT when cuDNN does not take the text. */
enum fx_status fx_cudnn_open_description(struct fx_cudnn **cudnn, const char *json,
                                         size_t workspace_limit, struct fx_err *err) FX_MUST_CHECK;
void fx_cudnn_close(struct fx_cudnn *cudnn); /* accepts NULL; destroys its plans, saves them */

struct fx_cudnn_shape {
    int n;           /* images */
    int c_in, c_out; /* all channels */
    int h_in, w_in, h_out, w_out;
    int kernel, stride, pad, groups;
    bool bf16;
    bool add; /* FX_CONV_DATA only: x += */
};

/* fx_cudnn_plan_get: the plan for a shape and direction, made at the first call; owned by cudnn.
 * The engine is the one the cache on disk names, else the best by cuDNN's heuristics or, with
 * FUSION_CUDNN_TUNE=1 in the environment, the fastest of the best few, timed on the device: then
 * no stream of the process may be captured meanwhile.
 * FX_EDEVICE when cuDNN has no engine that is exact, deterministic and within the limit. */
enum fx_status fx_cudnn_plan_get(const struct fx_cudnn_plan **plan, struct fx_cudnn *cudnn,
                                 const struct fx_cudnn_shape *shape,
                                 enum fx_conv_direction direction,
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_cudnn_tuned: where choices by timing are kept, borrowed; NULL without FUSION_CUDNN_TUNE=1. */
struct fx_plan_cache *fx_cudnn_tuned(struct fx_cudnn *cudnn);

/* fx_cudnn_save: adds the plans made since the last call to the cache (plan_cache.h).  One that
 * cannot be written costs the next start some time and nothing else: only a message. */
void fx_cudnn_save(struct fx_cudnn *cudnn);

/* What a plan is, for tables and for the memory plan. */
enum fx_cudnn_origin { FX_CUDNN_HEURISTIC, FX_CUDNN_TUNED, FX_CUDNN_CACHED };
struct fx_cudnn_facts {
    int engine;             /* cuDNN's number */
    const char *knobs;      /* how the engine is set, "2=57 12=1"; lives as long as the plan */
    const char *notes;      /* numerical and behaviour notes, "tensor-core winograd"; likewise */
    size_t workspace_bytes; /* that fx_cudnn_run needs, each call its own */
    enum fx_cudnn_origin origin;
};
void fx_cudnn_plan_facts(const struct fx_cudnn_plan *plan, struct fx_cudnn_facts *facts);

/* fx_cudnn_run: enqueues on the lane's stream; may be captured.  FX_EFAIL when that fails.  Which
 * of the three is written (=, or += if the shape says add) depends on the direction, the other two
 * are read:
 *   FX_CONV_FORWARD  y = conv(x, w)
 *   FX_CONV_DATA     x: the gradient of x, from w and y, the gradient of y
 *   FX_CONV_WEIGHTS  w: the gradient of w, in the type of maps, from x and y, the gradient of y
 * 16-byte aligned addresses of device memory, the workspace 256; none overlap. */
enum fx_status fx_cudnn_run(const struct fx_cudnn_plan *plan, int lane, void *x, void *w, void *y,
                            void *workspace, struct fx_err *err) FX_MUST_CHECK;

#endif
