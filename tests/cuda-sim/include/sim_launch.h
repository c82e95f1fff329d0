/* Starting a kernel on the simulator: takes the place of kernel<<<...>>>(...). */
#ifndef CUDA_SIM_SIM_LAUNCH_H
#define CUDA_SIM_SIM_LAUNCH_H

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_runtime_api.h"

namespace cuda_sim
{

enum { MAX_PARAMETER_BYTES = 4096 };

/* Enqueues `thread`, to be called once for each thread of the grid; checks the extents as a device
 * does.  `name` is kept, it is a literal. */
cudaError_t enqueue_kernel(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t stream, std::function<void()> thread);

/* A function that reads arguments where they are kept, in the host's memory: not instrumented. */
#define CUDA_SIM_UNCHECKED __attribute__((no_sanitize_thread))

template <class... Params, size_t... I>
CUDA_SIM_UNCHECKED void call(void (*kernel)(Params...), const std::tuple<Params...> &params,
                             std::index_sequence<I...>)
{
    kernel(std::get<I>(params)...);
}

/* The arguments are converted to the kernel's parameters and copied now, as a launch does. */
template <class... Params, class... Args>
cudaError_t launch(const char *name, void (*kernel)(Params...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream, Args &&...args)
{
    static_assert(sizeof...(Params) == sizeof...(Args), "as many arguments as parameters");
    static_assert((std::is_trivially_copyable_v<Params> && ...), "parameters are plain data");
    static_assert((sizeof(Params) + ... + 0) <= MAX_PARAMETER_BYTES, "parameters fit a launch");
    std::tuple<Params...> params(std::forward<Args>(args)...);

    return enqueue_kernel(name, grid, block, shared_bytes, stream,
                          [kernel, params]() CUDA_SIM_UNCHECKED {
                              call(kernel, params, std::index_sequence_for<Params...>());
                          });
}

} // namespace cuda_sim

#define FX_START(kernel, grid, block, shared, stream, ...)                                         \
    (void)cuda_sim::launch(#kernel, kernel, (grid), (block), (shared), (stream), __VA_ARGS__)

#endif
