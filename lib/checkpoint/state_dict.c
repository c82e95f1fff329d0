/* Matching files with the parameters of a graph: differences first, bytes on demand. */
#include "checkpoint/state_dict.h"

#include "base/log.h"
#include "checkpoint/checkpoint.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 1200, SHAPE_BYTES_MAX = 192 };

/* Where a parameter comes from: a tensor of a file, or nothing (a counter that starts at 0). */
struct fx_state_dict_entry {
    const struct fx_tensor *tensor; /* borrowed from a component */
    const char *file;               /* borrowed */
};

enum fx_status fx_state_dict_init(struct fx_state_dict *dict, const struct fx_graph *graph,
                                  struct fx_err *err)
{
    *dict = (struct fx_state_dict){ .graph = graph };
    dict->entries = calloc((size_t)graph->n_params + 1, sizeof *dict->entries);
    return dict->entries ? FX_OK : fx_fail(err, FX_EFAIL, "out of memory");
}

void fx_state_dict_fini(struct fx_state_dict *dict)
{
    free(dict->entries);
    *dict = (struct fx_state_dict){ 0 };
}

static int find_param(const struct fx_graph *graph, const char *prefix, const char *name)
{
    char full[NAME_BYTES_MAX];

    if (snprintf(full, sizeof full, "%s%s", prefix, name) >= (int)sizeof full)
        return -1;
    return fx_graph_find_param(graph, full);
}

size_t fx_state_dict_count(const struct fx_state_dict *dict, const struct fx_tensor_set *set,
                           const char *prefix)
{
    size_t n = 0;

    for (size_t i = 0; i < set->n_tensors; i++)
        n += find_param(dict->graph, prefix, set->tensors[i].name) >= 0;
    return n;
}

/* ---- differences ----------------------------------------------------------------------------- */

static void say_line(struct fx_state_dict *dict, struct fx_differences *diffs)
{
    if (dict->n_lines < FX_DIFFERENCE_LINES_MAX)
        fx_log_error("%s", diffs->line);
    else
        diffs->n_hidden++;
    dict->n_lines++;
}

/* A single difference becomes the error record, several become lines on the log: so each is held
 * back until the next one comes. */
static void differ(struct fx_state_dict *dict, struct fx_differences *diffs, int *count,
                   const char *fmt, ...) FX_PRINTF(4, 5);

static void differ(struct fx_state_dict *dict, struct fx_differences *diffs, int *count,
                   const char *fmt, ...)
{
    va_list args;

    if (diffs->line[0] != '\0')
        say_line(dict, diffs);
    va_start(args, fmt);
    vsnprintf(diffs->line, sizeof diffs->line, fmt, args);
    va_end(args);
    ++*count;
}

/* A counter of another dtype, as {name: tensor.half() for ...} makes it; false: it is not one whole
 * number, or not one that a float holds. */
static bool read_counter(const struct fx_tensor *tensor, int64_t *count)
{
    float number = 0;
    bool is_inexact;

    if (tensor->n_bytes != fx_dtype_bytes(tensor->dtype) ||
        fx_convert_to_f32(tensor->dtype, tensor->data, 1, &number, &is_inexact, NULL) != FX_OK ||
        is_inexact || !(fabsf(number) < 0x1p63f))
        return false;
    *count = (int64_t)number;
    return (float)*count == number;
}

static bool is_convertible(const struct fx_tensor *tensor, enum fx_dtype to)
{
    enum fx_dtype from = tensor->dtype;
    int64_t count;

    if (to == FX_I64)
        return from == to || read_counter(tensor, &count);
    return from == to || from == FX_F64 || from == FX_F16 || from == FX_BF16;
}

/* As torch takes it: a counter of shape (1,), too. */
static bool fits(const struct fx_param *param, const struct fx_tensor *tensor)
{
    return fx_param_fits(param, tensor) ||
           (param->kind == FX_PARAM_COUNTER && tensor->n_dims == 1 && tensor->shape[0] == 1);
}

void fx_state_dict_add(struct fx_state_dict *dict, const struct fx_tensor_file *component,
                       const char *prefix, struct fx_differences *diffs)
{
    const char *file = component->input.name;

    for (size_t i = 0; i < component->set.n_tensors; i++) {
        const struct fx_tensor *tensor = &component->set.tensors[i];
        int number = find_param(dict->graph, prefix, tensor->name);
        if (number < 0) {
            differ(dict, diffs, &diffs->n_unknown, "%s: %s: not in this architecture", file,
                   tensor->name);
            continue;
        }
        const struct fx_param *param = &dict->graph->params[number];
        struct fx_state_dict_entry *entry = &dict->entries[number];
        char is[SHAPE_BYTES_MAX], should[SHAPE_BYTES_MAX];
        fx_shape_text(tensor->n_dims, tensor->shape, is, sizeof is);
        fx_shape_text(param->n_dims, param->shape, should, sizeof should);
        if (entry->tensor)
            differ(dict, diffs, &diffs->n_double, "%s: %s: also in %s", file, param->name,
                   entry->file);
        if (!fits(param, tensor))
            differ(dict, diffs, &diffs->n_shape, "%s: %s: shape %s, expected %s", file,
                   tensor->name, is, should);
        if (!is_convertible(tensor, fx_param_dtype(param)))
            differ(dict, diffs, &diffs->n_dtype, "%s: %s: dtype %s, expected %s", file,
                   tensor->name, fx_dtype_name(tensor->dtype),
                   fx_dtype_name(fx_param_dtype(param)));
        size_t n_nonfinite = fx_tensor_count_nonfinite(tensor);
        if (n_nonfinite > 0)
            differ(dict, diffs, &diffs->n_values, "%s: %s: values that are not finite: %zu", file,
                   tensor->name, n_nonfinite);
        if (tensor->dtype != fx_param_dtype(param))
            ++*(param->kind == FX_PARAM_COUNTER ? &diffs->n_counters : &diffs->n_converted);
        *entry = (struct fx_state_dict_entry){ tensor, file };
    }
}

bool fx_state_dict_has(const struct fx_state_dict *dict, const char *prefix)
{
    for (int i = 0; i < dict->graph->n_params; i++)
        if (dict->entries[i].tensor &&
            strncmp(dict->graph->params[i].name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

void fx_state_dict_require(struct fx_state_dict *dict, const char *prefix, bool is_bare,
                           const char *file, struct fx_differences *diffs)
{
    int n_counters = 0;

    for (int i = 0; i < dict->graph->n_params; i++) {
        const struct fx_param *param = &dict->graph->params[i];
        char should[SHAPE_BYTES_MAX];
        if (dict->entries[i].tensor || strncmp(param->name, prefix, strlen(prefix)) != 0)
            continue;
        if (param->kind == FX_PARAM_COUNTER) {
            n_counters++;
            continue;
        }
        fx_shape_text(param->n_dims, param->shape, should, sizeof should);
        differ(dict, diffs, &diffs->n_missing, "%s: %s: missing, expected %s F32", file,
               param->name + (is_bare ? strlen(prefix) : 0), should);
    }
    if (n_counters > 0 && diffs->line[0] == '\0')
        fx_log_warn("%s: %d counters num_batches_tracked are missing: set to 0", file, n_counters);
}

int fx_differences_total(const struct fx_differences *diffs)
{
    return diffs->n_missing + diffs->n_unknown + diffs->n_shape + diffs->n_dtype + diffs->n_double +
           diffs->n_values;
}

enum fx_status fx_state_dict_judge(struct fx_state_dict *dict, struct fx_differences *diffs,
                                   const char *file, const char *arch, const char *hint,
                                   struct fx_err *err)
{
    const struct {
        int n;
        const char *what;
    } counts[] = {
        { diffs->n_missing, "missing" },        { diffs->n_unknown, "unknown" },
        { diffs->n_shape, "of another shape" }, { diffs->n_dtype, "of another dtype" },
        { diffs->n_double, "given twice" },     { diffs->n_values, "with values not finite" },
    };
    int n = fx_differences_total(diffs);
    char text[128] = "";

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t at = strlen(text);
        if (counts[i].n > 0)
            snprintf(text + at, sizeof text - at, "%s%d %s", at > 0 ? ", " : "", counts[i].n,
                     counts[i].what);
    }
    if (n == 0 && diffs->n_converted > 0)
        fx_log_warn("%s: %d tensors are converted to F32", file, diffs->n_converted);
    if (n == 0 && diffs->n_counters > 0)
        fx_log_warn("%s: %d counters num_batches_tracked are converted to I64", file,
                    diffs->n_counters);
    if (n == 0)
        return FX_OK;
    if (n == 1 && !hint && dict->n_lines++ < FX_DIFFERENCE_LINES_MAX)
        return fx_fail(err, FX_EINPUT, "%s", diffs->line);
    say_line(dict, diffs);
    if (diffs->n_hidden > 0)
        fx_log_error("%s: differences not shown: %d", file, diffs->n_hidden);
    return fx_fail(err, FX_EINPUT, "%s: does not fit %s: %s%s%s", file, arch, text,
                   hint ? "; " : "", hint ? hint : "");
}

/* ---- bytes ----------------------------------------------------------------------------------- */

enum fx_status fx_state_dict_describe(const struct fx_state_dict *dict, struct fx_tensor_set *set,
                                      struct fx_err *err)
{
    for (int i = 0; i < dict->graph->n_params; i++) {
        const struct fx_param *param = &dict->graph->params[i];
        const struct fx_tensor *tensor = dict->entries[i].tensor;
        bool is_ready = tensor && tensor->dtype == fx_param_dtype(param);
        FX_TRY(fx_tensor_set_add(set, param->name, fx_param_dtype(param), param->n_dims,
                                 param->shape, is_ready ? tensor->data : NULL, err));
    }
    return FX_OK;
}

enum fx_status fx_state_dict_fetch(void *ctx, const struct fx_tensor *tensor, void *buf,
                                   struct fx_err *err)
{
    const struct fx_state_dict *dict = ctx;
    int number = fx_graph_find_param(dict->graph, tensor->name);
    const struct fx_tensor *source = dict->entries[number].tensor;
    bool is_inexact;

    memset(buf, 0, tensor->n_bytes);
    if (!source)
        return FX_OK; /* a counter that no file had */
    if (tensor->dtype == FX_I64) {
        read_counter(source, buf);
        return FX_OK;
    }
    return fx_convert_to_f32(source->dtype, source->data, tensor->n_bytes / sizeof(float), buf,
                             &is_inexact, err);
}
