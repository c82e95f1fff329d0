/* Varints and fields, written and read. */
#include "base/protobuf.h"

#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, DELIMITED = 2, FIXED32 = 5, VARINT_BYTES_MAX = 10 };

/* ---- writing --------------------------------------------------------------------------------- */

void fx_pb_fini(struct fx_pb *message)
{
    free(message->bytes);
    *message = (struct fx_pb){ 0 };
}

void fx_pb_clear(struct fx_pb *message)
{
    message->n = 0;
}

void fx_pb_raw(struct fx_pb *message, const void *bytes, size_t n)
{
    if (message->cap - message->n < n) {
        size_t cap = 2 * message->cap + n + 64;
        uint8_t *grown = realloc(message->bytes, cap);
        if (!grown) {
            message->failed = true;
            return;
        }
        message->bytes = grown;
        message->cap = cap;
    }
    if (n > 0)
        memcpy(message->bytes + message->n, bytes, n);
    message->n += n;
}

static void put_varint(struct fx_pb *message, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (uint8_t)(value | 0x80);
    bytes[n++] = (uint8_t)value;
    fx_pb_raw(message, bytes, n);
}

static void put_key(struct fx_pb *message, int field, int type)
{
    put_varint(message, (uint64_t)field << 3 | (uint64_t)type);
}

/* Fixed-width values are little-endian on the wire, as are the machines that this is built for. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed-width fields are little-endian");

void fx_pb_int(struct fx_pb *message, int field, int64_t value)
{
    put_key(message, field, VARINT);
    put_varint(message, (uint64_t)value);
}

void fx_pb_float(struct fx_pb *message, int field, float value)
{
    put_key(message, field, FIXED32);
    fx_pb_raw(message, &value, sizeof value);
}

void fx_pb_double(struct fx_pb *message, int field, double value)
{
    put_key(message, field, FIXED64);
    fx_pb_raw(message, &value, sizeof value);
}

void fx_pb_begin(struct fx_pb *message, int field, size_t n)
{
    put_key(message, field, DELIMITED);
    put_varint(message, n);
}

static void put_delimited(struct fx_pb *message, int field, const void *bytes, size_t n)
{
    fx_pb_begin(message, field, n);
    fx_pb_raw(message, bytes, n);
}

void fx_pb_text(struct fx_pb *message, int field, const char *text)
{
    if (text)
        put_delimited(message, field, text, strlen(text));
}

void fx_pb_message(struct fx_pb *message, int field, const struct fx_pb *inner)
{
    put_delimited(message, field, inner->bytes, inner->n);
    message->failed |= inner->failed;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool take(struct fx_pb_view *view, size_t n, struct fx_pb_view *taken)
{
    if (n > view->n)
        return false;
    *taken = (struct fx_pb_view){ view->bytes, n };
    view->bytes += n;
    view->n -= n;
    return true;
}

static bool take_varint(struct fx_pb_view *view, uint64_t *value)
{
    struct fx_pb_view byte;

    *value = 0;
    for (int i = 0; i < VARINT_BYTES_MAX; i++) {
        if (!take(view, 1, &byte))
            return false;
        *value |= (uint64_t)(byte.bytes[0] & 0x7f) << (7 * i);
        if (byte.bytes[0] < 0x80)
            return true;
    }
    return false;
}

bool fx_pb_next(struct fx_pb_view *view, struct fx_pb_field *field)
{
    uint64_t key, n;

    *field = (struct fx_pb_field){ 0 };
    if (!take_varint(view, &key))
        return false;
    field->number = (int)(key >> 3 & 0x1fffffff);
    switch (key & 7) {
    case VARINT:
        return take_varint(view, &field->value);
    case FIXED64:
        return take(view, 8, &field->inside);
    case FIXED32:
        return take(view, 4, &field->inside);
    case DELIMITED:
        return take_varint(view, &n) && take(view, n, &field->inside);
    default:
        return false;
    }
}
