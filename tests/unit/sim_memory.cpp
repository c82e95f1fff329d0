/* Memory of the simulator's devices: how much there is, what fresh memory holds, and who may touch
 * what when. */
#include "sim_case.h"

static void fresh_memory_is_full_of_nan(void **)
{
    device_array<uint32_t> x(1000);

    for (uint32_t word : x.read())
        assert_int_equal(word, 0xffffffffu);
}

static void memory_runs_out(void **)
{
    void *p, *q;
    size_t free_bytes, total;

    setenv("CUDA_SIM_MEMORY", "1M", 1);
    RUN(cudaMemGetInfo(&free_bytes, &total));
    assert_int_equal(total, 1 << 20);
    assert_int_equal(free_bytes, 1 << 20);
    REFUSED(cudaErrorMemoryAllocation, cudaMalloc(&p, (1 << 20) + 1));
    assert_null(p);
    RUN(cudaMalloc(&p, 1 << 20));
    assert_int_equal(cuda_sim::allocated_bytes(), 1 << 20);
    REFUSED(cudaErrorMemoryAllocation, cudaMalloc(&q, 1));
    RUN(cudaFree(p));
    RUN(cudaMalloc(&q, 1 << 20));
    RUN(cudaFree(q));
    REFUSED(cudaErrorInvalidValue, cudaFree(q));
    RUN(cudaFree(nullptr));
    unsetenv("CUDA_SIM_MEMORY");
}

static void devices_are_counted(void **)
{
    int n, device;
    cudaDeviceProp prop;
    void *p;

    RUN(cudaGetDeviceCount(&n));
    assert_int_equal(n, 1);
    RUN(cudaGetDeviceProperties(&prop, 0));
    assert_string_equal(prop.name, "CUDA simulator");
    assert_int_equal(prop.totalGlobalMem, (size_t)8 << 30);
    REFUSED(cudaErrorInvalidDevice, cudaSetDevice(1));
    setenv("CUDA_SIM_DEVICES", "2", 1);
    RUN(cudaSetDevice(1));
    RUN(cudaGetDevice(&device));
    assert_int_equal(device, 1);
    RUN(cudaSetDevice(0));
    setenv("CUDA_SIM_DEVICES", "0", 1);
    REFUSED(cudaErrorNoDevice, cudaGetDeviceCount(&n));
    assert_int_equal(n, 0);
    REFUSED(cudaErrorNoDevice, cudaMalloc(&p, 1));
    unsetenv("CUDA_SIM_DEVICES");
}

static __global__ void touch(float *x, size_t i)
{
    x[i] = 1.0f;
}

static void the_host_cannot_touch_device_memory(void **)
{
    dies(
        [] {
            device_array<float> x(10);
            *const_cast<volatile float *>(x.data + 1) = 1.0f;
        },
        "cuda-sim: the host touches device memory, 4 bytes behind its begin");
}

static void freed_memory_cannot_be_touched(void **)
{
    dies(
        [] {
            float *x;
            cudaMalloc(&x, 16);
            cudaFree(x);
            FX_LAUNCH(touch, 1, 1, 0, nullptr, x, 2);
            cudaDeviceSynchronize();
        },
        "cuda-sim: touch touches device memory that was freed, 8 bytes behind its begin");
}

static void pages_behind_an_allocation_are_closed(void **)
{
    dies(
        [] {
            device_array<float> x(1024);
            FX_LAUNCH(touch, 1, 1, 0, nullptr, x.data, 1024);
            cudaDeviceSynchronize();
        },
        "cuda-sim: touch touches memory that is not there");
}

static __global__ void follow(float *const *where)
{
    **where = 1.0f;
}

/* Page-locked memory can be reached from the device, other memory of the host cannot. */
static void kernels_cannot_touch_memory_of_the_host(void **)
{
    float *pinned;

#ifndef __SANITIZE_ADDRESS__
    dies(
        [] {
            std::vector<float> host(4);
            device_array<float *> where(std::vector<float *>(1, host.data()));
            FX_LAUNCH(follow, 1, 1, 0, nullptr, where.data);
            cudaDeviceSynchronize();
        },
        "cuda-sim: kernel follow, block (0, 0, 0) of 1 threads: it touches memory of the host");
#endif
    RUN(cudaMallocHost(&pinned, sizeof *pinned));
    device_array<float *> where(std::vector<float *>(1, pinned));
    RUN(FX_LAUNCH(follow, 1, 1, 0, nullptr, where.data));
    RUN(cudaDeviceSynchronize());
    assert_true(*pinned == 1.0f);
    RUN(cudaFreeHost(pinned));
}

static void freeing_waits_for_work(void **)
{
    float *x;
    stream_case stream;

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        cuda_sim::seed(seed);
        RUN(cudaMalloc(&x, 16));
        RUN(FX_LAUNCH(touch, 1, 1, 0, stream, x, 2));
        RUN(cudaFree(x));
    }
}

static void copies_stay_within_their_ends(void **)
{
    device_array<float> x(10), y(10);
    float host[10];
    size_t bytes = 10 * sizeof(float);

    RUN(cudaMemset(x.data, 0, bytes));
    RUN(cudaMemcpy(y.data, x.data, bytes, cudaMemcpyDefault));
    RUN(cudaMemcpy(host, y.data, bytes, cudaMemcpyDefault));
    assert_true(host[9] == 0.0f);
    REFUSED(cudaErrorInvalidValue, cudaMemcpy(x.data, host, bytes, cudaMemcpyDeviceToHost));
    REFUSED(cudaErrorInvalidValue, cudaMemcpy(x.data, host, bytes, cudaMemcpyDeviceToDevice));
    REFUSED(cudaErrorInvalidValue, cudaMemcpy(x.data + 1, y.data, bytes, cudaMemcpyDeviceToDevice));
    REFUSED(cudaErrorInvalidValue, cudaMemset(x.data, 0, bytes + 1));
    REFUSED(cudaErrorInvalidValue, cudaMemset(host, 0, bytes));
}

static void errors_have_names(void **)
{
    assert_int_equal(cudaErrorStreamCaptureUnjoined, 904);
    assert_string_equal(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
    assert_string_equal(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
    assert_string_equal(cudaGetErrorName((cudaError_t)998), "unrecognized error code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_memory_is_full_of_nan),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(devices_are_counted),
        cmocka_unit_test(the_host_cannot_touch_device_memory),
        cmocka_unit_test(freed_memory_cannot_be_touched),
        cmocka_unit_test(pages_behind_an_allocation_are_closed),
        cmocka_unit_test(kernels_cannot_touch_memory_of_the_host),
        cmocka_unit_test(freeing_waits_for_work),
        cmocka_unit_test(copies_stay_within_their_ends),
        cmocka_unit_test(errors_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
