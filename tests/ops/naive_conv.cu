/* The loops of naive_conv.h.  A sum is f32 over the channels of a tap, or 64 pixels, and double
 * over those. */
#include "naive_conv.h"

#include "kernels/launch.cuh"
#include "kernels/map_block.cuh"

enum { THREADS = 256, RUN = 64 };

static __device__ float value_of(float v)
{
    return v;
}

static __device__ float value_of(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}

static __device__ void put(float *to, float v)
{
    *to = v;
}

static __device__ void put(__nv_bfloat16 *to, float v)
{
    *to = __float2bfloat16_rn(v);
}

/* Where channel c of a row lies, padding included. */
template <class T> static __device__ T *at(const fx_k_map &map, unsigned lane, size_t row, int c)
{
    return fx_map_at<T>(map, lane, row, c / FX_K_BLOCK * FX_K_BLOCK) + c % FX_K_BLOCK;
}

/* Channels with their padding. */
static __host__ __device__ int padded(const fx_k_map &map)
{
    return (map.c + FX_K_BLOCK - 1) / FX_K_BLOCK * FX_K_BLOCK;
}

/* Between -1 and 1, as a bf16 has it. */
static __device__ float noise(uint32_t seed, unsigned lane, uint32_t i)
{
    uint32_t x = (i + 1) * 0x9E3779B9u ^ (seed + 1) * 0x85EBCA6Bu ^ (lane + 1) * 0xC2B2AE35u;

    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return (float)(int)((x ^ x >> 16) % 255u) / 128.0f - 0.9921875f;
}

template <class T>
static __global__ void fill_map(fx_k_map map, int rows, uint32_t seed, bool spoils)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    int n = padded(map), c = (int)(i % (unsigned)n);
    size_t row = i / (unsigned)n;
    float value = c < map.c ? noise(seed, blockIdx.z, (uint32_t)i) : 0.0f;

    if (row < (size_t)rows)
        put(at<T>(map, blockIdx.z, row, c), spoils ? nanf("") : value);
}

static unsigned blocks_for(size_t n)
{
    return (unsigned)((n + THREADS - 1) / THREADS);
}

static cudaError_t fill(const struct fx_k_launch *l, const struct fx_k_map *map, int rows,
                        uint32_t seed, bool spoils)
{
    unsigned n_lanes =
        map->lane > 0 ? (unsigned)l->n_lanes : 1; /* all lanes read the same images */
    dim3 grid(blocks_for((size_t)rows * (size_t)padded(*map)), 1, n_lanes);

    return l->bf16
               ? FX_LAUNCH(fill_map<__nv_bfloat16>, grid, THREADS, 0, l->stream, *map, rows, seed,
                           spoils)
               : FX_LAUNCH(fill_map<float>, grid, THREADS, 0, l->stream, *map, rows, seed, spoils);
}

cudaError_t naive_fill_map(const struct fx_k_launch *l, const struct fx_k_map *map, int rows,
                           uint32_t seed)
{
    return fill(l, map, rows, seed, false);
}

cudaError_t naive_spoil_map(const struct fx_k_launch *l, const struct fx_k_map *map, int rows)
{
    return fill(l, map, rows, 0, true);
}

/* ---- weights ---- */

/* A weight by its place: output channel of all, tap, input channel of a merged group. */
struct weight {
    int out, tap, in;
};

static __device__ weight weight_at(const fx_weight_layout &w, size_t i)
{
    int taps = w.kernel * w.kernel;

    return { (int)(i / (unsigned)(w.in * taps)), (int)(i / (unsigned)w.in % (unsigned)taps),
             (int)(i % (unsigned)w.in) };
}

/* Whether a graph's weight lies there, and not padding or what is between merged groups. */
static __device__ bool is_there(const fx_weight_layout &w, const weight &k)
{
    int per_out = w.c_out / w.groups, per_in = w.c_in / w.groups;
    int out = k.out % w.out, in = k.in - out / per_out * per_in;

    return out < w.c_out / w.merged && in >= 0 && in < per_in;
}

template <class T> static __global__ void fill_weights(naive_conv c, uint32_t seed)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const fx_weight_layout &w = c.layout;
    weight k = weight_at(w, i);

    if (k.out < w.merged * w.out)
        put((T *)c.w + blockIdx.z * c.w_lane + i,
            is_there(w, k) ? noise(seed, blockIdx.z, (uint32_t)i) : 0.0f);
}

static size_t weight_values(const fx_weight_layout &w)
{
    return (size_t)(w.merged * w.out * w.kernel * w.kernel) * (size_t)w.in;
}

cudaError_t naive_fill_weights(const struct fx_k_launch *l, const struct naive_conv *c,
                               uint32_t seed)
{
    dim3 grid(blocks_for(weight_values(c->layout)), 1, (unsigned)l->n_lanes);

    return l->bf16 ? FX_LAUNCH(fill_weights<__nv_bfloat16>, grid, THREADS, 0, l->stream, *c, seed)
                   : FX_LAUNCH(fill_weights<float>, grid, THREADS, 0, l->stream, *c, seed);
}

/* ---- sums ---- */

/* Of products, and of their absolute values. */
struct sums {
    double sum, size;
    float run, run_size;
};

static __device__ void add(sums *s, float a, float b)
{
    s->run += a * b;
    s->run_size += fabsf(a * b);
}

static __device__ void end_run(sums *s)
{
    s->sum += (double)s->run;
    s->size += (double)s->run_size;
    s->run = s->run_size = 0;
}

/* A pixel of the input that a tap of an output pixel reads; -1: the border. */
static __device__ int input_of(const naive_conv &c, int row, int tap)
{
    int area = c.h_out * c.w_out, k = c.layout.kernel, pixel = row % area;
    int y = pixel / c.w_out * c.stride - c.pad + tap / k;
    int x = pixel % c.w_out * c.stride - c.pad + tap % k;

    return y < 0 || y >= c.h_in || x < 0 || x >= c.w_in ? -1
                                                        : (row / area * c.h_in + y) * c.w_in + x;
}

/* The output pixel that reads an input pixel by a tap; -1: none. */
static __device__ int output_of(const naive_conv &c, int row, int tap)
{
    int area = c.h_in * c.w_in, k = c.layout.kernel, pixel = row % area;
    int y = pixel / c.w_in + c.pad - tap / k, x = pixel % c.w_in + c.pad - tap % k;

    if (y < 0 || x < 0 || y % c.stride != 0 || x % c.stride != 0)
        return -1;
    y /= c.stride;
    x /= c.stride;
    return y >= c.h_out || x >= c.w_out ? -1 : (row / area * c.h_out + y) * c.w_out + x;
}

template <class T>
static __device__ sums sum_forward(const naive_conv &c, unsigned lane, int row, int out)
{
    const fx_weight_layout &w = c.layout;
    const T *weights = (const T *)c.w + lane * c.w_lane;
    int taps = w.kernel * w.kernel, first = out / w.out * w.in;
    sums s = {};

    for (int tap = 0; tap < taps; tap++) {
        int from = input_of(c, row, tap);
        const T *k = weights + ((size_t)out * (unsigned)taps + (unsigned)tap) * (unsigned)w.in;

        for (int i = 0; from >= 0 && i < w.in; i++)
            add(&s, value_of(*at<T>(c.x, lane, (size_t)from, first + i)), value_of(k[i]));
        end_run(&s);
    }
    return s;
}

template <class T>
static __device__ sums sum_data(const naive_conv &c, unsigned lane, int row, int in)
{
    const fx_weight_layout &w = c.layout;
    const T *weights = (const T *)c.w + lane * c.w_lane;
    int taps = w.kernel * w.kernel, first = in / w.in * w.out;
    sums s = {};

    for (int tap = 0; tap < taps; tap++) {
        int from = output_of(c, row, tap);

        for (int o = first; from >= 0 && o < first + w.out; o++) {
            size_t k = ((size_t)o * (unsigned)taps + (unsigned)tap) * (unsigned)w.in;
            add(&s, value_of(*at<T>(c.y, lane, (size_t)from, o)),
                value_of(weights[k + (unsigned)(in % w.in)]));
        }
        end_run(&s);
    }
    return s;
}

template <class T>
static __device__ sums sum_weights(const naive_conv &c, unsigned lane, const weight &k)
{
    const fx_weight_layout &w = c.layout;
    int rows = c.n * c.h_out * c.w_out, channel = k.out / w.out * w.in + k.in;
    sums s = {};

    for (int row = 0; is_there(w, k) && row < rows; row++) {
        int from = input_of(c, row, k.tap);

        if (from >= 0)
            add(&s, value_of(*at<T>(c.y, lane, (size_t)row, k.out)),
                value_of(*at<T>(c.x, lane, (size_t)from, channel)));
        if (row % RUN == RUN - 1)
            end_run(&s);
    }
    end_run(&s);
    return s;
}

/* ---- comparison ---- */

struct limits {
    float of_sum, of_value;
    int *worst;
};

/* NaN is as bad as can be. */
static __device__ void compare(const limits &l, float got, const sums &want)
{
    double allowed = (double)l.of_sum * want.size + (double)l.of_value * fabs(want.sum);
    double error = fabs((double)got - want.sum);
    float parts = error == 0 ? 0.0f : (float)(error / (allowed + 1e-30));

    atomicMax(l.worst, __float_as_int(parts <= 1e30f ? parts : 1e30f));
}

template <class T, bool FORWARD>
static __global__ void compare_map(naive_conv c, int rows, int step, limits l)
{
    const fx_k_map &map = FORWARD ? c.y : c.x;
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    int n = padded(map), channel = (int)(i % (unsigned)n);
    size_t row = i / (unsigned)n * (unsigned)step;

    if (row >= (size_t)rows)
        return;
    sums want = FORWARD ? sum_forward<T>(c, blockIdx.z, (int)row, channel)
                        : sum_data<T>(c, blockIdx.z, (int)row, channel);
    if (!FORWARD && c.adds && channel < map.c)
        want.sum +=
            (double)noise(c.x_seed, blockIdx.z, (uint32_t)(row * (unsigned)n) + (unsigned)channel);
    compare(l, value_of(*at<T>(map, blockIdx.z, row, channel)), want);
}

template <class T> static __global__ void compare_weights(naive_conv c, int step, limits l)
{
    const fx_weight_layout &w = c.layout;
    unsigned per_out = (unsigned)(w.kernel * w.kernel * w.in);
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;

    i = i / per_out * (unsigned)step * per_out + i % per_out;
    weight k = weight_at(w, i);
    if (k.out >= w.merged * w.out)
        return;
    compare(l, ((const float *)c.w)[blockIdx.z * c.w_lane + i], sum_weights<T>(c, blockIdx.z, k));
}

template <class T>
static cudaError_t start(const struct fx_k_launch *l, const struct naive_conv *c,
                         enum fx_conv_direction direction, int step, const limits &limits)
{
    const fx_k_map &map = direction == FX_CONV_FORWARD ? c->y : c->x;
    int rows = c->n * (direction == FX_CONV_FORWARD ? c->h_out * c->w_out : c->h_in * c->w_in);
    size_t n = (size_t)((rows + step - 1) / step) * (size_t)padded(map);
    dim3 grid(blocks_for(direction == FX_CONV_WEIGHTS ? weight_values(c->layout) : n), 1,
              (unsigned)l->n_lanes);

    if (direction == FX_CONV_WEIGHTS)
        return FX_LAUNCH(compare_weights<T>, grid, THREADS, 0, l->stream, *c, step, limits);
    return direction == FX_CONV_FORWARD ? FX_LAUNCH((compare_map<T, true>), grid, THREADS, 0,
                                                    l->stream, *c, rows, step, limits)
                                        : FX_LAUNCH((compare_map<T, false>), grid, THREADS, 0,
                                                    l->stream, *c, rows, step, limits);
}

cudaError_t naive_compare(const struct fx_k_launch *l, const struct naive_conv *c,
                          enum fx_conv_direction direction, int step, float of_sum, float of_value,
                          int *worst)
{
    limits limits = { of_sum, of_value, worst };

    return l->bf16 ? start<__nv_bfloat16>(l, c, direction, step, limits)
                   : start<float>(l, c, direction, step, limits);
}
