/* The unpickler's machine: its input, stack, MARKs and memo, with every bound in one place.
 * The opcodes (unpickle.c) are written on top of it and touch none of its arrays. */
#ifndef FX_ARCHIVE_PICKLE_MACHINE_INTERNAL_H
#define FX_ARCHIVE_PICKLE_MACHINE_INTERNAL_H

#include "archive/pickle_value_internal.h"

struct fx_machine {
    struct fx_pickle *pickle; /* borrowed */
    const uint8_t *bytes;     /* borrowed: the pickle */
    size_t n_bytes, pos;
    size_t op_pos;                  /* where the current opcode stands, for messages */
    size_t n_ops;                   /* opcodes run so far, bounds the memo's numbers */
    struct fx_pickle_value **stack; /* owned */
    size_t n_stack, cap_stack;
    size_t *marks; /* owned: stack heights at the open MARKs */
    size_t n_marks, cap_marks;
    struct fx_pickle_value **memo; /* owned; NULL = empty entry */
    size_t n_memo, cap_memo;
    bool is_stopped;
    const char *name; /* borrowed */
    struct fx_err *err;
};

void fx_machine_fini(struct fx_machine *m);

/* Fails with "NAME: pickle: byte N: ...": FX_EINPUT. */
enum fx_status fx_machine_bad(struct fx_machine *m, const char *fmt, ...) FX_PRINTF(2, 3);
/* Fails because the tree has no room for one more value: its limit, or out of memory. */
enum fx_status fx_machine_no_room(struct fx_machine *m);

/* The next n bytes of input, or FX_EINPUT when fewer are left. */
enum fx_status fx_machine_take(struct fx_machine *m, uint64_t n, const uint8_t **at) FX_MUST_CHECK;
/* The next `width` bytes (1 to 8) as an unsigned little-endian number. */
enum fx_status fx_machine_number(struct fx_machine *m, int width, uint64_t *number) FX_MUST_CHECK;

/* Pushes a value; NULL (the tree had no room) fails. */
enum fx_status fx_machine_push(struct fx_machine *m, struct fx_pickle_value *value) FX_MUST_CHECK;
/* Values below the innermost MARK are out of reach of pop and top. */
enum fx_status fx_machine_pop(struct fx_machine *m, struct fx_pickle_value **value) FX_MUST_CHECK;
enum fx_status fx_machine_top(struct fx_machine *m, struct fx_pickle_value **value) FX_MUST_CHECK;

enum fx_status fx_machine_mark(struct fx_machine *m) FX_MUST_CHECK;
/* Takes the innermost MARK and everything above it off the stack; the items stay valid until the
 * next push. */
enum fx_status fx_machine_pop_mark(struct fx_machine *m, struct fx_pickle_value ***items,
                                   size_t *n) FX_MUST_CHECK;
/* Takes n values off the stack, under the same terms. */
enum fx_status fx_machine_pop_n(struct fx_machine *m, size_t n,
                                struct fx_pickle_value ***items) FX_MUST_CHECK;

/* The memo: put stores the value on top, get pushes a stored one. */
enum fx_status fx_machine_put(struct fx_machine *m, uint64_t number) FX_MUST_CHECK;
enum fx_status fx_machine_get(struct fx_machine *m, uint64_t number) FX_MUST_CHECK;

/* What a call written in a pickle becomes: plain data where that is all it means, else a node. */

/* fx_pickle_call: the value of callable(*args), without calling: a DICT, BYTES, or an OBJECT that
 * records the name and the arguments (see fx_unpickle).
 *   callable  GLOBAL or PERSISTENT;  args  TUPLE
 * NULL: *why says what is wrong with the arguments, or stays NULL when the tree has no room. */
struct fx_pickle_value *fx_pickle_call(struct fx_pickle *pickle, struct fx_pickle_value *callable,
                                       struct fx_pickle_value *args, const char **why);

#endif
