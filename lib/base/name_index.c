/* Slots keep the hash of their name, so that only a search looks at the names themselves. */
#include "base/name_index.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { SLOTS_MIN = 64 };

struct fx_name_slot {
    uint64_t hash;
    size_t taken; /* 0: empty, else number + 1 */
};

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void mix(uint64_t v[4], int n_rounds)
{
    for (int i = 0; i < n_rounds; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32) + v[3];
        v[2] += v[1];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v, 2);
    v[0] ^= word;
}

/* SipHash-2-4 (Aumasson and Bernstein 2012) under the key of the index: names come from files, and
 * whoever wrote one must not know which of them meet in a slot. */
static uint64_t hash_name(const struct fx_name_index *index, const char *name)
{
    const uint64_t *key = index->key;
    uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                      key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
    size_t n = strlen(name), at = 0;
    uint64_t last = (uint64_t)n << 56;

    for (; at + 8 <= n; at += 8) {
        uint64_t word;
        memcpy(&word, name + at, sizeof word);
        absorb(v, le64toh(word));
    }
    for (size_t i = 0; at + i < n; i++)
        last |= (uint64_t)(unsigned char)name[at + i] << (8 * i);
    absorb(v, last);
    v[2] ^= 0xff;
    mix(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

int64_t fx_name_index_find(const struct fx_name_index *index, const char *name, fx_name_of *name_of,
                           const void *things)
{
    uint64_t hash = hash_name(index, name);

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
    struct fx_name_index grown = *index;

    /* Without random numbers, in the first moments of a machine, the key is 0. */
    if (index->cap == 0 &&
        getrandom(grown.key, sizeof grown.key, GRND_NONBLOCK) != (ssize_t)sizeof grown.key)
        memset(grown.key, 0, sizeof grown.key);
    grown.cap = index->cap ? 2 * index->cap : SLOTS_MIN;
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
    put(index, (struct fx_name_slot){ hash_name(index, name), number + 1 });
    index->n++;
    return true;
}

/* Closes the gap: whatever probed past it moves back. */
void fx_name_index_remove(struct fx_name_index *index, const char *name, size_t number)
{
    size_t mask = index->cap - 1, gap = hash_name(index, name) & mask;

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
