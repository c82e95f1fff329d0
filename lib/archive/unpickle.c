/* The non-executing unpickler: Python's stack machine with every call replaced by a node.
 *
 * One row of `ops` is one opcode: the function that runs it and that function's parameter.  The
 * machine (pickle_machine.c) holds the bounds; what a call means is in pickle_call.c. */
#include "archive/unpickle_internal.h"

#include "archive/pickle_machine_internal.h"

#include <inttypes.h>
#include <string.h>

/* ---- opcodes: protocol and plain values ------------------------------------------------------ */

static enum fx_status op_proto(struct fx_machine *m, int unused)
{
    uint64_t version;

    (void)unused;
    FX_TRY(fx_machine_number(m, 1, &version));
    if (version < 2 || version > 5)
        return fx_machine_bad(m, "protocol %" PRIu64 ", known are 2 to 5", version);
    return FX_OK;
}

static enum fx_status op_frame(struct fx_machine *m, int unused)
{
    uint64_t n;

    (void)unused;
    FX_TRY(fx_machine_number(m, 8, &n));
    if (n > m->n_bytes - m->pos)
        return fx_machine_bad(m, "cut: frame of %" PRIu64 " bytes, %zu left", n,
                              m->n_bytes - m->pos);
    return FX_OK;
}

static enum fx_status op_stop(struct fx_machine *m, int unused)
{
    (void)unused;
    FX_TRY(fx_machine_pop(m, &m->pickle->root));
    if (m->n_stack > 0 || m->n_marks > 0)
        return fx_machine_bad(m, "STOP with %zu values left on the stack", m->n_stack);
    m->is_stopped = true;
    return FX_OK;
}

/* NONE, EMPTY_LIST, EMPTY_DICT, EMPTY_TUPLE, EMPTY_SET */
static enum fx_status op_empty(struct fx_machine *m, int kind)
{
    return fx_machine_push(m, fx_pickle_new(m->pickle, (enum fx_pickle_kind)kind));
}

static enum fx_status op_bool(struct fx_machine *m, int truth)
{
    struct fx_pickle_value *value = fx_pickle_new(m->pickle, FX_PICKLE_BOOL);

    if (value)
        value->integer = truth;
    return fx_machine_push(m, value);
}

/* BININT1, BININT2 (unsigned) and BININT (signed) */
static enum fx_status op_int(struct fx_machine *m, int width)
{
    uint64_t number;

    FX_TRY(fx_machine_number(m, width, &number));
    struct fx_pickle_value *value = fx_pickle_new(m->pickle, FX_PICKLE_INT);
    if (value)
        value->integer = width == 4 ? (int32_t)(uint32_t)number : (int64_t)number;
    return fx_machine_push(m, value);
}

/* LONG1: n bytes of two's complement; more than 8 are kept only as the fact. */
static enum fx_status op_long(struct fx_machine *m, int unused)
{
    const uint8_t *at;
    uint64_t n, number = 0;

    (void)unused;
    FX_TRY(fx_machine_number(m, 1, &n));
    FX_TRY(fx_machine_take(m, n, &at));
    struct fx_pickle_value *value =
        fx_pickle_new(m->pickle, n > 8 ? FX_PICKLE_BIGINT : FX_PICKLE_INT);
    if (value && n > 0 && n <= 8) {
        number = at[n - 1] & 0x80 ? UINT64_MAX : 0;
        for (size_t i = n; i > 0; i--)
            number = number << 8 | at[i - 1];
        memcpy(&value->integer, &number, sizeof number);
    }
    return fx_machine_push(m, value);
}

static enum fx_status op_real(struct fx_machine *m, int unused)
{
    const uint8_t *at;
    uint64_t bits = 0;

    (void)unused;
    FX_TRY(fx_machine_take(m, 8, &at));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | at[i];
    struct fx_pickle_value *value = fx_pickle_new(m->pickle, FX_PICKLE_REAL);
    if (value)
        memcpy(&value->real, &bits, sizeof bits);
    return fx_machine_push(m, value);
}

static enum fx_status push_bytes(struct fx_machine *m, enum fx_pickle_kind kind, int width)
{
    const uint8_t *at;
    uint64_t n;

    FX_TRY(fx_machine_number(m, width, &n));
    FX_TRY(fx_machine_take(m, n, &at));
    struct fx_pickle_value *value = fx_pickle_new(m->pickle, kind);
    if (value)
        value->bytes = (struct fx_pickle_bytes){ at, (size_t)n };
    return fx_machine_push(m, value);
}

/* Strings: the parameter is the width of the length. */
static enum fx_status op_text(struct fx_machine *m, int width)
{
    return push_bytes(m, FX_PICKLE_TEXT, width);
}

static enum fx_status op_bytes(struct fx_machine *m, int width)
{
    return push_bytes(m, FX_PICKLE_BYTES, width);
}

/* ---- opcodes: stack and memo ----------------------------------------------------------------- */

static enum fx_status op_mark(struct fx_machine *m, int unused)
{
    (void)unused;
    return fx_machine_mark(m);
}

/* POP takes a value, or the MARK when that is what stands on top. */
static enum fx_status op_pop(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *value, **items;
    size_t n;

    (void)unused;
    if (m->n_marks > 0 && m->marks[m->n_marks - 1] == m->n_stack)
        return fx_machine_pop_mark(m, &items, &n);
    return fx_machine_pop(m, &value);
}

static enum fx_status op_pop_mark(struct fx_machine *m, int unused)
{
    struct fx_pickle_value **items;
    size_t n;

    (void)unused;
    return fx_machine_pop_mark(m, &items, &n);
}

static enum fx_status op_dup(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *value;

    (void)unused;
    FX_TRY(fx_machine_top(m, &value));
    return fx_machine_push(m, value);
}

/* BINPUT, LONG_BINPUT; MEMOIZE has no operand (width 0) and takes the next number. */
static enum fx_status op_put(struct fx_machine *m, int width)
{
    uint64_t number = m->n_memo;

    if (width > 0)
        FX_TRY(fx_machine_number(m, width, &number));
    return fx_machine_put(m, number);
}

static enum fx_status op_get(struct fx_machine *m, int width)
{
    uint64_t number;

    FX_TRY(fx_machine_number(m, width, &number));
    return fx_machine_get(m, number);
}

/* ---- opcodes: containers --------------------------------------------------------------------- */

/* TUPLE1..3 take n values, TUPLE (n < 0) and FROZENSET everything above the MARK. */
static enum fx_status push_seq(struct fx_machine *m, enum fx_pickle_kind kind, int n_fixed)
{
    struct fx_pickle_value **items, *seq;
    size_t n = (size_t)n_fixed;

    if (n_fixed < 0)
        FX_TRY(fx_machine_pop_mark(m, &items, &n));
    else
        FX_TRY(fx_machine_pop_n(m, n, &items));
    seq = fx_pickle_new(m->pickle, kind);
    if (seq && !fx_pickle_append(m->pickle, seq, items, n))
        seq = NULL;
    return fx_machine_push(m, seq);
}

static enum fx_status op_tuple(struct fx_machine *m, int n)
{
    return push_seq(m, FX_PICKLE_TUPLE, n);
}

static enum fx_status op_frozenset(struct fx_machine *m, int unused)
{
    (void)unused;
    return push_seq(m, FX_PICKLE_SET, -1);
}

/* Adds items to the container on top of the stack.  An object (a class derived from dict or list)
 * stays opaque: its items are checked and dropped. */
static enum fx_status add_items(struct fx_machine *m, enum fx_pickle_kind kind,
                                struct fx_pickle_value **items, size_t n)
{
    struct fx_pickle_value *seq;
    char what[96];

    FX_TRY(fx_machine_top(m, &seq));
    if (kind == FX_PICKLE_DICT && n % 2 != 0)
        return fx_machine_bad(m, "a key without a value");
    if (seq->kind == FX_PICKLE_OBJECT)
        return FX_OK;
    if (seq->kind != kind)
        return fx_machine_bad(m, "items added to %s", fx_pickle_describe(seq, what, sizeof what));
    return fx_pickle_append(m->pickle, seq, items, n) ? FX_OK : fx_machine_no_room(m);
}

/* APPEND (1 value), SETITEM (2 values) */
static enum fx_status op_add_one(struct fx_machine *m, int kind)
{
    struct fx_pickle_value *items[2];
    int n = kind == FX_PICKLE_DICT ? 2 : 1;

    for (int i = n - 1; i >= 0; i--)
        FX_TRY(fx_machine_pop(m, &items[i]));
    return add_items(m, (enum fx_pickle_kind)kind, items, (size_t)n);
}

/* APPENDS, SETITEMS, ADDITEMS */
static enum fx_status op_add_many(struct fx_machine *m, int kind)
{
    struct fx_pickle_value **items;
    size_t n;

    FX_TRY(fx_machine_pop_mark(m, &items, &n));
    return add_items(m, (enum fx_pickle_kind)kind, items, n);
}

/* ---- opcodes: names and objects -------------------------------------------------------------- */

static enum fx_status push_global(struct fx_machine *m, struct fx_pickle_bytes module,
                                  struct fx_pickle_bytes name)
{
    struct fx_pickle_value *value = fx_pickle_new(m->pickle, FX_PICKLE_GLOBAL);

    if (value) {
        value->global.module = module;
        value->global.name = name;
    }
    return fx_machine_push(m, value);
}

static enum fx_status take_line(struct fx_machine *m, struct fx_pickle_bytes *line)
{
    const uint8_t *at = m->bytes + m->pos;
    const uint8_t *end = memchr(at, '\n', m->n_bytes - m->pos);

    *line = (struct fx_pickle_bytes){ at, end ? (size_t)(end - at) : 0 };
    if (!end)
        return fx_machine_bad(m, "cut inside a name");
    m->pos += line->n + 1;
    return FX_OK;
}

static enum fx_status op_global(struct fx_machine *m, int unused)
{
    struct fx_pickle_bytes module, name;

    (void)unused;
    FX_TRY(take_line(m, &module));
    FX_TRY(take_line(m, &name));
    return push_global(m, module, name);
}

static enum fx_status op_stack_global(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *module, *name;

    (void)unused;
    FX_TRY(fx_machine_pop(m, &name));
    FX_TRY(fx_machine_pop(m, &module));
    if (module->kind != FX_PICKLE_TEXT || name->kind != FX_PICKLE_TEXT)
        return fx_machine_bad(m, "a class name that is no str");
    return push_global(m, module->bytes, name->bytes);
}

static enum fx_status push_call(struct fx_machine *m, struct fx_pickle_value *callable,
                                struct fx_pickle_value *args)
{
    const char *why = NULL;
    char what[96];

    if (callable->kind != FX_PICKLE_GLOBAL && callable->kind != FX_PICKLE_PERSISTENT)
        return fx_machine_bad(m, "a call of %s", fx_pickle_describe(callable, what, sizeof what));
    if (args->kind != FX_PICKLE_TUPLE)
        return fx_machine_bad(m, "a call with %s for arguments",
                              fx_pickle_describe(args, what, sizeof what));
    struct fx_pickle_value *value = fx_pickle_call(m->pickle, callable, args, &why);
    if (!value && why)
        return fx_machine_bad(m, "%s", why);
    return fx_machine_push(m, value);
}

/* REDUCE and NEWOBJ: callable args -> object.  Both are the same to a reader that calls nothing. */
static enum fx_status op_call(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *callable, *args;

    (void)unused;
    FX_TRY(fx_machine_pop(m, &args));
    FX_TRY(fx_machine_pop(m, &callable));
    return push_call(m, callable, args);
}

/* NEWOBJ_EX: as NEWOBJ, with a dict of keyword arguments on top, which is dropped. */
static enum fx_status op_call_keywords(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *keywords;

    FX_TRY(fx_machine_pop(m, &keywords));
    return op_call(m, unused);
}

/* BUILD: object state -> object.  The state of a DICT (a state_dict's _metadata) is not needed. */
static enum fx_status op_build(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *state, *value;
    char what[96];

    (void)unused;
    FX_TRY(fx_machine_pop(m, &state));
    FX_TRY(fx_machine_top(m, &value));
    if (value->kind == FX_PICKLE_OBJECT)
        value->object.state = state;
    else if (value->kind != FX_PICKLE_DICT)
        return fx_machine_bad(m, "BUILD of %s", fx_pickle_describe(value, what, sizeof what));
    return FX_OK;
}

static enum fx_status op_persistent(struct fx_machine *m, int unused)
{
    struct fx_pickle_value *id, *value;

    (void)unused;
    FX_TRY(fx_machine_pop(m, &id));
    value = fx_pickle_new(m->pickle, FX_PICKLE_PERSISTENT);
    if (value) {
        value->persistent.id = id;
        value->persistent.next = m->pickle->last_persistent;
        m->pickle->last_persistent = value;
    }
    return fx_machine_push(m, value);
}

/* ---- the machine ----------------------------------------------------------------------------- */

struct op {
    enum fx_status (*run)(struct fx_machine *m, int param); /* NULL: not supported */
    int param;
};

static const struct op ops[256] = {
    [0x80] = { op_proto, 0 },
    [0x95] = { op_frame, 0 },
    ['.'] = { op_stop, 0 },

    ['N'] = { op_empty, FX_PICKLE_NONE },
    [']'] = { op_empty, FX_PICKLE_LIST },
    ['}'] = { op_empty, FX_PICKLE_DICT },
    [')'] = { op_empty, FX_PICKLE_TUPLE },
    [0x8f] = { op_empty, FX_PICKLE_SET },
    [0x88] = { op_bool, 1 },
    [0x89] = { op_bool, 0 },
    ['K'] = { op_int, 1 },
    ['M'] = { op_int, 2 },
    ['J'] = { op_int, 4 },
    [0x8a] = { op_long, 0 },
    ['G'] = { op_real, 0 },
    [0x8c] = { op_text, 1 },
    ['X'] = { op_text, 4 },
    [0x8d] = { op_text, 8 },
    ['U'] = { op_bytes, 1 }, /* SHORT_BINSTRING */
    ['T'] = { op_bytes, 4 }, /* BINSTRING */
    ['C'] = { op_bytes, 1 },
    ['B'] = { op_bytes, 4 },
    [0x8e] = { op_bytes, 8 },
    [0x96] = { op_bytes, 8 }, /* BYTEARRAY8 */

    ['('] = { op_mark, 0 },
    ['0'] = { op_pop, 0 },
    ['1'] = { op_pop_mark, 0 },
    ['2'] = { op_dup, 0 },
    ['q'] = { op_put, 1 },
    ['r'] = { op_put, 4 },
    [0x94] = { op_put, 0 }, /* MEMOIZE */
    ['h'] = { op_get, 1 },
    ['j'] = { op_get, 4 },

    ['t'] = { op_tuple, -1 },
    [0x85] = { op_tuple, 1 },
    [0x86] = { op_tuple, 2 },
    [0x87] = { op_tuple, 3 },
    [0x91] = { op_frozenset, 0 },
    ['a'] = { op_add_one, FX_PICKLE_LIST },
    ['s'] = { op_add_one, FX_PICKLE_DICT },
    ['e'] = { op_add_many, FX_PICKLE_LIST },
    ['u'] = { op_add_many, FX_PICKLE_DICT },
    [0x90] = { op_add_many, FX_PICKLE_SET },

    ['c'] = { op_global, 0 },
    [0x93] = { op_stack_global, 0 },
    ['R'] = { op_call, 0 },
    [0x81] = { op_call, 0 }, /* NEWOBJ */
    [0x92] = { op_call_keywords, 0 },
    ['b'] = { op_build, 0 },
    ['Q'] = { op_persistent, 0 },
};

static enum fx_status run(struct fx_machine *m)
{
    uint64_t code;

    while (!m->is_stopped) {
        m->op_pos = m->pos;
        FX_TRY(fx_machine_number(m, 1, &code));
        if (m->n_ops++ == 0 && code != 0x80)
            return fx_machine_bad(m, "no pickle of protocol 2 or later");
        if (!ops[code].run)
            return fx_machine_bad(m, "opcode 0x%02x is not supported", (unsigned)code);
        FX_TRY(ops[code].run(m, ops[code].param));
    }
    return FX_OK;
}

enum fx_status fx_unpickle(struct fx_pickle *pickle, const uint8_t *bytes, size_t n_bytes,
                           size_t *n_used, const char *name, struct fx_err *err)
{
    struct fx_machine m = {
        .pickle = pickle, .bytes = bytes, .n_bytes = n_bytes, .name = name, .err = err
    };
    enum fx_status status;

    *pickle =
        (struct fx_pickle){ .n_decode_left = n_bytes,
                            .n_cells_max = n_bytes < FX_PICKLE_CELLS_MAX / FX_PICKLE_CELLS_A_BYTE
                                               ? n_bytes * FX_PICKLE_CELLS_A_BYTE
                                               : FX_PICKLE_CELLS_MAX };
    status = run(&m);
    if (status == FX_OK && !n_used && m.pos != n_bytes)
        status =
            fx_fail(err, FX_EINPUT, "%s: pickle: %zu bytes follow its end", name, n_bytes - m.pos);
    if (n_used)
        *n_used = m.pos;
    fx_machine_fini(&m);
    return status;
}
