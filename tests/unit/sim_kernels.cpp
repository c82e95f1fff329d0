/* Kernels on the simulator: who runs, who waits for whom, what shared memory holds, and what is
 * refused or ends the program. */
#include "sim_case.h"

#include <cuda_bf16.h>
#include <math.h>

enum { N_THREADS = 64, N_BLOCKS = 5 };

/* ---- the grid ------------------------------------------------------------------------------- */

static __global__ void count_threads(int *counts, int n_x, int n_y)
{
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    int z = (int)(blockIdx.z * blockDim.z + threadIdx.z);

    atomicAdd(&counts[(z * n_y + y) * n_x + x], (int)gridDim.x);
}

static void every_thread_runs_once(void **)
{
    dim3 grid(2, 3, 4), block(8, 4, 2);
    device_array<int> counts(std::vector<int>(16 * 12 * 8, 1));

    RUN(FX_LAUNCH(count_threads, grid, block, 0, nullptr, counts.data, 16, 12));
    for (int count : counts.read())
        assert_int_equal(count, 3);
}

template <int FACTOR, bool NEGATE> static __global__ void scale(float *x, size_t n)
{
    size_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        x[i] *= NEGATE ? -FACTOR : FACTOR;
}

static void templates_and_conversions_of_arguments_work(void **)
{
    device_array<float> x(std::vector<float>(100, 1.5f));

    RUN(FX_LAUNCH((scale<3, true>), 4, 32, 0, nullptr, x.data, 100));
    for (float value : x.read())
        assert_true(value == -4.5f);
}

static __global__ void store_block_number(int *order, int *n)
{
    order[atomicAdd(n, 1)] = (int)blockIdx.x;
}

/* All blocks, and not in the order of their numbers. */
static void blocks_run_in_any_order(void **)
{
    std::vector<int> seen(32, 0);
    device_array<int> order(32), n(std::vector<int>(1, 0));
    int n_in_place = 0;

    RUN(FX_LAUNCH(store_block_number, 32, 1, 0, nullptr, order.data, n.data));
    std::vector<int> numbers = order.read();
    for (int i = 0; i < 32; i++) {
        seen[(size_t)numbers[(size_t)i]]++;
        n_in_place += numbers[(size_t)i] == i;
    }
    for (int times : seen)
        assert_int_equal(times, 1);
    assert_true(n_in_place < 16);
}

/* ---- barriers and shared memory ---------------------------------------------------------------
 */

/* Turns each block's part around, several times. */
template <bool WAITS> static __global__ void reverse(float *x)
{
    __shared__ float part[N_THREADS];
    float *mine = x + blockIdx.x * N_THREADS;

    for (int i = 0; i < 3; i++) {
        part[threadIdx.x] = mine[threadIdx.x];
        if (WAITS)
            __syncthreads();
        mine[threadIdx.x] = part[N_THREADS - 1 - threadIdx.x];
        if (WAITS)
            __syncthreads();
    }
}

static std::vector<float> reversed(bool waits)
{
    std::vector<float> numbers(N_BLOCKS * N_THREADS);

    for (size_t i = 0; i < numbers.size(); i++)
        numbers[i] = (float)i;
    device_array<float> x(numbers);
    if (waits)
        RUN(FX_LAUNCH(reverse<true>, N_BLOCKS, N_THREADS, 0, nullptr, x.data));
    else
        RUN(FX_LAUNCH(reverse<false>, N_BLOCKS, N_THREADS, 0, nullptr, x.data));
    return x.read();
}

static void a_barrier_waits_for_the_whole_block(void **)
{
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        std::vector<float> x = reversed(true);
        for (size_t i = 0; i < x.size(); i++)
            assert_true(x[i] == (float)(i / N_THREADS * N_THREADS + N_THREADS - 1 - i % N_THREADS));
    }
}

static void a_missing_barrier_shows(void **)
{
    bool has_nan = false;

    for (float value : reversed(false))
        has_nan = has_nan || isnan(value);
    assert_true(has_nan);
}

/* The sum over the block of each of several values: x[thread] of each round. */
template <bool WAITS> static __global__ void block_sums(const float *x, float *sums, int n_rounds)
{
    __shared__ float parts[N_THREADS / 32];

    for (int round = 0; round < n_rounds; round++) {
        float value = x[round * N_THREADS + (int)threadIdx.x];

        for (int lanes = 1; lanes < warpSize; lanes *= 2)
            value += __shfl_xor_sync(0xffffffffu, value, lanes);
        if (WAITS)
            __syncthreads(); /* the other warp may still read the last round's parts */
        parts[threadIdx.x / 32] = value;
        __syncthreads();
        sums[round * N_THREADS + (int)threadIdx.x] = parts[0] + parts[1];
    }
}

/* How many sums are wrong. */
static int count_wrong_sums(bool waits)
{
    enum { N_ROUNDS = 4 };
    std::vector<float> numbers(N_ROUNDS * N_THREADS);
    int n_wrong = 0;

    for (size_t i = 0; i < numbers.size(); i++)
        numbers[i] = (float)(i / N_THREADS + 1);
    device_array<float> x(numbers), sums(numbers.size());
    if (waits)
        RUN(FX_LAUNCH(block_sums<true>, 1, N_THREADS, 0, nullptr, x.data, sums.data, N_ROUNDS));
    else
        RUN(FX_LAUNCH(block_sums<false>, 1, N_THREADS, 0, nullptr, x.data, sums.data, N_ROUNDS));
    std::vector<float> got = sums.read();
    for (size_t i = 0; i < got.size(); i++)
        n_wrong += got[i] != N_THREADS * numbers[i];
    return n_wrong;
}

/* A warp may write for the next round while another still reads. */
static void a_missing_barrier_before_memory_is_used_again_shows(void **)
{
    int n_shown = 0;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        assert_int_equal(count_wrong_sums(true), 0);
        n_shown += count_wrong_sums(false) > 0;
    }
    assert_between(n_shown, N_SEEDS / 4, N_SEEDS);
}

static __global__ void read_shared(float *x)
{
    __shared__ float never_written[N_THREADS];

    x[blockIdx.x * N_THREADS + threadIdx.x] = never_written[threadIdx.x];
    never_written[threadIdx.x] = 1.0f;
}

static void every_block_finds_shared_memory_full_of_nan(void **)
{
    device_array<float> x(N_BLOCKS * N_THREADS);

    RUN(FX_LAUNCH(read_shared, N_BLOCKS, N_THREADS, 0, nullptr, x.data));
    for (float value : x.read())
        assert_true(isnan(value));
}

/* ---- shuffles ------------------------------------------------------------------------------- */

/* x[i]: the sum over the warp; y[i]: the value 3 lanes further, one's own in the last 3. */
static __global__ void shuffle(double *x, float *y)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    double sum = x[i];

    for (int lanes = 1; lanes < warpSize; lanes *= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    x[i] = sum;
    y[i] = __shfl_down_sync(0xffffffffu, y[i], 3);
}

static void lanes_of_a_warp_exchange_values(void **)
{
    size_t n = 3 * N_THREADS;
    std::vector<double> a(n), sums(n / 32, 0.0);
    std::vector<float> b(n);

    for (size_t i = 0; i < n; i++) {
        a[i] = (double)(i * i);
        sums[i / 32] += a[i];
        b[i] = (float)i;
    }
    device_array<double> x(a);
    device_array<float> y(b);
    RUN(FX_LAUNCH(shuffle, 3, N_THREADS, 0, nullptr, x.data, y.data));
    std::vector<double> got_x = x.read();
    std::vector<float> got_y = y.read();
    for (size_t i = 0; i < n; i++) {
        assert_true(got_x[i] == sums[i / 32]);
        assert_true(got_y[i] == (float)(i % 32 < 29 ? i + 3 : i));
    }
}

/* Warps go different ways, which is allowed; a barrier brings them together. */
static __global__ void warps_diverge(int *x)
{
    int value = (int)threadIdx.x;

    if (threadIdx.x < 32)
        for (int lanes = 1; lanes < warpSize; lanes *= 2)
            value += __shfl_xor_sync(0xffffffffu, value, lanes);
    __syncthreads();
    x[threadIdx.x] = value;
}

static void warps_may_diverge_between_barriers(void **)
{
    device_array<int> x(96);

    RUN(FX_LAUNCH(warps_diverge, 1, 96, 0, nullptr, x.data));
    std::vector<int> got = x.read();
    for (int i = 0; i < 96; i++)
        assert_int_equal(got[(size_t)i], i < 32 ? 31 * 32 / 2 : i);
}

/* ---- what ends the program --------------------------------------------------------------------
 */

static __global__ void some_leave(int n)
{
    if ((int)threadIdx.x < n)
        return;
    __syncthreads();
}

static __global__ void two_barriers(int n)
{
    if ((int)threadIdx.x < n)
        __syncthreads();
    else
        __syncthreads();
}

static __global__ void half_a_warp_exchanges()
{
    if (threadIdx.x % 2)
        __shfl_xor_sync(0xffffffffu, 1, 1);
    __syncthreads();
}

static __global__ void mask_of_half_a_warp()
{
    __shfl_xor_sync(0xffffu, 1, 1);
}

static void launch_and_wait(void (*kernel)())
{
    cuda_sim::launch("a kernel", kernel, 1, N_THREADS, 0, nullptr);
    cudaDeviceSynchronize();
}

static void threads_that_wait_for_ever_are_reported(void **)
{
    dies(
        [] {
            FX_LAUNCH(some_leave, 1, N_THREADS, 0, nullptr, 7);
            cudaDeviceSynchronize();
        },
        "57 wait at __syncthreads()\ncuda-sim: 7 have ended");
    dies([] { launch_and_wait(half_a_warp_exchanges); }, "32 wait in a shuffle");
}

static void divergent_barriers_are_reported(void **)
{
    dies(
        [] {
            FX_LAUNCH(two_barriers, 1, N_THREADS, 0, nullptr, 32);
            cudaDeviceSynchronize();
        },
        "kernel two_barriers, block (0, 0, 0) of 64 threads: "
        "threads wait for each other at different places");
}

static void a_shuffle_of_half_a_warp_is_reported(void **)
{
    dies([] { launch_and_wait(mask_of_half_a_warp); }, "a shuffle of less than a whole warp");
}

/* ---- launches ------------------------------------------------------------------------------- */

static void launches_that_a_device_refuses_are_refused(void **)
{
    device_array<float> x(1);

    LAUNCH_REFUSED(cudaErrorInvalidConfiguration,
                   FX_LAUNCH((scale<1, false>), 1, 1025, 0, nullptr, x.data, 1));
    LAUNCH_REFUSED(cudaErrorInvalidConfiguration,
                   FX_LAUNCH((scale<1, false>), 0, 32, 0, nullptr, x.data, 1));
    LAUNCH_REFUSED(cudaErrorInvalidConfiguration,
                   FX_LAUNCH((scale<1, false>), dim3(1, 1, 65536), 32, 0, nullptr, x.data, 1));
    RUN(FX_LAUNCH((scale<1, false>), dim3(1, 65535, 1), 32, 0, nullptr, x.data, 0));
}

static void an_error_before_a_launch_is_not_its_own(void **)
{
    device_array<float> x(1);

    assert_int_equal(cudaSetDevice(-1), cudaErrorInvalidDevice);
    RUN(FX_LAUNCH((scale<1, false>), 1, 32, 0, nullptr, x.data, 0));
}

struct numbers {
    int n;
    float values[8];
};

static __global__ void store_numbers(numbers given, float *x)
{
    if ((int)threadIdx.x < given.n)
        x[threadIdx.x] = given.values[threadIdx.x];
}

static void arguments_are_those_of_the_launch(void **)
{
    stream_case stream;
    device_array<float> x(std::vector<float>(8, 0.0f));
    numbers given = { 8, { 1, 2, 3, 4, 5, 6, 7, 8 } };

    RUN(FX_LAUNCH(store_numbers, 1, 32, 0, stream, given, x.data));
    given = {};
    std::vector<float> got = x.read();
    for (size_t i = 0; i < 8; i++)
        assert_true(got[i] == (float)(i + 1));
}

/* ---- bfloat16 ---------------------------------------------------------------------------------
 */

static void bfloat16_rounds_to_the_nearest_even(void **)
{
    static const struct {
        uint32_t from;
        uint16_t to;
    } cases[] = {
        { 0x3f800000, 0x3f80 }, { 0x3f808000, 0x3f80 }, /* a tie: down to even */
        { 0x3f818000, 0x3f82 },                         /* a tie: up to even */
        { 0x3f808001, 0x3f81 }, { 0xbf818000, 0xbf82 }, { 0x7f7fffff, 0x7f80 },
        { 0xff800000, 0xff80 }, { 0x7f800001, 0x7fff }, { 0xffffffff, 0x7fff },
        { 0x00008000, 0x0000 }, { 0x00008001, 0x0001 },
    };

    for (const auto &entry : cases)
        assert_int_equal(__bfloat16_as_ushort(__float2bfloat16_rn(__uint_as_float(entry.from))),
                         entry.to);
    assert_true(__bfloat162float(__ushort_as_bfloat16(0xc040)) == -3.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs_once),
        cmocka_unit_test(templates_and_conversions_of_arguments_work),
        cmocka_unit_test(blocks_run_in_any_order),
        cmocka_unit_test(a_barrier_waits_for_the_whole_block),
        cmocka_unit_test(a_missing_barrier_shows),
        cmocka_unit_test(a_missing_barrier_before_memory_is_used_again_shows),
        cmocka_unit_test(every_block_finds_shared_memory_full_of_nan),
        cmocka_unit_test(lanes_of_a_warp_exchange_values),
        cmocka_unit_test(warps_may_diverge_between_barriers),
        cmocka_unit_test(threads_that_wait_for_ever_are_reported),
        cmocka_unit_test(divergent_barriers_are_reported),
        cmocka_unit_test(a_shuffle_of_half_a_warp_is_reported),
        cmocka_unit_test(launches_that_a_device_refuses_are_refused),
        cmocka_unit_test(an_error_before_a_launch_is_not_its_own),
        cmocka_unit_test(arguments_are_those_of_the_launch),
        cmocka_unit_test(bfloat16_rounds_to_the_nearest_even),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
