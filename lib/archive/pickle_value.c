/* The tree of plain data that the unpickler builds: its memory and its look-ups. */
#include "archive/pickle_value_internal.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 };

/* Nodes are carved from blocks, so a tree of any shape is freed by one short loop. */
struct fx_pickle_block {
    struct fx_pickle_block *next; /* owned */
    size_t n_used, n_bytes;
    alignas(16) uint8_t bytes[];
};

void fx_pickle_fini(struct fx_pickle *pickle)
{
    while (pickle->blocks) {
        struct fx_pickle_block *next = pickle->blocks->next;
        free(pickle->blocks);
        pickle->blocks = next;
    }
    *pickle = (struct fx_pickle){ 0 };
}

void *fx_pickle_alloc(struct fx_pickle *pickle, size_t n_bytes, size_t n_cells)
{
    struct fx_pickle_block *block = pickle->blocks;

    pickle->is_full = n_cells > pickle->n_cells_max - pickle->n_cells;
    if (pickle->is_full || n_bytes > SIZE_MAX / 2)
        return NULL;
    n_bytes = (n_bytes + 15) & ~(size_t)15;
    if (!block || block->n_bytes - block->n_used < n_bytes) {
        size_t size = n_bytes > BLOCK_BYTES ? n_bytes : BLOCK_BYTES;
        block = malloc(sizeof *block + size);
        if (!block)
            return NULL;
        *block = (struct fx_pickle_block){ .next = pickle->blocks, .n_bytes = size };
        pickle->blocks = block;
    }
    pickle->n_cells += n_cells;
    block->n_used += n_bytes;
    return block->bytes + block->n_used - n_bytes;
}

struct fx_pickle_value *fx_pickle_new(struct fx_pickle *pickle, enum fx_pickle_kind kind)
{
    struct fx_pickle_value *value = fx_pickle_alloc(pickle, sizeof *value, 1);

    if (value)
        *value = (struct fx_pickle_value){ .kind = kind };
    return value;
}

bool fx_pickle_append(struct fx_pickle *pickle, struct fx_pickle_value *seq,
                      struct fx_pickle_value *const *items, size_t n)
{
    if (n > seq->seq.cap - seq->seq.n) {
        /* Capacity doubles, so all the outgrown arrays together are no larger than the last one. */
        size_t cap = seq->seq.n + n > 2 * seq->seq.cap ? seq->seq.n + n : 2 * seq->seq.cap;
        struct fx_pickle_value **grown =
            fx_pickle_alloc(pickle, cap * sizeof *grown, cap - seq->seq.cap);
        if (!grown)
            return false;
        if (seq->seq.n > 0)
            memcpy(grown, seq->seq.items, seq->seq.n * sizeof *grown);
        seq->seq.items = grown;
        seq->seq.cap = cap;
    }
    if (n > 0)
        memcpy(seq->seq.items + seq->seq.n, items, n * sizeof *items);
    seq->seq.n += n;
    return true;
}

static bool bytes_equal(struct fx_pickle_bytes bytes, const char *word)
{
    return bytes.n == strlen(word) && memcmp(bytes.at, word, bytes.n) == 0;
}

bool fx_pickle_is_text(const struct fx_pickle_value *value, const char *word)
{
    return value && (value->kind == FX_PICKLE_TEXT || value->kind == FX_PICKLE_BYTES) &&
           bytes_equal(value->bytes, word);
}

bool fx_pickle_is_global(const struct fx_pickle_value *value, const char *module, const char *name)
{
    return value && value->kind == FX_PICKLE_GLOBAL && bytes_equal(value->global.module, module) &&
           bytes_equal(value->global.name, name);
}

bool fx_pickle_is_call(const struct fx_pickle_value *value, const char *module, const char *name,
                       size_t n_args)
{
    return value && value->kind == FX_PICKLE_OBJECT && value->object.args->seq.n >= n_args &&
           fx_pickle_is_global(value->object.callable, module, name);
}

struct fx_pickle_value *fx_pickle_get(const struct fx_pickle_value *dict, const char *key)
{
    if (!dict || dict->kind != FX_PICKLE_DICT)
        return NULL;
    for (size_t i = dict->seq.n; i >= 2; i -= 2)
        if (fx_pickle_is_text(dict->seq.items[i - 2], key))
            return dict->seq.items[i - 1];
    return NULL;
}

struct fx_pickle_value *fx_pickle_at(const struct fx_pickle_value *seq, size_t i)
{
    if (seq && seq->kind == FX_PICKLE_OBJECT)
        seq = seq->object.args;
    if (!seq || (seq->kind != FX_PICKLE_TUPLE && seq->kind != FX_PICKLE_LIST) || i >= seq->seq.n)
        return NULL;
    return seq->seq.items[i];
}

/* A pair of a dict, to be sorted by key and then by place. */
struct pair {
    const struct fx_pickle_value *key;
    size_t i;
};

static bool is_plain_key(const struct fx_pickle_value *key)
{
    return key->kind == FX_PICKLE_TEXT || key->kind == FX_PICKLE_BYTES ||
           key->kind == FX_PICKLE_INT;
}

static int compare_keys(const struct fx_pickle_value *x, const struct fx_pickle_value *y)
{
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->kind == FX_PICKLE_INT)
        return (x->integer > y->integer) - (x->integer < y->integer);
    if (x->bytes.n != y->bytes.n)
        return x->bytes.n < y->bytes.n ? -1 : 1;
    return x->bytes.n > 0 ? memcmp(x->bytes.at, y->bytes.at, x->bytes.n) : 0;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = compare_keys(x->key, y->key);

    return order != 0 ? order : (x->i > y->i) - (x->i < y->i);
}

bool fx_pickle_dict_prune(struct fx_pickle_value *dict)
{
    struct fx_pickle_value **items = dict->seq.items;
    size_t n_pairs = 0, n_kept = 0;

    if (dict->is_pruned)
        return true;
    struct pair *pairs = malloc(dict->seq.n * sizeof *pairs + 1);
    if (!pairs)
        return false;
    dict->is_pruned = true;
    for (size_t i = 0; i < dict->seq.n; i += 2)
        if (is_plain_key(items[i]))
            pairs[n_pairs++] = (struct pair){ items[i], i };
    qsort(pairs, n_pairs, sizeof *pairs, compare_pairs);
    for (size_t i = 1, first = 0; i < n_pairs; i++) {
        if (compare_keys(pairs[first].key, pairs[i].key) != 0) {
            first = i;
            continue;
        }
        items[pairs[first].i + 1] = items[pairs[i].i + 1];
        items[pairs[i].i] = NULL;
    }
    free(pairs);
    for (size_t i = 0; i < dict->seq.n; i += 2) {
        if (!items[i])
            continue;
        items[n_kept] = items[i];
        items[n_kept + 1] = items[i + 1];
        n_kept += 2;
    }
    dict->seq.n = n_kept;
    return true;
}

bool fx_pickle_integer(const struct fx_pickle_value *value, int64_t *integer)
{
    if (!value || (value->kind != FX_PICKLE_INT && value->kind != FX_PICKLE_BOOL))
        return false;
    *integer = value->integer;
    return true;
}

/* Appends bytes to the text in buf, '?' for what is not printable ASCII, cut to fit. */
static void put_name(char *buf, size_t n, struct fx_pickle_bytes bytes)
{
    size_t at = strlen(buf);

    for (size_t i = 0; i < bytes.n && at + 1 < n; i++)
        buf[at++] = bytes.at[i] > ' ' && bytes.at[i] < 0x7f ? (char)bytes.at[i] : '?';
    buf[at] = '\0';
}

char *fx_pickle_printable(struct fx_pickle_bytes bytes, char *buf, size_t n)
{
    buf[0] = '\0';
    put_name(buf, n, bytes);
    return buf;
}

char *fx_pickle_describe(const struct fx_pickle_value *value, char *buf, size_t n)
{
    static const char *const nouns[] = {
        [FX_PICKLE_NONE] = "None",         [FX_PICKLE_BOOL] = "a bool",
        [FX_PICKLE_INT] = "an int",        [FX_PICKLE_BIGINT] = "a large int",
        [FX_PICKLE_REAL] = "a float",      [FX_PICKLE_TEXT] = "a str",
        [FX_PICKLE_BYTES] = "bytes",       [FX_PICKLE_TUPLE] = "a tuple",
        [FX_PICKLE_LIST] = "a list",       [FX_PICKLE_SET] = "a set",
        [FX_PICKLE_DICT] = "a dict",       [FX_PICKLE_GLOBAL] = "the name ",
        [FX_PICKLE_OBJECT] = "an object ", [FX_PICKLE_PERSISTENT] = "an outside reference",
    };
    const struct fx_pickle_value *of = value;

    snprintf(buf, n, "%s", value ? nouns[value->kind] : "nothing");
    if (value && value->kind == FX_PICKLE_OBJECT)
        of = value->object.callable;
    if (of && of->kind == FX_PICKLE_GLOBAL) {
        put_name(buf, n, of->global.module);
        put_name(buf, n, (struct fx_pickle_bytes){ (const uint8_t *)".", 1 });
        put_name(buf, n, of->global.name);
    }
    return buf;
}
