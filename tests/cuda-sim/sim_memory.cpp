/* Device memory: pages of the host that can be touched only while work runs.  Each allocation has
 * its own; once freed they stay closed for ever, so that a stale address is a fault. */
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sanitizers.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

#include "sim_race.h"
#include "sim_runtime.h"
#include "sim_schedule.h"
#include "sim.h"

namespace cuda_sim
{

struct allocation {
    size_t bytes, mapped; /* asked for, and rounded up to pages */
    int device;
    bool freed;
    char *on_heap; /* owned, so that the leak sanitizer notices what is never freed */
};

/* Where device memory lies: a range of addresses that nothing else of the program uses. */
static constexpr uintptr_t FIRST_ADDRESS = (uintptr_t)1 << 45;

static std::map<uintptr_t, allocation> on_device; /* by address; freed ones too */
static uintptr_t next_address = FIRST_ADDRESS;
static std::map<uintptr_t, size_t> pinned;
static bool someone_is_seen; /* who took CUDA_SIM_MEMORY_TAKEN */

static uintptr_t number(const void *address)
{
    return reinterpret_cast<uintptr_t>(address);
}

static void *pointer(uintptr_t address)
{
    return reinterpret_cast<void *>(address);
}

static bool out_of_memory(const void *memory)
{
    return memory == MAP_FAILED;
}

/* ---- whose an address is -------------------------------------------------------------------- */

/* The last entry that begins at or before an address. */
template <class Map> static typename Map::const_iterator before(const Map &map, uintptr_t address)
{
    auto after = map.upper_bound(address);

    return after == map.begin() ? map.end() : std::prev(after);
}

bool find_memory(const void *address, size_t bytes, memory_kind *kind)
{
    uintptr_t first = number(address);
    auto device = before(on_device, first);
    auto host = before(pinned, first);

    *kind = memory_kind::OTHER;
    if (device != on_device.end() && first - device->first < device->second.mapped) {
        *kind = memory_kind::DEVICE;
        return !device->second.freed && first - device->first + bytes <= device->second.bytes;
    }
    if (host != pinned.end() && first - host->first < host->second) {
        *kind = memory_kind::PINNED;
        return first - host->first + bytes <= host->second;
    }
    return true;
}

bool is_device_address(const void *address)
{
    return number(address) - FIRST_ADDRESS < next_address - FIRST_ADDRESS;
}

bool is_device_memory(const void *address, size_t bytes)
{
    memory_kind kind;

    return find_memory(address, bytes, &kind) && kind == memory_kind::DEVICE;
}

bool is_aligned(const void *address, size_t bytes)
{
    return number(address) % bytes == 0;
}

static size_t allocated_on(int device)
{
    size_t sum = 0;

    for (const auto &[address, entry] : on_device)
        if (!entry.freed && (device < 0 || entry.device == device))
            sum += entry.bytes;
    return sum;
}

size_t allocated_bytes()
{
    return allocated_on(-1);
}

/* ---- touching it ---------------------------------------------------------------------------- */

static int n_open;

static void protect_all(int protection)
{
    for (const auto &[address, entry] : on_device)
        if (!entry.freed)
            mprotect(pointer(address), entry.mapped, protection);
}

open_memory::open_memory()
{
    if (n_open++ == 0)
        protect_all(PROT_READ | PROT_WRITE);
}

open_memory::~open_memory()
{
    if (--n_open == 0)
        protect_all(PROT_NONE);
}

static struct sigaction former_handler;

/* Says who touched what, and lets the fault take its course. */
static void explain_fault(int, siginfo_t *info, void *)
{
    uintptr_t at = number(info->si_addr);
    auto entry = before(on_device, at);

    if (entry != on_device.end() && at - entry->first < entry->second.mapped)
        fprintf(stderr, "cuda-sim: %s touches %s, %zu bytes behind its begin\n", running_name(),
                entry->second.freed ? "device memory that was freed" : "device memory",
                (size_t)(at - entry->first));
    else
        fprintf(stderr, "cuda-sim: %s touches memory that is not there\n", running_name());
    sigaction(SIGSEGV, &former_handler, nullptr);
}

/* Again if someone else's handler has taken the place of this one. */
static void explain_faults()
{
    struct sigaction handler = {}, present;

    handler.sa_sigaction = explain_fault;
    handler.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, nullptr, &present);
    if (present.sa_sigaction == explain_fault)
        return;
    former_handler = present;
    sigaction(SIGSEGV, &handler, nullptr);
}

/* ---- allocation ----------------------------------------------------------------------------- */

/* A closed page follows the memory; what lies between is closed to the address sanitizer. */
static cudaError_t allocate(void **result, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped = (bytes + page - 1) / page * page;

    *result = nullptr;
    if (bytes == 0)
        return cudaSuccess;
    if (mapped < bytes || bytes + allocated_on(current_device()) + taken_bytes() > device_bytes()) {
        someone_is_seen = true;
        return cudaErrorMemoryAllocation;
    }
    void *memory = mmap(pointer(next_address), mapped + page, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (out_of_memory(memory))
        return cudaErrorMemoryAllocation;
    next_address += mapped + page;
    explain_faults();
    mprotect(memory, mapped, PROT_READ | PROT_WRITE);
    memset(memory, 0xff, mapped);
    ASAN_POISON_MEMORY_REGION(static_cast<char *>(memory) + bytes, mapped - bytes);
    mprotect(memory, mapped, PROT_NONE);
    on_device[number(memory)] = { bytes, mapped, current_device(), false, new char };
    *result = memory;
    return cudaSuccess;
}

static cudaError_t release(void *memory)
{
    auto found = on_device.find(number(memory));

    if (!memory)
        return cudaSuccess;
    if (found == on_device.end() || found->second.freed)
        return cudaErrorInvalidValue;
    finish_all();
    mmap(memory, found->second.mapped, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    forget_memory(memory, found->second.mapped);
    found->second.freed = true;
    delete found->second.on_heap;
    return cudaSuccess;
}

static cudaError_t allocate_pinned(void **result, size_t bytes)
{
    void *memory = malloc(bytes ? bytes : 1);

    *result = memory;
    if (!memory)
        return cudaErrorMemoryAllocation;
    memset(memory, 0xff, bytes);
    pinned[number(memory)] = bytes;
    return cudaSuccess;
}

static cudaError_t release_pinned(void *memory)
{
    if (!memory)
        return cudaSuccess;
    if (pinned.count(number(memory)) == 0)
        return cudaErrorInvalidValue;
    finish_all();
    pinned.erase(number(memory));
    free(memory);
    return cudaSuccess;
}

/* A call that a capture may forbid. */
template <class Body> static cudaError_t api_outside_capture(Body body)
{
    return api([&] {
        cudaError_t error = refuse_in_capture();

        return error == cudaSuccess ? body() : error;
    });
}

} // namespace cuda_sim

using namespace cuda_sim;

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    return api([&] {
        *total = device_bytes();
        *free = *total - allocated_on(current_device()) - (someone_is_seen ? taken_bytes() : 0);
        return cudaSuccess;
    });
}

cudaError_t cudaMalloc(void **result, size_t size)
{
    return api_outside_capture([&] { return allocate(result, size); });
}

cudaError_t cudaFree(void *memory)
{
    return api_outside_capture([&] { return release(memory); });
}

cudaError_t cudaMallocHost(void **result, size_t size)
{
    return api_outside_capture([&] { return allocate_pinned(result, size); });
}

cudaError_t cudaHostAlloc(void **result, size_t size, unsigned int)
{
    return cudaMallocHost(result, size);
}

cudaError_t cudaFreeHost(void *memory)
{
    return api_outside_capture([&] { return release_pinned(memory); });
}
