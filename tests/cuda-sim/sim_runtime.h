/* Inside the fake runtime: how its files call each other.  Everything here is called with the lock
 * held; api() takes it. */
#ifndef CUDA_SIM_SIM_RUNTIME_H
#define CUDA_SIM_SIM_RUNTIME_H

#include <mutex>

#include "cuda_runtime_api.h"

namespace cuda_sim
{

/* ---- sim_device.cpp -----------------------------------------------------------------------------
 */

extern std::mutex runtime_lock;

cudaError_t remember(cudaError_t error); /* as the calling thread's last error, if it is one */
bool have_device();
int current_device(); /* of the calling thread */
int n_devices();
size_t device_bytes(); /* of memory, each */
size_t taken_bytes();  /* of each, by another process, unnoticed until an allocation fails */
size_t captured_nodes_allowed(); /* that a capture takes before it refuses one */

/* The body of a call: alone, only with a device, its error remembered. */
template <class Body> cudaError_t api(Body body)
{
    std::lock_guard<std::mutex> hold(runtime_lock);

    return remember(have_device() ? body() : cudaErrorNoDevice);
}

/* ---- sim_memory.cpp -----------------------------------------------------------------------------
 */

enum class memory_kind { DEVICE, PINNED, OTHER };

/* What kind of memory an address lies in; false when not all of the bytes there lie in the one
 * allocation, or when it was freed. */
bool find_memory(const void *address, size_t bytes, memory_kind *kind);

/* Quickly: whether an address is or was one of device memory. */
bool is_device_address(const void *address);

/* Device memory can be touched while one of these lives. */
struct open_memory {
    open_memory();
    ~open_memory();
    open_memory(const open_memory &) = delete;
    open_memory &operator=(const open_memory &) = delete;
};

/* ---- sim_capture.cpp ----------------------------------------------------------------------------
 */

/* For calls that a capture in progress forbids: says so, and spoils the capture. */
cudaError_t refuse_in_capture();

} // namespace cuda_sim

#endif
