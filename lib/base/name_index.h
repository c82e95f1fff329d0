/* A hash table from names to the numbers of things in an array: open addressing, linear probing, at
 * most half full.  The names stay with the things. */
#ifndef FX_BASE_NAME_INDEX_H
#define FX_BASE_NAME_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts as { 0 }. */
struct fx_name_index {
    struct fx_name_slot *slots; /* owned */
    size_t n, cap;
    uint64_t key[2]; /* random for each index, so that colliding names cannot be constructed */
};

/* The name of a thing, by its number. */
typedef const char *fx_name_of(const void *things, size_t number);

enum { FX_NAME_UNKNOWN = -1 };

/* fx_name_index_find: the number of the thing with this name, or FX_NAME_UNKNOWN. */
int64_t fx_name_index_find(const struct fx_name_index *index, const char *name, fx_name_of *name_of,
                           const void *things);

/* fx_name_index_add: enters a name that is not in the index.  False when memory is short; the index
 * is as it was then. */
bool fx_name_index_add(struct fx_name_index *index, const char *name, size_t number);

/* fx_name_index_remove: takes out the name of a thing that was entered; one can be added again
 * without memory. */
void fx_name_index_remove(struct fx_name_index *index, const char *name, size_t number);

void fx_name_index_fini(struct fx_name_index *index); /* accepts a zeroed record */

#endif
