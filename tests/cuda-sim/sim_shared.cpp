/* Named sections would say which variables are __shared__, but GCC cannot put variables of
 * templates and of plain functions into the same one.  Thread-local storage holds both. */
#include "sim_shared.h"

#include <cstdint>
#include <cstring>
#include <link.h>

#include "sim_race.h"

namespace cuda_sim
{

struct extent {
    unsigned char *memory;
    size_t bytes;
};

/* The first object that is reported is the program; others have blocks of their own. */
static int find(struct dl_phdr_info *info, size_t, void *result)
{
    auto *found = static_cast<extent *>(result);

    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            *found = { static_cast<unsigned char *>(info->dlpi_tls_data),
                       info->dlpi_phdr[i].p_memsz };
    return 1;
}

shared_memory::shared_memory()
{
    extent found = { nullptr, 0 };

    dl_iterate_phdr(find, &found);
    memory = found.memory;
    bytes = memory ? found.bytes : 0;
    before.assign(memory, memory + bytes);
}

shared_memory::~shared_memory()
{
    if (bytes > 0)
        memcpy(memory, before.data(), bytes);
}

void shared_memory::poison()
{
    if (bytes > 0)
        memset(memory, 0xff, bytes);
}

bool shared_memory::holds(const void *address) const
{
    return (uintptr_t)address - (uintptr_t)memory < bytes;
}

void shared_memory::watch() const
{
    watch_grid(memory, bytes);
}

} // namespace cuda_sim
