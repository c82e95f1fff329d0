/* Writing a .pth: a bare state_dict that every torch since 1.6 loads, also with weights_only=True
 * and mmap=True.
 *
 * The pickle uses protocol 2 and only opcodes that torch's restricted unpickler has always known:
 * no memo, no floats (1.13 refuses BINFLOAT), no protocol 4.  There is no .format_version member:
 * torch >= 2.7 would take it as leave to compute offsets instead of reading them. */
#include "archive/pth.h"

#include "archive/pth_file_internal.h"
#include "archive/zip_internal.h"
#include "base/io.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the pickle ------------------------------------------------------------------------------ */

static void put_le(FILE *out, uint64_t value, int width)
{
    for (int i = 0; i < width; i++)
        fputc((int)(value >> 8 * i & 0xff), out);
}

/* A non-negative integer in its shortest form. */
static void put_int(FILE *out, int64_t value)
{
    if (value <= UINT8_MAX) {
        fputc('K', out);
        put_le(out, (uint64_t)value, 1);
    } else if (value <= UINT16_MAX) {
        fputc('M', out);
        put_le(out, (uint64_t)value, 2);
    } else if (value <= INT32_MAX) {
        fputc('J', out);
        put_le(out, (uint64_t)value, 4);
    } else {
        fputc(0x8a, out); /* LONG1 */
        fputc(8, out);
        put_le(out, (uint64_t)value, 8);
    }
}

static void put_text(FILE *out, const char *text)
{
    fputc('X', out);
    put_le(out, strlen(text), 4);
    fputs(text, out);
}

static void put_global(FILE *out, const char *module, const char *name)
{
    fprintf(out, "c%s\n%s\n", module, name);
}

static void put_counts(FILE *out, int n, const int64_t *counts)
{
    if (n == 0) {
        fputc(')', out);
        return;
    }
    fputc('(', out);
    for (int i = 0; i < n; i++)
        put_int(out, counts[i]);
    fputc('t', out);
}

/* OrderedDict(): the call with no arguments. */
static void put_ordered_dict(FILE *out)
{
    put_global(out, "collections", "OrderedDict");
    fputs(")R", out);
}

/* _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict()) */
static void put_tensor(FILE *out, const struct fx_tensor *tensor, size_t number)
{
    int64_t strides[FX_MAX_DIMS], stride = 1;
    char key[24];

    for (int i = tensor->n_dims - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= tensor->shape[i] > 0 ? tensor->shape[i] : 1;
    }
    snprintf(key, sizeof key, "%zu", number);
    put_global(out, "torch._utils", "_rebuild_tensor_v2");
    fputs("((", out);
    put_text(out, "storage");
    put_global(out, "torch", fx_pth_storage_name(tensor->dtype));
    put_text(out, key);
    put_text(out, "cpu");
    put_int(out, (int64_t)(tensor->n_bytes / fx_dtype_bytes(tensor->dtype)));
    fputs("tQ", out);
    put_int(out, 0);
    put_counts(out, tensor->n_dims, tensor->shape);
    put_counts(out, tensor->n_dims, strides);
    fputc(0x89, out); /* requires_grad: False */
    put_ordered_dict(out);
    fputs("tR", out);
}

static void put_state_dict(FILE *out, const struct fx_tensor_set *set)
{
    fputs("\x80\x02", out);
    put_ordered_dict(out);
    fputc('(', out);
    for (size_t i = 0; i < set->n_tensors; i++) {
        put_text(out, set->tensors[i].name);
        put_tensor(out, &set->tensors[i], i);
    }
    fputs("u.", out);
}

/* The pickled state dict, malloc'ed; NULL when memory is short. */
static char *pickle_state_dict(const struct fx_tensor_set *set, size_t *n)
{
    char *bytes = NULL;
    FILE *out = fx_memory_stream(&bytes, n);

    if (!out)
        return NULL;
    put_state_dict(out, set);
    if (fclose(out) != 0) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

/* ---- the archive ----------------------------------------------------------------------------- */

enum { MEMBER_BYTES_MAX = 1024 };

static enum fx_status add_member(struct fx_zip_writer *zip, const char *root, const char *member,
                                 const void *data, size_t n_bytes, struct fx_err *err)
{
    char full[MEMBER_BYTES_MAX];

    if (snprintf(full, sizeof full, "%s/%s", root, member) >= (int)sizeof full)
        return fx_fail(err, FX_EFAIL, "%s: the name '%s' is too long", zip->name, root);
    return fx_zip_writer_add(zip, full, data, n_bytes, err);
}

static enum fx_status write_members(struct fx_zip_writer *zip, const struct fx_tensor_set *set,
                                    const char *root, struct fx_err *err)
{
    size_t n_pickle = 0;
    char *pickle = pickle_state_dict(set, &n_pickle), member[32];
    enum fx_status status;

    if (!pickle)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", zip->name);
    FX_TRY_OUT(add_member(zip, root, "data.pkl", pickle, n_pickle, err));
    FX_TRY_OUT(add_member(zip, root, "byteorder", "little", 6, err));
    for (size_t i = 0; i < set->n_tensors; i++) {
        snprintf(member, sizeof member, "data/%zu", i);
        FX_TRY_OUT(
            add_member(zip, root, member, set->tensors[i].data, set->tensors[i].n_bytes, err));
    }
    FX_TRY_OUT(add_member(zip, root, "version", "3\n", 2, err));
    FX_TRY_OUT(fx_zip_writer_finish(zip, err));
out:
    free(pickle);
    return status;
}

enum fx_status fx_pth_write(const struct fx_tensor_set *set, int fd, const char *root,
                            const char *name, struct fx_err *err)
{
    struct fx_zip_writer zip;
    enum fx_status status;

    for (size_t i = 0; i < set->n_tensors; i++)
        if (!fx_pth_storage_name(set->tensors[i].dtype))
            return fx_fail(err, FX_EFAIL, "%s: %s: a .pth cannot hold %s", name,
                           set->tensors[i].name, fx_dtype_name(set->tensors[i].dtype));
    status = fx_zip_writer_init(&zip, fd, name, err);
    if (status == FX_OK)
        status = write_members(&zip, set, root, err);
    fx_zip_writer_fini(&zip);
    return status;
}
