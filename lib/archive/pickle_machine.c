/* Bounds of the unpickler: input, stack, MARKs and memo. */
#include "archive/pickle_machine_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void fx_machine_fini(struct fx_machine *m)
{
    free(m->stack);
    free(m->marks);
    free(m->memo);
}

enum fx_status fx_machine_bad(struct fx_machine *m, const char *fmt, ...)
{
    char why[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return fx_fail(m->err, FX_EINPUT, "%s: pickle: byte %zu: %s", m->name, m->op_pos, why);
}

enum fx_status fx_machine_no_room(struct fx_machine *m)
{
    if (m->pickle->is_full)
        return fx_machine_bad(m, "more than %zu values", m->pickle->n_cells_max);
    return fx_fail(m->err, FX_EFAIL, "%s: pickle: out of memory", m->name);
}

enum fx_status fx_machine_take(struct fx_machine *m, uint64_t n, const uint8_t **at)
{
    if (n > m->n_bytes - m->pos)
        return fx_machine_bad(m, "cut: needs %" PRIu64 " bytes, %zu left", n, m->n_bytes - m->pos);
    *at = m->bytes + m->pos;
    m->pos += n;
    return FX_OK;
}

enum fx_status fx_machine_number(struct fx_machine *m, int width, uint64_t *number)
{
    const uint8_t *at = NULL;

    FX_TRY(fx_machine_take(m, (uint64_t)width, &at));
    *number = 0;
    for (int i = width - 1; i >= 0; i--)
        *number = *number << 8 | at[i];
    return FX_OK;
}

/* An array with room for one more than n elements: the same one, or one twice as large.  NULL when
 * there is no memory; the old array stays. */
static void *grown(void *array, size_t *cap, size_t n, size_t item_bytes)
{
    size_t new_cap = n < 32 ? 64 : 2 * n;

    if (n < *cap)
        return array;
    array = realloc(array, new_cap * item_bytes);
    if (array)
        *cap = new_cap;
    return array;
}

enum fx_status fx_machine_push(struct fx_machine *m, struct fx_pickle_value *value)
{
    if (!value)
        return fx_machine_no_room(m);
    if (m->n_stack >= FX_PICKLE_STACK_MAX)
        return fx_machine_bad(m, "stack deeper than %d", FX_PICKLE_STACK_MAX);
    struct fx_pickle_value **stack = grown(m->stack, &m->cap_stack, m->n_stack, sizeof *stack);
    if (!stack)
        return fx_machine_no_room(m);
    m->stack = stack;
    m->stack[m->n_stack++] = value;
    return FX_OK;
}

/* Where a height of the stack is; NULL before there is one. */
static struct fx_pickle_value **stack_at(const struct fx_machine *m, size_t height)
{
    return m->stack ? m->stack + height : NULL;
}

/* The height below which pop does not reach. */
static size_t stack_floor(const struct fx_machine *m)
{
    return m->n_marks > 0 ? m->marks[m->n_marks - 1] : 0;
}

enum fx_status fx_machine_pop_n(struct fx_machine *m, size_t n, struct fx_pickle_value ***items)
{
    if (m->n_stack - stack_floor(m) < n)
        return fx_machine_bad(m, "needs %zu values from the stack, has %zu", n,
                              m->n_stack - stack_floor(m));
    m->n_stack -= n;
    *items = stack_at(m, m->n_stack);
    return FX_OK;
}

enum fx_status fx_machine_pop(struct fx_machine *m, struct fx_pickle_value **value)
{
    struct fx_pickle_value **items = NULL;

    FX_TRY(fx_machine_pop_n(m, 1, &items));
    *value = items[0];
    return FX_OK;
}

enum fx_status fx_machine_top(struct fx_machine *m, struct fx_pickle_value **value)
{
    FX_TRY(fx_machine_pop(m, value));
    m->n_stack++;
    return FX_OK;
}

enum fx_status fx_machine_mark(struct fx_machine *m)
{
    if (m->n_marks >= FX_PICKLE_STACK_MAX)
        return fx_machine_bad(m, "more than %d MARKs", FX_PICKLE_STACK_MAX);
    size_t *marks = grown(m->marks, &m->cap_marks, m->n_marks, sizeof *marks);
    if (!marks)
        return fx_machine_no_room(m);
    m->marks = marks;
    m->marks[m->n_marks++] = m->n_stack;
    return FX_OK;
}

enum fx_status fx_machine_pop_mark(struct fx_machine *m, struct fx_pickle_value ***items, size_t *n)
{
    if (m->n_marks == 0)
        return fx_machine_bad(m, "no MARK on the stack");
    size_t floor = m->marks[--m->n_marks];
    *items = stack_at(m, floor);
    *n = m->n_stack - floor;
    m->n_stack = floor;
    return FX_OK;
}

enum fx_status fx_machine_put(struct fx_machine *m, uint64_t number)
{
    struct fx_pickle_value *value = NULL;

    FX_TRY(fx_machine_top(m, &value));
    if (number > m->n_ops)
        return fx_machine_bad(m, "memo number %" PRIu64 " after %zu opcodes", number, m->n_ops);
    while (m->n_memo <= number) {
        struct fx_pickle_value **memo = grown(m->memo, &m->cap_memo, m->n_memo, sizeof *memo);
        if (!memo)
            return fx_machine_no_room(m);
        m->memo = memo;
        m->memo[m->n_memo++] = NULL;
    }
    m->memo[number] = value;
    return FX_OK;
}

enum fx_status fx_machine_get(struct fx_machine *m, uint64_t number)
{
    if (number >= m->n_memo || !m->memo[number])
        return fx_machine_bad(m, "memo number %" PRIu64 " was never set", number);
    return fx_machine_push(m, m->memo[number]);
}
