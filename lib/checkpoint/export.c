/* The checkpoint's tensors, renamed. */
#include "checkpoint/component.h"

#include "archive/pth.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <string.h>

static const char prefix[] = "expert_backbones.0.";

static enum fx_status strip_names(const struct fx_tensor_set *from, const struct fx_graph *graph,
                                  struct fx_tensor_set *to, struct fx_err *err)
{
    for (int i = 0; i < graph->n_params; i++) {
        const char *name = graph->params[i].name;
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        const struct fx_tensor *tensor = fx_tensor_set_find(from, name);
        if (!tensor)
            return fx_fail(err, FX_EINPUT, "%s: missing", name);
        FX_TRY(fx_tensor_set_add(to, name + strlen(prefix), tensor->dtype, tensor->n_dims,
                                 tensor->shape, tensor->data, err));
    }
    for (size_t i = 0; i < from->n_meta; i++)
        FX_TRY(fx_tensor_set_put_meta(to, from->meta[i].key, from->meta[i].value, err));
    return FX_OK;
}

static bool is_pth(const char *path)
{
    const char *dot = path ? strrchr(path, '.') : NULL;

    return dot && (strcmp(dot, ".pth") == 0 || strcmp(dot, ".pt") == 0);
}

/* "expert_0_best" of "out/expert_0_best.pth": the folder inside the zip, as torch.save names it. */
static const char *root_name(const char *path, char *buf, size_t n)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;

    snprintf(buf, n, "%.*s", (int)(strrchr(base, '.') - base), base);
    return buf;
}

static enum fx_status write_file(const struct fx_tensor_set *set, const char *path,
                                 struct fx_err *err)
{
    const char *name = path ? path : "stdout";
    struct fx_output out;
    char root[256];
    enum fx_status status;

    FX_TRY(fx_output_open(&out, path, true, err));
    if (is_pth(path))
        status = fx_pth_write(set, out.fd, root_name(path, root, sizeof root), name, err);
    else
        status = fx_safetensors_write(set, out.fd, name, NULL, NULL, err);
    if (status == FX_OK)
        return fx_output_commit(&out, err);
    fx_output_abandon(&out);
    return status;
}

enum fx_status fx_export_expert(const char *checkpoint, const struct fx_graph *graph,
                                const char *path, struct fx_err *err)
{
    struct fx_tensor_file from = { 0 };
    struct fx_tensor_set to;
    enum fx_status status;

    fx_tensor_set_init(&to);
    FX_TRY_OUT(fx_tensor_file_read(&from, checkpoint, err));
    FX_TRY_OUT(strip_names(&from.set, graph, &to, err));
    FX_TRY_OUT(write_file(&to, path, err));
out:
    fx_tensor_set_fini(&to);
    fx_tensor_file_close(&from);
    return status;
}
