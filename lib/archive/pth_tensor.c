/* Tensors of a .pth: torch's rebuild calls read as data, views copied into C order.
 *
 * Spellings, all in torch._utils unless said otherwise:
 *   _rebuild_tensor(storage, offset, size, stride)
 *   _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])
 *   _rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
 *   _rebuild_parameter(tensor, ...), _rebuild_parameter_with_state(tensor, ...),
 *   torch.nn.parameter.Parameter(tensor, ...), torch.autograd.variable.Variable(tensor, ...)
 *   torch._tensor._rebuild_from_type_v2(rebuild function, class, its arguments, state)
 * Offsets, sizes and strides count elements. */
#include "archive/pth_file_internal.h"

#include <inttypes.h>
#include <string.h>

enum { WRAPPERS_MAX = 8 };

struct view {
    struct fx_pth_elements elements;
    enum fx_dtype dtype;
    int64_t offset;
    int n_dims;
    int64_t shape[FX_MAX_DIMS], stride[FX_MAX_DIMS];
};

/* ---- spelling -------------------------------------------------------------------------------- */

static bool is_rebuild(const struct fx_pickle_value *function)
{
    return fx_pickle_is_global(function, "torch._utils", "_rebuild_tensor") ||
           fx_pickle_is_global(function, "torch._utils", "_rebuild_tensor_v2") ||
           fx_pickle_is_global(function, "torch._utils", "_rebuild_tensor_v3");
}

static bool is_parameter(const struct fx_pickle_value *value)
{
    return fx_pickle_is_call(value, "torch._utils", "_rebuild_parameter", 1) ||
           fx_pickle_is_call(value, "torch._utils", "_rebuild_parameter_with_state", 1) ||
           fx_pickle_is_call(value, "torch.nn.parameter", "Parameter", 1) ||
           fx_pickle_is_call(value, "torch.autograd.variable", "Variable", 1);
}

/* Finds function and arguments of the rebuild call behind parameters and subclasses of Tensor. */
static bool unwrap(const struct fx_pickle_value *value, const struct fx_pickle_value **function,
                   const struct fx_pickle_value **args)
{
    for (int depth = 0; depth < WRAPPERS_MAX && is_parameter(value); depth++)
        value = fx_pickle_at(value, 0);
    if (!value || value->kind != FX_PICKLE_OBJECT)
        return false;
    *function = value->object.callable;
    *args = value->object.args;
    if (fx_pickle_is_call(value, "torch._tensor", "_rebuild_from_type_v2", 3)) {
        *function = fx_pickle_at(value, 0);
        *args = fx_pickle_at(value, 2);
    }
    return is_rebuild(*function);
}

/* What is a tensor to torch, and holds other things than elements in C order. */
static const struct {
    const char *function, *why;
} foreign[] = {
    { "_rebuild_qtensor", "is quantised; save the model as it was before" },
    { "_rebuild_sparse_tensor", "is sparse; save it as to_dense() makes it" },
    { "_rebuild_nested_tensor", "is a nested tensor; save the tensors in it" },
    { "_rebuild_meta_tensor_no_storage", "has no elements: it was saved on the device meta" },
};

static bool begins_with(struct fx_pickle_bytes bytes, const char *word)
{
    return bytes.n >= strlen(word) && memcmp(bytes.at, word, strlen(word)) == 0;
}

/* Whether what is stored is still to be negated or conjugated: then, and only then, torch writes
 * metadata, {'neg': True} or {'conj': True}. */
static bool is_lazy(const struct fx_pickle_value *function, const struct fx_pickle_value *args)
{
    bool has_dtype = fx_pickle_is_global(function, "torch._utils", "_rebuild_tensor_v3");
    const struct fx_pickle_value *metadata = fx_pickle_at(args, has_dtype ? 7 : 6);

    return metadata && metadata->kind == FX_PICKLE_DICT && metadata->seq.n > 0;
}

const char *fx_pth_why_foreign(const struct fx_pickle_value *value)
{
    const struct fx_pickle_value *function = NULL, *args;

    if (unwrap(value, &function, &args))
        return is_lazy(function, args)
                   ? "is stored without its negative sign or conjugation; save what "
                     "resolve_neg() or resolve_conj() makes"
                   : NULL;
    if (!function || function->kind != FX_PICKLE_GLOBAL)
        return NULL;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (fx_pickle_is_global(function, "torch._utils", foreign[i].function))
            return foreign[i].why;
    if (begins_with(function->global.module, "torch._utils") &&
        begins_with(function->global.name, "_rebuild_"))
        return "is a kind of tensor that is not read; save a plain one";
    return NULL;
}

bool fx_pth_is_tensor(const struct fx_pickle_value *value)
{
    const struct fx_pickle_value *function, *args;

    return unwrap(value, &function, &args);
}

/* ---- from call to view ----------------------------------------------------------------------- */

/* A tuple of counts: sizes or strides.  torch.Size is such a tuple in a call. */
static bool read_counts(const struct fx_pickle_value *tuple, int *n, int64_t *counts)
{
    if (fx_pickle_is_call(tuple, "torch", "Size", 1))
        tuple = fx_pickle_at(tuple, 0);
    if (!tuple || (tuple->kind != FX_PICKLE_TUPLE && tuple->kind != FX_PICKLE_LIST) ||
        tuple->seq.n > FX_MAX_DIMS)
        return false;
    *n = (int)tuple->seq.n;
    for (int i = 0; i < *n; i++)
        if (!fx_pickle_integer(tuple->seq.items[i], &counts[i]) || counts[i] < 0)
            return false;
    return true;
}

/* Whether every element of the view lies in its storage; one without elements may begin anywhere.
 */
static bool is_inside(const struct view *view)
{
    int64_t last = view->offset, n = view->elements.n;
    bool is_empty = false;

    for (int i = 0; i < view->n_dims; i++)
        is_empty |= view->shape[i] == 0;
    if (is_empty)
        return true;
    for (int i = 0; i < view->n_dims; i++) {
        int64_t reach;
        if (__builtin_mul_overflow(view->shape[i] - 1, view->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last))
            return false;
    }
    return last < n;
}

static enum fx_status read_view(const struct fx_pth_file *file, const struct fx_pickle_value *value,
                                const char *name, struct view *view, struct fx_err *err)
{
    const struct fx_pickle_value *function = NULL, *args = NULL;
    const char *in = file->in->name;
    int n_strides = 0, shown = FX_PTH_SHOWN_BYTES;

    *view = (struct view){ 0 };
    if (!unwrap(value, &function, &args) || !args || args->kind != FX_PICKLE_TUPLE)
        return fx_fail(err, FX_EINPUT, "%s: %.*s: malformed tensor", in, shown, name);
    if (fx_pth_elements_get(file, fx_pickle_at(args, 0), &view->elements, err) != FX_OK)
        return err->status;
    view->dtype = view->elements.dtype;
    if (fx_pickle_is_global(function, "torch._utils", "_rebuild_tensor_v3") &&
        !fx_pth_dtype_from_global(fx_pickle_at(args, 6), &view->dtype))
        return fx_fail(err, FX_EINPUT, "%s: %.*s: tensor of an unknown dtype", in, shown, name);
    if (view->elements.is_untyped) {
        view->elements.n /= (int64_t)fx_dtype_bytes(view->dtype);
        view->elements.offset = 0;
    } else if (view->dtype != view->elements.dtype) {
        return fx_fail(err, FX_EINPUT, "%s: %.*s: tensor and storage differ in dtype", in, shown,
                       name);
    }
    if (!fx_pickle_integer(fx_pickle_at(args, 1), &view->offset) || view->offset < 0 ||
        !read_counts(fx_pickle_at(args, 2), &view->n_dims, view->shape) ||
        !read_counts(fx_pickle_at(args, 3), &n_strides, view->stride) || n_strides != view->n_dims)
        return fx_fail(err, FX_EINPUT, "%s: %.*s: tensor with an impossible size, stride or offset",
                       in, shown, name);
    if (!is_inside(view))
        return fx_fail(err, FX_EINPUT,
                       "%s: %.*s: tensor reaches beyond its storage of %" PRId64 " elements", in,
                       shown, name, view->elements.n);
    return FX_OK;
}

/* ---- from view to C order -------------------------------------------------------------------- */

static bool is_c_order(const struct view *view)
{
    int64_t expected = 1;

    for (int i = view->n_dims - 1; i >= 0; i--) {
        if (view->shape[i] != 1 && view->stride[i] != expected)
            return false;
        expected *= view->shape[i]; /* the product fits: fx_tensor_set_add checked it */
    }
    return true;
}

/* Copies the view element by element; the innermost dimension is the inner loop. */
static void copy_strided(const struct view *view, const uint8_t *src, uint8_t *dst)
{
    size_t item = fx_dtype_bytes(view->dtype);
    int inner = view->n_dims - 1;
    int64_t index[FX_MAX_DIMS] = { 0 }, at = 0;

    for (;;) {
        for (int64_t i = 0; i < view->shape[inner]; i++, dst += item)
            memcpy(dst, src + (size_t)(at + i * view->stride[inner]) * item, item);
        int d = inner - 1;
        for (; d >= 0; d--) {
            at += view->stride[d];
            if (++index[d] < view->shape[d])
                break;
            at -= view->shape[d] * view->stride[d];
            index[d] = 0;
        }
        if (d < 0)
            return;
    }
}

/* Reverses the bytes of every number; a complex number is two of them. */
static void swap_bytes(enum fx_dtype dtype, uint8_t *bytes, size_t n_bytes)
{
    size_t item = dtype == FX_C64 ? 4 : fx_dtype_bytes(dtype);

    for (size_t at = 0; at < n_bytes; at += item) {
        for (size_t i = 0; i < item / 2; i++) {
            uint8_t byte = bytes[at + i];
            bytes[at + i] = bytes[at + item - 1 - i];
            bytes[at + item - 1 - i] = byte;
        }
    }
}

enum fx_status fx_pth_add_tensor(struct fx_pth_file *file, const struct fx_pickle_value *value,
                                 const char *name, struct fx_err *err)
{
    struct fx_tensor *tensor;
    struct view view;
    const uint8_t *src;
    uint8_t *copy;

    FX_TRY(read_view(file, value, name, &view, err));
    if (fx_tensor_set_add(file->set, name, view.dtype, view.n_dims, view.shape, NULL, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", file->in->name);
    tensor = &file->set->tensors[file->set->n_tensors - 1];
    if (tensor->n_bytes == 0)
        return FX_OK;
    FX_TRY(fx_pth_storage_inflate(file, view.elements.storage, err));
    src = view.elements.storage->data +
          (size_t)(view.elements.offset + view.offset) * fx_dtype_bytes(view.dtype);
    tensor->data = src;
    if (is_c_order(&view) && !file->is_big_endian)
        return FX_OK;
    FX_TRY(fx_pth_copy_alloc(file, tensor->n_bytes, &copy, err));
    if (is_c_order(&view))
        memcpy(copy, src, tensor->n_bytes);
    else
        copy_strided(&view, src, copy);
    if (file->is_big_endian)
        swap_bytes(view.dtype, copy, tensor->n_bytes);
    tensor->data = copy;
    return FX_OK;
}
