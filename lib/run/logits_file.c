/* One tensor for each head that the model computes. */
#include "run/logits_file.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 24 };

static const char *head_name(int head, char name[NAME_BYTES])
{
    if (head == FX_HEAD_FUSED)
        return "global";
    snprintf(name, NAME_BYTES, "expert.%d", head);
    return name;
}

enum fx_status fx_logits_init(struct fx_tensor_set *set, const struct fx_subset *subset,
                              const struct fx_graph *graph, const char *arch, struct fx_err *err)
{
    int64_t shape[2] = { subset->n, graph->n_classes };
    char name[NAME_BYTES];
    void *data;

    for (int head = graph->fused >= 0 ? FX_HEAD_FUSED : 0; head < graph->n_experts; head++)
        FX_TRY(fx_tensor_set_alloc(set, head_name(head, name), FX_F32, 2, shape, &data, err));
    FX_TRY(fx_tensor_set_put_meta(set, "split", subset->name, err));
    return fx_tensor_set_put_meta(set, "arch", arch, err);
}

enum fx_status fx_logits_take(void *ctx, int head, int64_t first, int n, const float *logits,
                              struct fx_err *err)
{
    char buf[NAME_BYTES];
    const char *name = head_name(head, buf);

    if (head == FX_HEAD_ENSEMBLE)
        return FX_OK;
    struct fx_tensor *tensor = fx_tensor_set_find(ctx, name);
    if (!tensor)
        return fx_fail(err, FX_EFAIL, "%s: no place for these logits", name);
    size_t classes = (size_t)tensor->shape[1];
    memcpy((float *)tensor->data + (size_t)first * classes, logits,
           (size_t)n * classes * sizeof *logits);
    return FX_OK;
}
