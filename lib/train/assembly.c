/* Matching files with the parameters of a graph: differences first, bytes on demand. */
#include "train/assembly.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 1200, SHAPE_BYTES_MAX = 192 };

/* Where a parameter comes from: a tensor of a file, or nothing (a counter that starts at 0). */
struct fx_assembly_part {
    const struct fx_tensor *tensor; /* borrowed from a component */
    const char *file;               /* borrowed */
};

enum fx_status fx_assembly_init(struct fx_assembly *assembly, const struct fx_graph *graph,
                                struct fx_err *err)
{
    *assembly = (struct fx_assembly){ .graph = graph };
    assembly->parts = calloc((size_t)graph->n_params + 1, sizeof(*assembly->parts));
    return assembly->parts ? FX_OK : fx_fail(err, FX_EFAIL, "out of memory");
}

void fx_assembly_fini(struct fx_assembly *assembly)
{
    free(assembly->parts);
    *assembly = (struct fx_assembly){ 0 };
}

static int find_param(const struct fx_graph *graph, const char *prefix, const char *name)
{
    char full[NAME_BYTES_MAX];

    if (snprintf(full, sizeof(full), "%s%s", prefix, name) >= (int)sizeof(full))
        return -1;
    return fx_graph_find_param(graph, full);
}

size_t fx_assembly_count(const struct fx_assembly *assembly, const struct fx_tensor_set *set,
                         const char *prefix)
{
    size_t n = 0;

    for (size_t i = 0; i < set->n_tensors; i++)
        n += find_param(assembly->graph, prefix, set->tensors[i].name) >= 0;
    return n;
}

static enum fx_dtype dtype_of(const struct fx_param *param)
{
    return param->kind == FX_PARAM_COUNTER ? FX_I64 : FX_F32;
}

/* ---- differences ----------------------------------------------------------------------------- */

static void say_line(struct fx_assembly *assembly, struct fx_assembly_tally *tally)
{
    if (assembly->n_lines < FX_ASSEMBLY_LINES_MAX)
        fx_log_error("%s", tally->line);
    else
        tally->n_hidden++;
    assembly->n_lines++;
}

/* A single difference becomes the error record, several become lines on the log: so each is held
 * back until the next one comes. */
static void differ(struct fx_assembly *assembly, struct fx_assembly_tally *tally, int *count,
                   const char *fmt, ...) FX_PRINTF(4, 5);

static void differ(struct fx_assembly *assembly, struct fx_assembly_tally *tally, int *count,
                   const char *fmt, ...)
{
    va_list args;

    if (tally->line[0] != '\0')
        say_line(assembly, tally);
    va_start(args, fmt);
    vsnprintf(tally->line, sizeof(tally->line), fmt, args);
    va_end(args);
    ++*count;
}

static bool is_convertible(enum fx_dtype from, enum fx_dtype to)
{
    return from == to || (to == FX_F32 && (from == FX_F64 || from == FX_F16 || from == FX_BF16));
}

static bool same_shape(const struct fx_tensor *tensor, const struct fx_param *param)
{
    return tensor->n_dims == param->n_dims &&
           memcmp(tensor->shape, param->shape, (size_t)param->n_dims * sizeof(*param->shape)) == 0;
}

void fx_assembly_add(struct fx_assembly *assembly, const struct fx_component *component,
                     const char *prefix, struct fx_assembly_tally *tally)
{
    const char *file = component->input.name;

    for (size_t i = 0; i < component->set.n_tensors; i++) {
        const struct fx_tensor *tensor = &component->set.tensors[i];
        int number = find_param(assembly->graph, prefix, tensor->name);
        if (number < 0) {
            differ(assembly, tally, &tally->n_unknown, "%s: %s: not in this architecture", file,
                   tensor->name);
            continue;
        }
        const struct fx_param *param = &assembly->graph->params[number];
        struct fx_assembly_part *part = &assembly->parts[number];
        char is[SHAPE_BYTES_MAX], should[SHAPE_BYTES_MAX];
        fx_shape_text(tensor->n_dims, tensor->shape, is, sizeof(is));
        fx_shape_text(param->n_dims, param->shape, should, sizeof(should));
        if (part->tensor)
            differ(assembly, tally, &tally->n_double, "%s: %s: also in %s", file, param->name,
                   part->file);
        if (!same_shape(tensor, param))
            differ(assembly, tally, &tally->n_shape, "%s: %s: shape %s, expected %s", file,
                   tensor->name, is, should);
        if (!is_convertible(tensor->dtype, dtype_of(param)))
            differ(assembly, tally, &tally->n_dtype, "%s: %s: dtype %s, expected %s", file,
                   tensor->name, fx_dtype_name(tensor->dtype), fx_dtype_name(dtype_of(param)));
        size_t n_nonfinite = fx_tensor_count_nonfinite(tensor);
        if (n_nonfinite > 0)
            differ(assembly, tally, &tally->n_values, "%s: %s: values that are not finite: %zu",
                   file, tensor->name, n_nonfinite);
        tally->n_converted += tensor->dtype != dtype_of(param);
        *part = (struct fx_assembly_part){ tensor, file };
    }
}

bool fx_assembly_has(const struct fx_assembly *assembly, const char *prefix)
{
    for (int i = 0; i < assembly->graph->n_params; i++)
        if (assembly->parts[i].tensor &&
            strncmp(assembly->graph->params[i].name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

void fx_assembly_require(struct fx_assembly *assembly, const char *prefix, bool is_bare,
                         const char *file, struct fx_assembly_tally *tally)
{
    int n_counters = 0;

    for (int i = 0; i < assembly->graph->n_params; i++) {
        const struct fx_param *param = &assembly->graph->params[i];
        char should[SHAPE_BYTES_MAX];
        if (assembly->parts[i].tensor || strncmp(param->name, prefix, strlen(prefix)) != 0)
            continue;
        if (param->kind == FX_PARAM_COUNTER) {
            n_counters++;
            continue;
        }
        fx_shape_text(param->n_dims, param->shape, should, sizeof(should));
        differ(assembly, tally, &tally->n_missing, "%s: %s: missing, expected %s F32", file,
               param->name + (is_bare ? strlen(prefix) : 0), should);
    }
    if (n_counters > 0 && tally->line[0] == '\0')
        fx_log_warn("%s: %d counters num_batches_tracked are missing: set to 0", file, n_counters);
}

int fx_assembly_tally_total(const struct fx_assembly_tally *tally)
{
    return tally->n_missing + tally->n_unknown + tally->n_shape + tally->n_dtype + tally->n_double +
           tally->n_values;
}

enum fx_status fx_assembly_judge(struct fx_assembly *assembly, struct fx_assembly_tally *tally,
                                 const char *file, const char *arch, const char *hint,
                                 struct fx_err *err)
{
    const struct {
        int n;
        const char *what;
    } counts[] = {
        { tally->n_missing, "missing" },        { tally->n_unknown, "unknown" },
        { tally->n_shape, "of another shape" }, { tally->n_dtype, "of another dtype" },
        { tally->n_double, "given twice" },     { tally->n_values, "with values not finite" },
    };
    int n = fx_assembly_tally_total(tally);
    char text[128] = "";

    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        size_t at = strlen(text);
        if (counts[i].n > 0)
            snprintf(text + at, sizeof(text) - at, "%s%d %s", at > 0 ? ", " : "", counts[i].n,
                     counts[i].what);
    }
    if (n == 0 && tally->n_converted > 0)
        fx_log_warn("%s: %d tensors are converted to F32", file, tally->n_converted);
    if (n == 0)
        return FX_OK;
    if (n == 1 && !hint && assembly->n_lines++ < FX_ASSEMBLY_LINES_MAX)
        return fx_fail(err, FX_EINPUT, "%s", tally->line);
    say_line(assembly, tally);
    if (tally->n_hidden > 0)
        fx_log_error("%s: differences not shown: %d", file, tally->n_hidden);
    return fx_fail(err, FX_EINPUT, "%s: does not fit %s: %s%s%s", file, arch, text,
                   hint ? "; " : "", hint ? hint : "");
}

/* ---- bytes ----------------------------------------------------------------------------------- */

enum fx_status fx_assembly_describe(const struct fx_assembly *assembly, struct fx_tensor_set *set,
                                    struct fx_err *err)
{
    for (int i = 0; i < assembly->graph->n_params; i++) {
        const struct fx_param *param = &assembly->graph->params[i];
        const struct fx_tensor *tensor = assembly->parts[i].tensor;
        bool is_ready = tensor && tensor->dtype == dtype_of(param);
        FX_TRY(fx_tensor_set_add(set, param->name, dtype_of(param), param->n_dims, param->shape,
                                 is_ready ? tensor->data : NULL, err));
    }
    return FX_OK;
}

enum fx_status fx_assembly_fetch(void *ctx, const struct fx_tensor *tensor, void *buf,
                                 struct fx_err *err)
{
    const struct fx_assembly *assembly = ctx;
    int number = fx_graph_find_param(assembly->graph, tensor->name);
    const struct fx_tensor *source = assembly->parts[number].tensor;
    bool is_inexact;

    memset(buf, 0, tensor->n_bytes);
    if (!source)
        return FX_OK; /* a counter that no file had */
    return fx_convert_to_f32(source->dtype, source->data, tensor->n_bytes / sizeof(float), buf,
                             &is_inexact, err);
}
