/* What a pickle holds, as plain data: the tree that the unpickler builds and that the readers of
 * .pth files and of CIFAR batches interpret.
 *
 * Nothing here was executed: a class or function named by the pickle is a node that carries its
 * name, and "calling" it makes a node that carries the name and the arguments.  The tree may share
 * nodes (Python's memo), may contain itself, and may be very deep: whoever walks it bounds the
 * depth and the number of visits. */
#ifndef FX_ARCHIVE_PICKLE_VALUE_INTERNAL_H
#define FX_ARCHIVE_PICKLE_VALUE_INTERNAL_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fx_pickle_kind {
    FX_PICKLE_NONE,
    FX_PICKLE_BOOL,
    FX_PICKLE_INT,
    FX_PICKLE_BIGINT, /* an integer of more than 64 bits; its value is not kept */
    FX_PICKLE_REAL,
    FX_PICKLE_TEXT,  /* a Python 3 str: bytes of UTF-8, not validated */
    FX_PICKLE_BYTES, /* bytes, bytearray, or a Python 2 str */
    FX_PICKLE_TUPLE,
    FX_PICKLE_LIST,
    FX_PICKLE_SET,
    FX_PICKLE_DICT,       /* dict, OrderedDict, defaultdict, Counter */
    FX_PICKLE_GLOBAL,     /* the name of a class or function */
    FX_PICKLE_OBJECT,     /* the result of calling something, never called */
    FX_PICKLE_PERSISTENT, /* a reference to something outside the pickle (a storage) */
};

/* Bytes inside the pickle or the tree's own memory; not terminated. */
struct fx_pickle_bytes {
    const uint8_t *at; /* borrowed: from the pickled bytes or the tree */
    size_t n;
};

struct fx_pickle_value {
    enum fx_pickle_kind kind;
    bool is_open;   /* for walkers: set while the node is on the current path (finds cycles) */
    bool is_pruned; /* of a DICT: no key stands in it twice, as far as fx_pickle_dict_prune looks */
    union {
        int64_t integer;              /* BOOL, INT */
        double real;                  /* REAL */
        struct fx_pickle_bytes bytes; /* TEXT, BYTES */
        struct {                      /* TUPLE, LIST, SET; DICT: key, value, key, value ... */
            struct fx_pickle_value **items;
            size_t n, cap;
        } seq;
        struct {
            struct fx_pickle_bytes module, name;
        } global;
        struct {
            struct fx_pickle_value *callable; /* GLOBAL, or a PERSISTENT class */
            struct fx_pickle_value *args;     /* TUPLE */
            struct fx_pickle_value *state;    /* what BUILD gave it, or NULL */
        } object;
        struct {
            struct fx_pickle_value *id;
            struct fx_pickle_value *next; /* the PERSISTENT before this one in the pickle */
        } persistent;
    };
};

/* Limits of one tree: values plus slots in containers (a CIFAR-100 training batch needs 0.4
 * million, a checkpoint with optimizer some 10,000), and the depth of the unpickler's stack.  An
 * opcode makes a value and a slot for it, slots are made twice over as containers grow, and a dict
 * made of a list repeats them: CELLS_A_BYTE are enough for every pickle that is spelled out. */
enum {
    FX_PICKLE_CELLS_MAX = 1 << 22,
    FX_PICKLE_CELLS_A_BYTE = 8,
    FX_PICKLE_STACK_MAX = 100000,
};

/* A tree and the memory of all its nodes. */
struct fx_pickle {
    struct fx_pickle_value *root;            /* owned by blocks */
    struct fx_pickle_value *last_persistent; /* head of the list of all of them, or NULL */
    struct fx_pickle_block *blocks;          /* owned */
    size_t n_cells, n_cells_max;             /* values and slots so far, and how many may be */
    bool is_full;                            /* n_cells would have passed n_cells_max */
    size_t n_decode_left;                    /* bytes that _codecs.encode may still make */
};

void fx_pickle_fini(struct fx_pickle *pickle); /* accepts a zeroed record */

/* n bytes of memory that live as long as the tree, 16-byte aligned; NULL when there is none left
 * or n_cells passes its limit. */
void *fx_pickle_alloc(struct fx_pickle *pickle, size_t n_bytes, size_t n_cells);
/* A zeroed node, or NULL. */
struct fx_pickle_value *fx_pickle_new(struct fx_pickle *pickle, enum fx_pickle_kind kind);
/* Appends to a TUPLE, LIST, SET or (key and value in turn) DICT; false when there is no memory. */
bool fx_pickle_append(struct fx_pickle *pickle, struct fx_pickle_value *seq,
                      struct fx_pickle_value *const *items, size_t n);

/* Whether a TEXT or BYTES value is exactly this word; false for every other kind. */
bool fx_pickle_is_text(const struct fx_pickle_value *value, const char *word);
/* Whether the value is the GLOBAL module.name. */
bool fx_pickle_is_global(const struct fx_pickle_value *value, const char *module, const char *name);
/* Whether the value is an OBJECT made by calling module.name with at least n_args arguments. */
bool fx_pickle_is_call(const struct fx_pickle_value *value, const char *module, const char *name,
                       size_t n_args);
/* The value of a key of a DICT whose keys are text (the last one, as in Python), or NULL: also
 * when `dict` is NULL or no DICT. */
struct fx_pickle_value *fx_pickle_get(const struct fx_pickle_value *dict, const char *key);
/* Element i of a TUPLE or LIST, argument i of an OBJECT; NULL when there is none. */
struct fx_pickle_value *fx_pickle_at(const struct fx_pickle_value *seq, size_t i);
/* Drops the pairs of a DICT whose key stands again later, as Python does: the first place, the last
 * value.  Keys are text or integers; pairs with other keys stay.  False when there is no memory. */
bool fx_pickle_dict_prune(struct fx_pickle_value *dict);
/* The integer of an INT or BOOL; false for every other kind. */
bool fx_pickle_integer(const struct fx_pickle_value *value, int64_t *integer);
/* The bytes as text for messages: '?' for what is not printable ASCII, cut to fit; returns buf. */
char *fx_pickle_printable(struct fx_pickle_bytes bytes, char *buf, size_t n);
/* "a dict", "torch.nn.Linear object" ... for messages, printable whatever the file says; returns
 * buf. */
char *fx_pickle_describe(const struct fx_pickle_value *value, char *buf, size_t n);

#endif
