/* NumPy arrays and scalars inside a pickle.
 *
 * Spellings (NumPy 1 writes numpy.core, NumPy 2 numpy._core; both are in use):
 *   scalar(dtype, bytes)
 *   _reconstruct(ndarray, (0,), b"b"), then BUILD (1, shape, dtype, is_fortran, bytes)
 *   _frombuffer(bytes, dtype, shape, "C" or "F")                          protocol 5
 *   dtype("u1", False, True), then BUILD (3, "|", None, None, None, -1, -1, 0)
 * Source: numpy/core/src/multiarray/{methods,descriptor}.c, numpy/core/numeric.py. */
#include "archive/pickle_numpy_internal.h"

#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

static bool is_numpy_call(const struct fx_pickle_value *value, const char *module, const char *name)
{
    static const char *const roots[] = { "numpy.core", "numpy._core" };
    const struct fx_pickle_value *callable;

    if (!value || value->kind != FX_PICKLE_OBJECT)
        return false;
    callable = value->object.callable;
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s", roots[i], module);
        if (fx_pickle_is_global(callable, full, name))
            return true;
    }
    return false;
}

bool fx_pickle_is_array(const struct fx_pickle_value *value)
{
    return is_numpy_call(value, "multiarray", "scalar") ||
           is_numpy_call(value, "multiarray", "_reconstruct") ||
           is_numpy_call(value, "numeric", "_frombuffer");
}

/* "u1", "<f8" ... to kind and size; the byte order stands in the state, or before the letters. */
static bool read_dtype(const struct fx_pickle_value *dtype, struct fx_pickle_array *array)
{
    const struct fx_pickle_value *letters = fx_pickle_at(dtype, 0), *order;
    struct fx_pickle_bytes text;

    if (!fx_pickle_is_call(dtype, "numpy", "dtype", 1) ||
        (letters->kind != FX_PICKLE_TEXT && letters->kind != FX_PICKLE_BYTES))
        return false;
    text = letters->bytes;
    order = fx_pickle_at(dtype->object.state, 1);
    array->is_big_endian = fx_pickle_is_text(order, ">");
    if (text.n == 3 && memchr("<>|=", text.at[0], 4)) {
        array->is_big_endian = text.at[0] == '>';
        text = (struct fx_pickle_bytes){ text.at + 1, 2 };
    }
    if (text.n != 2)
        return false;
    char digit = (char)text.at[1];
    array->kind = (char)text.at[0];
    array->item_bytes = digit - '0';
    return memchr("biuf", array->kind, 4) && memchr("1248", digit, 4) &&
           (array->kind != 'b' || array->item_bytes == 1) &&
           (array->kind != 'f' || array->item_bytes > 1);
}

static bool read_shape(const struct fx_pickle_value *shape, struct fx_pickle_array *array)
{
    array->n_items = 1;
    if (!shape || shape->kind != FX_PICKLE_TUPLE || shape->seq.n > FX_PICKLE_ARRAY_DIMS_MAX)
        return false;
    array->n_dims = (int)shape->seq.n;
    for (size_t i = 0; i < shape->seq.n; i++) {
        int64_t side;
        if (!fx_pickle_integer(shape->seq.items[i], &side) || side < 0 ||
            __builtin_mul_overflow(array->n_items, (size_t)side, &array->n_items))
            return false;
        array->shape[i] = side;
    }
    return true;
}

enum fx_status fx_pickle_array_view(const struct fx_pickle_value *value,
                                    struct fx_pickle_array *array, const char *name,
                                    struct fx_err *err)
{
    const struct fx_pickle_value *shape = NULL, *dtype, *data;
    size_t n_bytes;
    char what[96];

    *array = (struct fx_pickle_array){ .n_items = 1 };
    if (is_numpy_call(value, "multiarray", "scalar")) {
        dtype = fx_pickle_at(value, 0);
        data = fx_pickle_at(value, 1);
    } else if (is_numpy_call(value, "numeric", "_frombuffer")) {
        data = fx_pickle_at(value, 0);
        dtype = fx_pickle_at(value, 1);
        shape = fx_pickle_at(value, 2);
        array->is_fortran = fx_pickle_is_text(fx_pickle_at(value, 3), "F");
    } else if (is_numpy_call(value, "multiarray", "_reconstruct") && value->object.state) {
        int64_t fortran = 0;
        shape = fx_pickle_at(value->object.state, 1);
        dtype = fx_pickle_at(value->object.state, 2);
        if (!fx_pickle_integer(fx_pickle_at(value->object.state, 3), &fortran))
            return fx_fail(err, FX_EINPUT, "%s: array without an order flag", name);
        array->is_fortran = fortran != 0;
        data = fx_pickle_at(value->object.state, 4);
    } else {
        return fx_fail(err, FX_EINPUT, "%s: is %s, not a NumPy array", name,
                       fx_pickle_describe(value, what, sizeof what));
    }
    if (!read_dtype(dtype, array))
        return fx_fail(err, FX_EINPUT, "%s: array whose elements are no plain numbers", name);
    if (shape && !read_shape(shape, array))
        return fx_fail(err, FX_EINPUT, "%s: array with an impossible shape", name);
    if (!data || data->kind != FX_PICKLE_BYTES)
        return fx_fail(err, FX_EINPUT, "%s: array without data", name);
    if (__builtin_mul_overflow(array->n_items, (size_t)array->item_bytes, &n_bytes) ||
        n_bytes != data->bytes.n)
        return fx_fail(err, FX_EINPUT, "%s: array of %zu elements of %d bytes has %zu bytes", name,
                       array->n_items, array->item_bytes, data->bytes.n);
    array->data = data->bytes;
    array->is_fortran = array->is_fortran && array->n_dims > 1;
    return FX_OK;
}

/* The raw bits of element i, zero-extended. */
static uint64_t item_bits(const struct fx_pickle_array *array, size_t i)
{
    const uint8_t *at = array->data.at + i * (size_t)array->item_bytes;
    uint64_t bits = 0;

    for (int b = 0; b < array->item_bytes; b++)
        bits |= (uint64_t)at[b] << 8 * (array->is_big_endian ? array->item_bytes - 1 - b : b);
    return bits;
}

int64_t fx_pickle_array_integer(const struct fx_pickle_array *array, size_t i)
{
    uint64_t bits = item_bits(array, i);
    unsigned n_unused = 64 - 8 * (unsigned)array->item_bytes;
    int64_t integer;

    if (array->kind == 'i' && bits >> (63 - n_unused) != 0)
        bits |= n_unused > 0 ? UINT64_MAX << (64 - n_unused) : 0;
    memcpy(&integer, &bits, sizeof integer);
    return integer;
}

double fx_pickle_array_real(const struct fx_pickle_array *array, size_t i)
{
    uint64_t bits = item_bits(array, i);
    uint32_t bits32 = (uint32_t)bits;
    double real;
    float single;

    if (array->kind != 'f')
        return (double)fx_pickle_array_integer(array, i);
    switch (array->item_bytes) {
    case 2:
        return (double)fx_f16_to_f32((uint16_t)bits);
    case 4:
        memcpy(&single, &bits32, sizeof single);
        return (double)single;
    default:
        memcpy(&real, &bits, sizeof real);
        return real;
    }
}
