/* Races in kernels: found on the simulator with CUDA_SIM_RACES=1, whatever the order in which
 * threads and blocks happen to run, and nothing is said of what is in order. */
#include "sim_case.h"

enum { N_THREADS = 64, N_BLOCKS = 3, N = N_THREADS * N_BLOCKS };

/* ---- in order ------------------------------------------------------------------------------- */

/* Shared memory is used again behind a barrier, device memory by its own thread and, behind a
 * barrier, by its block; all read one value and all add to another. */
static __global__ void in_order(const float *all, float *x, int *count)
{
    __shared__ float part[N_THREADS];
    float *mine = x + blockIdx.x * N_THREADS;

    for (int i = 0; i < 3; i++) {
        part[threadIdx.x] = mine[threadIdx.x] + all[0];
        __syncthreads();
        mine[threadIdx.x] = part[N_THREADS - 1 - threadIdx.x];
        __syncthreads();
        if (threadIdx.x > 0)
            mine[threadIdx.x] += mine[0];
        __syncthreads();
    }
    atomicAdd(count, 1);
}

static __global__ void add_one(float *x)
{
    x[blockIdx.x * N_THREADS + threadIdx.x] += 1.0f;
}

static void run_in_order()
{
    device_array<float> x(std::vector<float>(N, 1.0f)), all(std::vector<float>(1, 2.0f));
    device_array<int> count(std::vector<int>(1, 0));

    for (int i = 0; i < 2; i++) {
        RUN(FX_LAUNCH(in_order, N_BLOCKS, N_THREADS, 0, nullptr, all.data, x.data, count.data));
        RUN(FX_LAUNCH(add_one, N_BLOCKS, N_THREADS, 0, nullptr, x.data));
    }
    assert_int_equal(count.read()[0], 2 * N);
}

/* ---- the last block: it may read what all have written, if fences say so ------------------------
 */

enum leaves_out { NOTHING, FENCE_BEFORE, FENCE_BEHIND, BARRIER, TICKET };

/* The last block of threads adds up what all of them have left, into what the first one left. */
template <leaves_out WITHOUT> static __global__ void last_adds(float *x, unsigned *ticket)
{
    __shared__ bool is_last;

    x[blockIdx.x * N_THREADS + threadIdx.x] = 1.0f;
    if (WITHOUT != BARRIER)
        __syncthreads();
    if (threadIdx.x == 0) {
        if (WITHOUT != FENCE_BEFORE)
            __threadfence();
        is_last = WITHOUT == TICKET || atomicInc(ticket, N_BLOCKS - 1) == N_BLOCKS - 1;
        if (WITHOUT != FENCE_BEHIND)
            __threadfence();
    }
    __syncthreads();
    for (unsigned i = 1; is_last && i < N_BLOCKS; i++)
        x[threadIdx.x] += x[i * N_THREADS + N_THREADS - 1 - threadIdx.x];
}

template <leaves_out WITHOUT> static void run_last()
{
    device_array<float> x(std::vector<float>(N, 0.0f));
    device_array<unsigned> ticket(std::vector<unsigned>(1, 0));

    for (int i = 0; i < 2; i++) { /* the ticket is as it was */
        cuda_sim::launch("a kernel", last_adds<WITHOUT>, N_BLOCKS, N_THREADS, 0, nullptr, x.data,
                         ticket.data);
        cudaDeviceSynchronize();
        assert_true(x.read()[N_THREADS / 2] == N_BLOCKS);
    }
}

static void fences_order_blocks(void **)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        cuda_sim::seed(seed);
        run_last<NOTHING>();
        dies(run_last<FENCE_BEFORE>, "device memory that another block wrote");
        dies(run_last<FENCE_BEHIND>, "device memory that another block wrote");
        dies(run_last<BARRIER>, "device memory that another block wrote");
        dies(run_last<TICKET>, "device memory that another block ");
    }
}

/* ---- races ---------------------------------------------------------------------------------- */

/* The same value from all threads, but who knows that. */
static __global__ void writes_what_others_wrote(float *x)
{
    __shared__ float one;

    one = 1.0f;
    __syncthreads();
    x[blockIdx.x * N_THREADS + threadIdx.x] = one;
}

/* Behind the barrier the first thread writes for the next round while others may still read. */
static __global__ void writes_what_others_read(float *x)
{
    __shared__ float one;

    for (int i = 0; i < 2; i++) {
        if (threadIdx.x == 0)
            one = 1.0f;
        __syncthreads();
        x[blockIdx.x * N_THREADS + threadIdx.x] = one;
    }
}

static __global__ void reads_a_neighbour(float *x)
{
    unsigned i = blockIdx.x * N_THREADS + threadIdx.x;

    if (threadIdx.x % 2)
        x[i] = x[i - 1];
    else
        x[i] = 1.0f;
}

/* No barrier orders blocks. */
static __global__ void all_blocks_write(float *x)
{
    x[threadIdx.x] = 1.0f;
    __syncthreads();
}

static __global__ void writes_what_other_blocks_read(float *x)
{
    if (blockIdx.x > 0)
        x[N + threadIdx.x] = x[threadIdx.x];
    else
        x[threadIdx.x] = 1.0f;
}

template <void (*KERNEL)(float *)> static void run()
{
    device_array<float> x(std::vector<float>(2 * N, 1.0f));

    cuda_sim::launch("a kernel", KERNEL, N_BLOCKS, N_THREADS, 0, nullptr, x.data);
    cudaDeviceSynchronize();
}

static void races_are_told(void **)
{
    for (uint64_t seed = 0; seed < 4; seed++) {
        cuda_sim::seed(seed);
        dies(run<writes_what_others_wrote>, "writes shared memory that thread ");
        dies(run<writes_what_others_read>, "shared memory that ");
        dies(run<reads_a_neighbour>, "device memory that thread ");
        dies(run<all_blocks_write>, "writes device memory that another block wrote");
        dies(run<writes_what_other_blocks_read>, "device memory that another block ");
    }
}

static void order_is_no_race(void **)
{
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        run_in_order();
    }
}

static void without_the_variable_nothing_is_watched(void **)
{
    unsetenv("CUDA_SIM_RACES");
    run<all_blocks_write>();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_no_race),
        cmocka_unit_test(fences_order_blocks),
        cmocka_unit_test(races_are_told),
        cmocka_unit_test(without_the_variable_nothing_is_watched),
    };

#ifndef __SANITIZE_THREAD__ /* built with another sanitizer, which excludes it */
    puts("1..0 # SKIP kernels without calls at each access");
    return 0;
#endif
    setenv("CUDA_SIM_RACES", "1", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
