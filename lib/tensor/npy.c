/* .npy: a magic, a length, a Python dict literal, the elements (numpy/lib/format.py, NEP 1). */
#include "tensor/npy.h"

#include "base/kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC_BYTES = 6,
    PREFIX_BYTES_V1 = 10,     /* magic, version, u16 length */
    PREFIX_BYTES_V2 = 12,     /* magic, version, u32 length */
    HEADER_BYTES_MAX = 10000, /* as NumPy */
    ALIGNMENT = 64
};
static const char magic[MAGIC_BYTES + 1] = "\x93NUMPY";

/* ---- the dict literal --------------------------------------------------------------------------
 */

/* What the header says; the cursor is at `at`. */
struct header {
    const char *at, *end;
    size_t data_offset; /* where the elements begin in the file */
    char order, kind;   /* '<' '>' '|' '=', 'i' 'u' */
    int item_bytes;
    int n_dims;
    long long shape[FX_NPY_DIMS_MAX];
    bool has_descr, has_order, has_shape, is_fortran;
};

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

static void skip_blanks(struct header *h)
{
    while (h->at < h->end && is_one_of(*h->at, " \t\n\r"))
        h->at++;
}

/* Takes one character after blanks, if it stands there. */
static bool take(struct header *h, char c)
{
    skip_blanks(h);
    if (h->at == h->end || *h->at != c)
        return false;
    h->at++;
    return true;
}

static bool take_word(struct header *h, const char *word)
{
    size_t n = strlen(word);

    skip_blanks(h);
    if ((size_t)(h->end - h->at) < n || memcmp(h->at, word, n) != 0)
        return false;
    h->at += n;
    return true;
}

/* A string without escapes, in either quotes. */
static bool take_string(struct header *h, const char **text, size_t *n)
{
    char quote = '\'';

    if (!take(h, '\'')) {
        quote = '"';
        if (!take(h, '"'))
            return false;
    }
    *text = h->at;
    while (h->at < h->end && *h->at != quote && *h->at != '\\')
        h->at++;
    *n = (size_t)(h->at - *text);
    return take(h, quote);
}

/* '<i8', '|u1': order, kind, size.  Only integers. */
static bool take_descr(struct header *h)
{
    const char *text;
    size_t n;

    if (!take_string(h, &text, &n) || n != 3)
        return false;
    char digit = text[2];
    h->order = text[0];
    h->kind = text[1];
    h->item_bytes = digit - '0';
    return is_one_of(h->order, "<>|=") && is_one_of(h->kind, "iu") && is_one_of(digit, "1248");
}

/* "5", or "5L" from Python 2. */
static bool take_length(struct header *h, long long *n)
{
    skip_blanks(h);
    *n = 0;
    const char *first = h->at;
    for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
        if (__builtin_mul_overflow(*n, 10, n) || __builtin_add_overflow(*n, *h->at - '0', n))
            return false;
    if (h->at == first)
        return false;
    (void)take(h, 'L');
    return true;
}

/* "(5,)" or "(5, 3)": behind one length a comma must stand, behind the last of more it may. */
static bool take_shape(struct header *h)
{
    bool has_comma = true;

    if (!take(h, '('))
        return false;
    for (h->n_dims = 0; !take(h, ')'); h->n_dims++) {
        if (h->n_dims == FX_NPY_DIMS_MAX || !has_comma || !take_length(h, &h->shape[h->n_dims]))
            return false;
        has_comma = take(h, ',');
    }
    return h->n_dims > 1 || (h->n_dims == 1 && has_comma);
}

static bool take_item(struct header *h)
{
    const char *key;
    size_t n;

    if (!take_string(h, &key, &n) || !take(h, ':'))
        return false;
    if (n == 5 && memcmp(key, "descr", n) == 0 && !h->has_descr)
        return h->has_descr = take_descr(h);
    if (n == 13 && memcmp(key, "fortran_order", n) == 0 && !h->has_order)
        return h->has_order = (h->is_fortran = take_word(h, "True")) || take_word(h, "False");
    if (n == 5 && memcmp(key, "shape", n) == 0 && !h->has_shape)
        return h->has_shape = take_shape(h);
    return false;
}

static bool take_dict(struct header *h)
{
    if (!take(h, '{'))
        return false;
    while (!take(h, '}')) {
        if (!take_item(h))
            return false;
        if (!take(h, ',')) {
            if (!take(h, '}'))
                return false;
            break;
        }
    }
    skip_blanks(h);
    return h->at == h->end && h->has_descr && h->has_order && h->has_shape;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static enum fx_status find_header(struct fx_input *in, struct header *h, struct fx_err *err)
{
    FX_TRY(fx_input_need(in, PREFIX_BYTES_V1, err));
    int major = in->bytes[MAGIC_BYTES];
    if (memcmp(in->bytes, magic, MAGIC_BYTES) != 0)
        return fx_fail(err, FX_EINPUT, "%s: not a .npy file", in->name);
    if (major < 1 || major > 3)
        return fx_fail(err, FX_EINPUT, "%s: .npy version %d, 1 to 3 are known", in->name, major);

    size_t n_prefix = major == 1 ? PREFIX_BYTES_V1 : PREFIX_BYTES_V2;
    FX_TRY(fx_input_need(in, n_prefix, err));
    size_t n = 0;
    for (size_t i = n_prefix; i-- > MAGIC_BYTES + 2;)
        n = n << 8 | in->bytes[i];
    if (n > HEADER_BYTES_MAX)
        return fx_fail(err, FX_EINPUT, "%s: .npy header of %zu bytes, at most %d are allowed",
                       in->name, n, HEADER_BYTES_MAX);
    FX_TRY(fx_input_need(in, n_prefix + n, err));
    h->at = (const char *)in->bytes + n_prefix;
    h->end = h->at + n;
    h->data_offset = n_prefix + n;
    return FX_OK;
}

/* Element at `at` as int64; false when it does not fit. */
static bool load(const struct header *h, const uint8_t *at, int64_t *value)
{
    uint64_t bits = 0;

    for (int i = 0; i < h->item_bytes; i++)
        bits = bits << 8 | at[h->order == '>' ? i : h->item_bytes - 1 - i];
    int unused = 64 - 8 * h->item_bytes;
    *value = h->kind == 'i' ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
    return h->kind == 'i' || bits <= INT64_MAX;
}

static enum fx_status load_all(const struct fx_input *in, const struct header *h,
                               const uint8_t *data, int64_t **values, struct fx_err *err)
{
    long long n = h->shape[0];
    int64_t *list = calloc((size_t)n + 1, sizeof *list);

    if (!list)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", in->name);
    for (long long i = 0; i < n; i++) {
        if (!load(h, data + i * h->item_bytes, &list[i])) {
            free(list);
            return fx_fail(err, FX_EINPUT, "%s: element %lld is beyond 2^63", in->name, i);
        }
    }
    *values = list;
    return FX_OK;
}

static enum fx_status read_input(struct fx_input *in, int64_t **values, size_t *n,
                                 struct fx_err *err)
{
    struct header h = { 0 };
    size_t n_data;

    FX_TRY(find_header(in, &h, err));
    if (!take_dict(&h) || h.n_dims != 1)
        return fx_fail(err, FX_EINPUT, "%s: not a one-dimensional array of integers", in->name);
    if (__builtin_mul_overflow((size_t)h.shape[0], (size_t)h.item_bytes, &n_data) ||
        n_data > SIZE_MAX / 16)
        return fx_fail(err, FX_EINPUT, "%s: the length of the array overflows", in->name);
    FX_TRY(fx_input_need(in, h.data_offset + n_data, err));
    FX_TRY(fx_input_expect_end(in, h.data_offset + n_data, err));
    *n = (size_t)h.shape[0];
    return load_all(in, &h, in->bytes + h.data_offset, values, err);
}

enum fx_status fx_npy_read_indices(const char *path, int64_t **values, size_t *n,
                                   struct fx_err *err)
{
    struct fx_input in;

    *values = NULL;
    *n = 0;
    enum fx_status status = fx_input_begin(&in, path, err);
    if (status == FX_OK)
        status = read_input(&in, values, n, err);
    if (status != FX_OK)
        status = fx_kind_explain(FX_WANTED_INDICES, &in, err);
    fx_input_close(&in);
    return status;
}

static struct fx_input in_memory(const uint8_t *bytes, size_t n_bytes, const char *name)
{
    return (struct fx_input){ .bytes = bytes, .n_bytes = n_bytes, .name = name, .fd = -1 };
}

enum fx_status fx_npy_view_bytes(const uint8_t *bytes, size_t n_bytes, const char *name,
                                 struct fx_npy_bytes *array, struct fx_err *err)
{
    struct fx_input in = in_memory(bytes, n_bytes, name);
    struct header h = { 0 };

    FX_TRY(find_header(&in, &h, err));
    if (!take_dict(&h) || h.kind != 'u' || h.item_bytes != 1 || h.is_fortran)
        return fx_fail(err, FX_EINPUT, "%s: not an array of bytes (uint8) in C order", name);
    *array = (struct fx_npy_bytes){ .n_dims = h.n_dims, .n = 1, .values = bytes + h.data_offset };
    for (int i = 0; i < h.n_dims; i++) {
        array->shape[i] = (size_t)h.shape[i];
        if (__builtin_mul_overflow(array->n, array->shape[i], &array->n))
            return fx_fail(err, FX_EINPUT, "%s: the length of the array overflows", name);
    }
    if (array->n != n_bytes - h.data_offset)
        return fx_fail(err, FX_EINPUT, "%s: has %zu elements, its shape says %zu", name,
                       n_bytes - h.data_offset, array->n);
    return FX_OK;
}

enum fx_status fx_npy_view_indices(const uint8_t *bytes, size_t n_bytes, const char *name,
                                   int64_t **values, size_t *n, struct fx_err *err)
{
    struct fx_input in = in_memory(bytes, n_bytes, name);

    *values = NULL;
    *n = 0;
    return read_input(&in, values, n, err);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* Prefix, dict and padding; returns their length. */
static size_t format_header(char *buf, size_t n_buf, size_t n)
{
    int n_dict = snprintf(buf + PREFIX_BYTES_V1, n_buf - PREFIX_BYTES_V1,
                          "{'descr': '<i8', 'fortran_order': False, 'shape': (%zu,), }", n);
    size_t n_all = PREFIX_BYTES_V1 + (size_t)n_dict + 1;

    n_all = (n_all + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset(buf + PREFIX_BYTES_V1 + n_dict, ' ', n_all - PREFIX_BYTES_V1 - (size_t)n_dict);
    buf[n_all - 1] = '\n';
    memcpy(buf, magic, MAGIC_BYTES);
    buf[MAGIC_BYTES] = 1;
    buf[MAGIC_BYTES + 1] = 0;
    buf[MAGIC_BYTES + 2] = (char)((n_all - PREFIX_BYTES_V1) & 0xff);
    buf[MAGIC_BYTES + 3] = (char)((n_all - PREFIX_BYTES_V1) >> 8);
    return n_all;
}

enum fx_status fx_npy_write_indices(const char *path, const int64_t *values, size_t n,
                                    struct fx_err *err)
{
    char header[4 * ALIGNMENT];
    struct fx_output out = { 0 };
    enum fx_status status;

    FX_TRY(fx_output_open(&out, path, true, err));
    const char *name = out.is_stdout ? "stdout" : path;
    FX_TRY_OUT(fx_write_full(out.fd, header, format_header(header, sizeof header, n), name, err));
    FX_TRY_OUT(fx_write_full(out.fd, values, n * sizeof *values, name, err));
    status = fx_output_commit(&out, err);
out:
    fx_output_abandon(&out);
    return status;
}
