/* Slots keep the hash of their name, so that only a search looks at the names themselves. */
#include "base/name_index.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 64 };

struct fx_name_slot {
    uint64_t hash;
    size_t taken; /* 0: empty, else number + 1 */
};

/* FNV-1a (Fowler, Noll, Vo), 64 bits: names share long prefixes, so every byte must count. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

int64_t fx_name_index_find(const struct fx_name_index *index, const char *name, fx_name_of *name_of,
                           const void *things)
{
    uint64_t hash = hash_name(name);

    for (size_t i = hash; index->cap > 0; i++) {
        const struct fx_name_slot *slot = &index->slots[i & (index->cap - 1)];
        if (slot->taken == 0)
            break;
        if (slot->hash == hash && strcmp(name_of(things, slot->taken - 1), name) == 0)
            return (int64_t)slot->taken - 1;
    }
    return FX_NAME_UNKNOWN;
}

static void put(struct fx_name_index *index, struct fx_name_slot entry)
{
    size_t mask = index->cap - 1, i = entry.hash & mask;

    while (index->slots[i].taken != 0)
        i = (i + 1) & mask;
    index->slots[i] = entry;
}

/* Twice the size, a power of two. */
static bool grow(struct fx_name_index *index)
{
    struct fx_name_index grown = { .n = index->n, .cap = index->cap ? 2 * index->cap : SLOTS_MIN };

    grown.slots = calloc(grown.cap, sizeof *grown.slots);
    if (!grown.slots)
        return false;
    for (size_t i = 0; i < index->cap; i++)
        if (index->slots[i].taken != 0)
            put(&grown, index->slots[i]);
    free(index->slots);
    *index = grown;
    return true;
}

bool fx_name_index_add(struct fx_name_index *index, const char *name, size_t number)
{
    if (2 * (index->n + 1) > index->cap && !grow(index))
        return false;
    put(index, (struct fx_name_slot){ hash_name(name), number + 1 });
    index->n++;
    return true;
}

/* Closes the gap: whatever probed past it moves back. */
void fx_name_index_remove(struct fx_name_index *index, const char *name, size_t number)
{
    size_t mask = index->cap - 1, gap = hash_name(name) & mask;

    while (index->slots[gap].taken != number + 1)
        gap = (gap + 1) & mask;
    index->slots[gap].taken = 0;
    index->n--;
    for (size_t i = (gap + 1) & mask; index->slots[i].taken != 0; i = (i + 1) & mask) {
        size_t home = index->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - gap) & mask))
            continue; /* its home lies behind the gap */
        index->slots[gap] = index->slots[i];
        index->slots[i].taken = 0;
        gap = i;
    }
}

void fx_name_index_fini(struct fx_name_index *index)
{
    free(index->slots);
    *index = (struct fx_name_index){ 0 };
}
