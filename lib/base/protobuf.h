/* The wire format of Protocol Buffers, as far as the logs of trackers and ONNX use it: varints,
 * doubles, floats, strings and nested messages.  A field is a key (number << 3 | wire type) and a
 * value. Source: protobuf.dev/programming-guides/encoding. */
#ifndef FX_BASE_PROTOBUF_H
#define FX_BASE_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message under construction: initialise with { 0 }.  A failed allocation is remembered, so that
 * it need be checked only once, at the end. */
struct fx_pb {
    uint8_t *bytes; /* owned */
    size_t n, cap;
    bool failed;
};
void fx_pb_fini(struct fx_pb *message);
void fx_pb_clear(struct fx_pb *message); /* empty again, memory kept */

void fx_pb_int(struct fx_pb *message, int field, int64_t value);
void fx_pb_float(struct fx_pb *message, int field, float value);
void fx_pb_double(struct fx_pb *message, int field, double value);
void fx_pb_text(struct fx_pb *message, int field, const char *text); /* NULL: nothing */
/* fx_pb_message: appends a finished message as a field; its failure becomes the outer one's. */
void fx_pb_message(struct fx_pb *message, int field, const struct fx_pb *inner);

/* fx_pb_begin: the key and the length of a field whose n bytes follow, from fx_pb_raw or, where
 * they are many, written behind the message by the caller. */
void fx_pb_begin(struct fx_pb *message, int field, size_t n);

/* fx_pb_raw: bytes without a key; for framing. */
void fx_pb_raw(struct fx_pb *message, const void *bytes, size_t n);

/* A message being read: borrowed bytes. */
struct fx_pb_view {
    const uint8_t *bytes;
    size_t n;
};
struct fx_pb_field {
    int number;
    uint64_t value;           /* of a varint */
    struct fx_pb_view inside; /* of a text or message */
};
/* fx_pb_next: takes the next field off the view; false at its end or where it is malformed. */
bool fx_pb_next(struct fx_pb_view *view, struct fx_pb_field *field);

#endif
