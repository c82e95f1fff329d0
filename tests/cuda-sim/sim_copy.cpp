/* Copies and fills. */
#include <cstring>
#include <memory>

#include "sim_runtime.h"
#include "sim_stream.h"

namespace cuda_sim
{

/* A copy that was asked for, and where its ends lie. */
struct transfer {
    void *to;
    const void *from;
    size_t bytes;
    memory_kind to_kind, from_kind;
};

static constexpr size_t MAX_STAGED_BYTES = 64 << 10;

static bool is_device(memory_kind kind)
{
    return kind == memory_kind::DEVICE;
}

static bool fits(memory_kind kind, bool on_device)
{
    return is_device(kind) == on_device;
}

/* Finds the ends and compares them with the direction that was said. */
static cudaError_t check(transfer &copy, cudaMemcpyKind direction)
{
    if (!find_memory(copy.to, copy.bytes, &copy.to_kind) ||
        !find_memory(copy.from, copy.bytes, &copy.from_kind))
        return cudaErrorInvalidValue;
    switch (direction) {
    case cudaMemcpyDefault:
        return cudaSuccess;
    case cudaMemcpyHostToHost:
    case cudaMemcpyHostToDevice:
    case cudaMemcpyDeviceToHost:
    case cudaMemcpyDeviceToDevice:
        return fits(copy.from_kind, direction & cudaMemcpyDeviceToHost) &&
                       fits(copy.to_kind, direction & cudaMemcpyHostToDevice)
                   ? cudaSuccess
                   : cudaErrorInvalidValue;
    }
    return cudaErrorInvalidMemcpyDirection;
}

/* Pageable memory is read before the call returns. */
static std::function<void()> action_of(const transfer &copy)
{
    if (copy.from_kind == memory_kind::OTHER) {
        const char *begin = static_cast<const char *>(copy.from);
        auto staged = std::make_shared<std::vector<char>>(begin, begin + copy.bytes);

        return [copy, staged] { memmove(copy.to, staged->data(), copy.bytes); };
    }
    return [copy] { memmove(copy.to, copy.from, copy.bytes); };
}

/* A call that copies a little to the device, from pageable memory, returns when the source can be
 * used again; what it copies may arrive later. */
static bool is_staged(const transfer &copy)
{
    return is_device(copy.to_kind) && copy.from_kind == memory_kind::OTHER &&
           copy.bytes <= MAX_STAGED_BYTES;
}

static cudaError_t put_copy(CUstream_st *stream, transfer copy, cudaMemcpyKind direction, bool wait)
{
    cudaError_t error = check(copy, direction);
    bool pageable = copy.to_kind == memory_kind::OTHER || copy.from_kind == memory_kind::OTHER;

    if (error != cudaSuccess || copy.bytes == 0)
        return error;
    if (pageable && stream->in)
        return spoil(*stream->in, cudaErrorStreamCaptureUnsupported);
    error = put(stream, "cudaMemcpy", action_of(copy));
    if (error == cudaSuccess && (wait ? !is_staged(copy) : copy.to_kind == memory_kind::OTHER))
        finish(stream->last);
    return error;
}

static cudaError_t put_fill(CUstream_st *stream, void *memory, int value, size_t bytes)
{
    memory_kind kind;

    if (!find_memory(memory, bytes, &kind) || kind == memory_kind::OTHER)
        return cudaErrorInvalidValue;
    return bytes == 0 ? cudaSuccess
                      : put(stream, "cudaMemset", [=] { memset(memory, value, bytes); });
}

} // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t handle)
{
    transfer copy = { to, from, count, memory_kind::OTHER, memory_kind::OTHER };

    return api([&] {
        CUstream_st *stream = find_stream(handle);

        return stream ? put_copy(stream, copy, kind, false) : cudaErrorInvalidResourceHandle;
    });
}

/* Returns when the copy is done, but for one within devices and a small one to a device. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t count, enum cudaMemcpyKind kind)
{
    transfer copy = { to, from, count, memory_kind::OTHER, memory_kind::OTHER };

    return api([&] {
        return put_copy(find_stream(nullptr), copy, kind, kind != cudaMemcpyDeviceToDevice);
    });
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t count, cudaStream_t handle)
{
    return api([&] {
        CUstream_st *stream = find_stream(handle);

        return stream ? put_fill(stream, memory, value, count) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaMemset(void *memory, int value, size_t count)
{
    return cudaMemsetAsync(memory, value, count, nullptr);
}
