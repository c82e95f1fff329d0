/* lib/backend/cuda/vendor/cudnn_plan.h without cuDNN: convolutions as matrix products, an image and
 * a group at a time, on the stream. */
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <jansson.h>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

extern "C" {
#include "backend/cuda/vendor/cudnn_plan.h"
}

#include "sim.h"
#include "sim_product.h"

struct fx_cudnn_plan {
    struct fx_cudnn_shape shape;
    enum fx_conv_direction direction;
    const struct fx_cudnn *cudnn; /* borrowed */
    mutable bool has_run;         /* uncaptured: its kernels are loaded */
};

using plan_key = std::tuple<int, int, int, int, int, int, int, int, int, int, int, bool, bool, int>;

struct fx_cudnn {
    std::vector<cudaStream_t> streams; /* empty: a description, nothing runs */
    size_t workspace_limit;
    std::map<plan_key, std::unique_ptr<fx_cudnn_plan>> plans;
    struct fx_plan_cache tuned; /* of plans that are not its own */
};

namespace cuda_sim
{

/* The workspace that it says it needs; it only scribbles there.  None at all, or any number. */
static size_t workspace_bytes(const fx_cudnn_shape &s, fx_conv_direction direction)
{
    return direction == FX_CONV_FORWARD ? 0 : (size_t)(s.c_in * s.kernel + s.w_out) * 131;
}

/* A convolution's sizes, of one group where they say so. */
struct extents {
    size_t c_in, c_out, group_in, group_out, taps, patch; /* patch: taps * group_in */
    size_t pixels_in, pixels_out;                         /* of an image */
};

static extents extents_of(const fx_cudnn_shape &s)
{
    size_t groups = (size_t)s.groups, taps = (size_t)(s.kernel * s.kernel);
    size_t c_in = (size_t)s.c_in, c_out = (size_t)s.c_out;

    return extents{ c_in,
                    c_out,
                    c_in / groups,
                    c_out / groups,
                    taps,
                    taps * (c_in / groups),
                    (size_t)s.h_in * (size_t)s.w_in,
                    (size_t)s.h_out * (size_t)s.w_out };
}

static int length_out(const fx_cudnn_shape &s, int in)
{
    return (in + 2 * s.pad - s.kernel) / s.stride + 1;
}

static bool is_sound(const fx_cudnn_shape &s)
{
    return s.n > 0 && s.groups > 0 && s.kernel > 0 && s.stride > 0 && s.pad >= 0 && s.c_in > 0 &&
           s.c_out > 0 && s.c_in % (8 * s.groups) == 0 && s.c_out % (8 * s.groups) == 0 &&
           s.h_out == length_out(s, s.h_in) && s.w_out == length_out(s, s.w_in);
}

/* Calls visit(element of a patch, element of x) for what the patch of an output pixel covers of an
 * image, first channel of a group on; what lies in the padding is left out. */
template <class Visit>
static void visit_patch(const fx_cudnn_shape &s, const extents &e, size_t pixel, Visit visit)
{
    int top = (int)pixel / s.w_out * s.stride - s.pad,
        left = (int)pixel % s.w_out * s.stride - s.pad;

    for (int tap = 0; tap < s.kernel * s.kernel; tap++) {
        int y = top + tap / s.kernel, x = left + tap % s.kernel;

        if (y >= 0 && y < s.h_in && x >= 0 && x < s.w_in)
            for (size_t c = 0; c < e.group_in; c++)
                visit((size_t)tap * e.group_in + c, (size_t)(y * s.w_in + x) * e.c_in + c);
    }
}

/* The patches of an image and a group, (pixels_out, patch), read from x. */
static std::vector<float> patches_of(const fx_cudnn_shape &s, const extents &e, const values &x,
                                     size_t first)
{
    std::vector<float> patches(e.pixels_out * e.patch, 0.0f);

    for (size_t p = 0; p < e.pixels_out; p++)
        visit_patch(s, e, p, [&](size_t in_patch, size_t in_x) {
            patches[p * e.patch + in_patch] = x.get(first + in_x);
        });
    return patches;
}

/* A group's columns of (rows, ld) in packed rows of `columns`, or transposed. */
static std::vector<float> columns_of(const values &v, size_t first, size_t rows, size_t ld,
                                     size_t columns, bool trans)
{
    std::vector<float> result(rows * columns);

    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            result[trans ? c * rows + r : r * columns + c] = v.get(first + r * ld + c);
    return result;
}

static void store(const values &v, size_t first, size_t rows, size_t ld, size_t columns,
                  const std::vector<double> &sums)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            v.set(first + r * ld + c, (float)sums[r * columns + c]);
}

/* Where an image's group begins in x, in y; a group's weights in w. */
struct begins {
    size_t x, y, w;
};

static begins begins_of(const extents &e, size_t image, size_t group)
{
    return begins{ image * e.pixels_in * e.c_in + group * e.group_in,
                   image * e.pixels_out * e.c_out + group * e.group_out,
                   group * e.group_out * e.patch };
}

static void forward(const fx_cudnn_shape &s, const extents &e, begins at, const values &x,
                    const values &w, const values &y)
{
    std::vector<double> sums(e.pixels_out * e.group_out, 0.0);

    multiply_add(e.pixels_out, e.group_out, e.patch, patches_of(s, e, x, at.x),
                 columns_of(w, at.w, e.group_out, e.patch, e.patch, true), sums);
    store(y, at.y, e.pixels_out, e.c_out, e.group_out, sums);
}

static void backward_data(const fx_cudnn_shape &s, const extents &e, begins at, const values &x,
                          const values &w, const values &y)
{
    std::vector<double> patches(e.pixels_out * e.patch, 0.0);
    std::vector<double> sums(e.pixels_in * e.c_in, 0.0);

    multiply_add(e.pixels_out, e.patch, e.group_out,
                 columns_of(y, at.y, e.pixels_out, e.c_out, e.group_out, false),
                 columns_of(w, at.w, e.group_out, e.patch, e.patch, false), patches);
    for (size_t p = 0; p < e.pixels_out; p++)
        visit_patch(s, e, p, [&](size_t in_patch, size_t in_x) {
            sums[in_x] += patches[p * e.patch + in_patch];
        });
    for (size_t r = 0; r < e.pixels_in; r++)
        for (size_t c = 0; c < e.group_in; c++)
            x.set(at.x + r * e.c_in + c,
                  (float)(sums[r * e.c_in + c] + (s.add ? x.get(at.x + r * e.c_in + c) : 0)));
}

/* Adds an image's part to sums (group_out, patch). */
static void backward_weights(const fx_cudnn_shape &s, const extents &e, begins at, const values &x,
                             const values &y, std::vector<double> &sums)
{
    multiply_add(e.group_out, e.patch, e.pixels_out,
                 columns_of(y, at.y, e.pixels_out, e.c_out, e.group_out, true),
                 patches_of(s, e, x, at.x), sums);
}

static void run(const fx_cudnn_shape &s, fx_conv_direction direction, const values &x,
                const values &w, const values &y)
{
    extents e = extents_of(s);

    for (size_t group = 0; group < (size_t)s.groups; group++) {
        std::vector<double> sums(e.group_out * e.patch, 0.0);

        for (size_t image = 0; image < (size_t)s.n; image++) {
            begins at = begins_of(e, image, group);

            if (direction == FX_CONV_FORWARD)
                forward(s, e, at, x, w, y);
            else if (direction == FX_CONV_DATA)
                backward_data(s, e, at, x, w, y);
            else
                backward_weights(s, e, at, x, y, sums);
        }
        if (direction == FX_CONV_WEIGHTS)
            store(w, group * e.group_out * e.patch, e.group_out, e.patch, e.patch, sums);
    }
}

struct region {
    const void *address;
    size_t n_bytes;
};

static bool overlap(const region &a, const region &b)
{
    const char *p = (const char *)a.address, *q = (const char *)b.address;

    return p < q + b.n_bytes && q < p + a.n_bytes;
}

/* What the addresses of a run break of what cudnn_plan.h asks for; NULL: nothing. */
static const char *complaint(const fx_cudnn_shape &s, const values &x, const values &w,
                             const values &y, const region &workspace)
{
    extents e = extents_of(s);
    size_t n = (size_t)s.n;
    const region regions[] = { { x.data, x.bytes(n * e.pixels_in * e.c_in) },
                               { w.data, w.bytes(e.c_out * e.patch) },
                               { y.data, y.bytes(n * e.pixels_out * e.c_out) },
                               workspace };

    if (!is_aligned(x.data, 16) || !is_aligned(w.data, 16) || !is_aligned(y.data, 16) ||
        !is_aligned(workspace.address, 256))
        return "an address is not aligned";
    for (const region &r : regions)
        if (r.n_bytes > 0 && !is_device_memory(r.address, r.n_bytes))
            return "a tensor or the workspace is not in device memory";
    for (const region &r : regions)
        for (const region *q = regions; q < &r; q++)
            if (overlap(r, *q))
                return "tensors or the workspace overlap";
    return nullptr;
}

} // namespace cuda_sim

using namespace cuda_sim;

/* CUDA_SIM_CUDNN says what is wrong with it. */
enum fx_status fx_cudnn_check(int, struct fx_err *err)
{
    const char *wrong = getenv("CUDA_SIM_CUDNN");

    return wrong && *wrong ? fx_fail(err, FX_EDEVICE, "%s", wrong) : FX_OK;
}

enum fx_status fx_cudnn_open(struct fx_cudnn **cudnn, const cudaStream_t *streams, int n_streams,
                             size_t workspace_limit, struct fx_err *err)
{
    int device;
    cudaError_t error = cudaGetDevice(&device);

    *cudnn = nullptr;
    if (error != cudaSuccess)
        return fx_fail(err, FX_EDEVICE, "cuDNN: %s", cudaGetErrorString(error));
    *cudnn = new fx_cudnn{ { streams, streams + n_streams }, workspace_limit, {}, {} };
    fx_plan_cache_open(&(*cudnn)->tuned, "CUDA simulator, tuned");
    return FX_OK;
}

enum fx_status fx_cudnn_open_description(struct fx_cudnn **cudnn, const char *json,
                                         size_t workspace_limit, struct fx_err *err)
{
    *cudnn = nullptr;
    if (json[0] != '{')
        return fx_fail(err, FX_EINPUT, "cuDNN: not a description of a device");
    *cudnn = new fx_cudnn{ {}, workspace_limit, {}, {} };
    return FX_OK;
}

void fx_cudnn_close(struct fx_cudnn *cudnn)
{
    if (!cudnn)
        return;
    fx_plan_cache_save(&cudnn->tuned);
    fx_plan_cache_close(&cudnn->tuned);
    delete cudnn;
}

enum fx_status fx_cudnn_plan_get(const struct fx_cudnn_plan **plan, struct fx_cudnn *cudnn,
                                 const struct fx_cudnn_shape *shape,
                                 enum fx_conv_direction direction, struct fx_err *err)
{
    const fx_cudnn_shape &s = *shape;

    *plan = nullptr;
    if (!is_sound(s) || cudnn->workspace_limit < workspace_bytes(s, direction) ||
        made_up_ms(made_up::CONVOLUTION) < 0)
        return fx_fail(err, FX_EDEVICE, "cuDNN: no engine for %d to %d channels, %d x %d", s.c_in,
                       s.c_out, s.kernel, s.kernel);
    std::unique_ptr<fx_cudnn_plan> &entry =
        cudnn->plans[{ s.n, s.c_in, s.c_out, s.h_in, s.w_in, s.h_out, s.w_out, s.kernel, s.stride,
                       s.pad, s.groups, s.bf16, s.add, direction }];
    if (!entry)
        entry.reset(new fx_cudnn_plan{ s, direction, cudnn, false });
    *plan = entry.get();
    return FX_OK;
}

struct fx_plan_cache *fx_cudnn_tuned(struct fx_cudnn *cudnn)
{
    const char *tune = getenv("FUSION_CUDNN_TUNE");

    return tune && strcmp(tune, "1") == 0 ? &cudnn->tuned : nullptr;
}

void fx_cudnn_save(struct fx_cudnn *cudnn)
{
    fx_plan_cache_save(&cudnn->tuned);
}

void fx_cudnn_plan_facts(const struct fx_cudnn_plan *plan, struct fx_cudnn_facts *facts)
{
    *facts = { 0, "", "simulated", workspace_bytes(plan->shape, plan->direction),
               FX_CUDNN_HEURISTIC };
}

enum fx_status fx_cudnn_run(const struct fx_cudnn_plan *plan, int lane, void *x, void *w, void *y,
                            void *workspace, struct fx_err *err)
{
    fx_cudnn_shape s = plan->shape;
    fx_conv_direction direction = plan->direction;
    const std::vector<cudaStream_t> &streams = plan->cudnn->streams;
    values vx = { x, s.bf16 }, vw = { w, s.bf16 }, vy = { y, s.bf16 };

    if (lane < 0 || (size_t)lane >= streams.size())
        return fx_fail(err, FX_EFAIL, "cuDNN: no stream for lane %d", lane);
    size_t n_workspace = workspace_bytes(s, direction);
    const char *wrong = complaint(s, vx, vw, vy, { workspace, n_workspace });
    if (wrong)
        return fx_fail(err, FX_EFAIL, "cuDNN: %s", wrong);
    if (!is_captured(streams[(size_t)lane]))
        plan->has_run = true;
    else if (!plan->has_run)
        return fx_fail(err, FX_EFAIL,
                       "cuDNN: a plan's first run, which loads kernels, is captured");
    cudaError_t error = enqueue(streams[(size_t)lane], "a convolution", [=] {
        spend(made_up_ms(made_up::CONVOLUTION));
        scribble(workspace, n_workspace);
        run(s, direction, vx, vw, vy);
    });
    if (error != cudaSuccess)
        return fx_fail(err, FX_EFAIL, "cuDNN: %s", cudaGetErrorString(error));
    return FX_OK;
}
