/* What a checkpoint or experts stream claims to be, and whether its tensors agree. */
#include "checkpoint/checkpoint.h"

#include "base/log.h"
#include "base/words.h"

#include <stdlib.h>
#include <string.h>

/* ---- metadata -------------------------------------------------------------------------------- */

static enum fx_status get_text(const struct fx_tensor_set *set, const char *key, const char **value,
                               struct fx_err *err)
{
    *value = fx_tensor_set_meta(set, key);
    if (!*value || **value == '\0')
        return fx_fail(err, FX_EINPUT, "metadata: no \"%s\": not an experts stream or checkpoint",
                       key);
    return FX_OK;
}

enum fx_status fx_fused_form_parse(const char *text, enum fx_fused_form *form, struct fx_err *err)
{
    int number = text ? fx_word_find(FX_FUSED_FORMS, text) : FX_FUSED_HEAD;

    if (number < 0)
        return fx_fail(err, FX_EINPUT, "metadata: fused is \"%s\", not one of " FX_FUSED_FORMS,
                       text);
    *form = (enum fx_fused_form)number;
    return FX_OK;
}

static enum fx_status get_count(const struct fx_tensor_set *set, const char *key, long min,
                                long max, int *value, struct fx_err *err)
{
    const char *text;
    char *end;

    FX_TRY(get_text(set, key, &text, err));
    long n = strtol(text, &end, 10);
    if (*end != '\0' || strspn(text, "0123456789") != strlen(text) || n < min || n > max)
        return fx_fail(err, FX_EINPUT, "metadata: %s is \"%s\", not a number from %ld to %ld", key,
                       text, min, max);
    *value = (int)n;
    return FX_OK;
}

/* Extra metadata is fine. */
static enum fx_status get_info(const struct fx_tensor_set *set, struct fx_checkpoint_info *info,
                               struct fx_err *err)
{
    *info = (struct fx_checkpoint_info){ 0 };
    FX_TRY(get_text(set, "arch", &info->arch, err));
    FX_TRY(get_count(set, "experts", 1, FX_GRAPH_MAX_EXPERTS, &info->n_experts, err));
    FX_TRY(get_count(set, "classes", 2, 256, &info->n_classes, err));
    info->fusion = fx_tensor_set_meta(set, "fusion");
    return fx_fused_form_parse(fx_tensor_set_meta(set, "fused"), &info->fused, err);
}

/* Components have the same metadata; their tensors would only be compared in vain. */
static enum fx_status read_info(const struct fx_tensor_file *file, enum fx_wanted wanted,
                                struct fx_checkpoint_info *info, struct fx_err *err)
{
    const struct fx_input *in = &file->input;

    FX_TRY(fx_kind_check(wanted, in->name, in->bytes, in->n_bytes, err));
    if (get_info(&file->set, info, err) != FX_OK)
        return fx_err_prepend(err, "%s: ", in->name);
    return FX_OK;
}

enum fx_status fx_checkpoint_open(struct fx_tensor_file *file, const char *path,
                                  enum fx_wanted wanted, struct fx_checkpoint_info *info,
                                  struct fx_err *err)
{
    enum fx_status status = fx_tensor_file_read(file, path, err);

    if (status == FX_OK)
        status = read_info(file, wanted, info, err);
    return status == FX_OK ? FX_OK : fx_kind_explain(wanted, &file->input, err);
}

enum fx_status fx_checkpoint_build(struct fx_graph *graph, const struct fx_model_config *config,
                                   struct fx_err *err)
{
    enum fx_status status = fx_model_build(graph, config, err);

    if (status != FX_EUSAGE)
        return status;
    err->status = FX_EINPUT;
    return fx_err_prepend(err, "metadata: ");
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* The first difference is the error record.  When there are more, each is a line on the log; one
 * alone is said once. */
struct report {
    struct fx_err *err;
    int n;
};

static void differ(struct report *report, const char *what, const char *name, const char *detail)
{
    const char *colon = *detail != '\0' ? ": " : "";

    if (++report->n == 1) {
        fx_fail(report->err, FX_EINPUT, "%s: %s%s%s", name, what, colon, detail);
        return;
    }
    if (report->n == 2)
        fx_log_error("%s", report->err->msg);
    fx_log_error("%s: %s%s%s", name, what, colon, detail);
}

static enum fx_status conclude(const struct report *report, const char *what)
{
    if (report->n > 1)
        return fx_err_prepend(report->err, "%d %s, the first: ", report->n, what);
    return report->n == 0 ? FX_OK : FX_EINPUT;
}

bool fx_param_fits(const struct fx_param *param, const struct fx_tensor *tensor)
{
    return tensor->n_dims == param->n_dims &&
           memcmp(tensor->shape, param->shape, (size_t)param->n_dims * sizeof *param->shape) == 0;
}

static void compare(struct report *report, const struct fx_tensor *tensor,
                    const struct fx_param *param)
{
    enum fx_dtype wanted = fx_param_dtype(param);
    char is[96], should[96], detail[256];

    if (!fx_param_fits(param, tensor)) {
        fx_shape_text(tensor->n_dims, tensor->shape, is, sizeof is);
        fx_shape_text(param->n_dims, param->shape, should, sizeof should);
        snprintf(detail, sizeof detail, "%s, expected %s", is, should);
        differ(report, "shape", tensor->name, detail);
    }
    if (tensor->dtype != wanted) {
        snprintf(detail, sizeof detail, "%s, expected %s", fx_dtype_name(tensor->dtype),
                 fx_dtype_name(wanted));
        differ(report, "dtype", tensor->name, detail);
    }
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_of_fusion(const char *name)
{
    return starts_with(name, "fusion_module.") || starts_with(name, "global_head.");
}

static bool has_fusion(const struct fx_tensor_set *set)
{
    for (size_t i = 0; i < set->n_tensors; i++)
        if (is_of_fusion(set->tensors[i].name))
            return true;
    return false;
}

static void find_unknown(struct report *report, const struct fx_tensor_set *set,
                         const struct fx_graph *graph)
{
    for (size_t i = 0; i < set->n_tensors; i++) {
        const char *name = set->tensors[i].name;
        if (!starts_with(name, "optimizer.") && !starts_with(name, "train.") &&
            fx_graph_find_param(graph, name) < 0)
            differ(report, "not in this architecture", name, "");
    }
}

enum fx_status fx_checkpoint_check(const struct fx_tensor_set *set, const struct fx_graph *graph,
                                   bool need_fusion, struct fx_err *err)
{
    struct report report = { .err = err };
    bool want_fusion = need_fusion || has_fusion(set);

    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_param *param = &graph->params[i];
        const struct fx_tensor *tensor = fx_tensor_set_find(set, param->name);
        if (tensor)
            compare(&report, tensor, param);
        else if (want_fusion || !is_of_fusion(param->name))
            differ(&report, "missing", param->name, "");
    }
    find_unknown(&report, set, graph);
    return conclude(&report, "differences");
}

enum fx_status fx_checkpoint_check_values(const struct fx_tensor_set *set,
                                          const struct fx_graph *graph, struct fx_err *err)
{
    struct report report = { .err = err };
    char detail[64];

    for (int i = 0; i < graph->n_params; i++) {
        const struct fx_tensor *tensor = fx_tensor_set_find(set, graph->params[i].name);
        size_t n = tensor ? fx_tensor_count_nonfinite(tensor) : 0;
        snprintf(detail, sizeof detail, "%zu", n);
        if (n > 0)
            differ(&report, "values that are not finite", tensor->name, detail);
    }
    return conclude(&report, "tensors with values that are not finite");
}
