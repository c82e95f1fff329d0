/* Opening a file that holds a model or a part of it, whatever its format. */
#include "checkpoint/component.h"

#include "archive/pth.h"
#include "base/log.h"
#include "tensor/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { LENGTH_BYTES = 8, HEADER_BYTES_MAX = 100000000 };

/* A safetensors file begins with the length of its header, then the header's '{'.  A file whose
 * name says so is read as one in any case, for the better message. */
static bool is_safetensors(const struct fx_input *in)
{
    const char *dot = strrchr(in->name, '.');
    uint64_t n_header = 0;

    if (dot && strcmp(dot, ".safetensors") == 0)
        return true;
    if (in->n_bytes <= LENGTH_BYTES)
        return false;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        n_header = n_header << 8 | in->bytes[i];
    return n_header <= HEADER_BYTES_MAX && strchr("{ \t\r\n", in->bytes[LENGTH_BYTES]);
}

static enum fx_status read_file(struct fx_component *component, const char *path,
                                struct fx_err *err)
{
    struct fx_input *in = &component->input;

    FX_TRY(fx_input_open(in, path, err));
    if (!fx_pth_is_pth(in->bytes, in->n_bytes) && is_safetensors(in))
        return fx_safetensors_parse(&component->set, in->bytes, in->n_bytes, in->name, err);
    return fx_pth_read(&component->set, in, err);
}

/* Tensors of something else would only be compared in vain: they are looked at in any case. */
enum fx_status fx_component_open(struct fx_component *component, const char *path,
                                 enum fx_wanted wanted, struct fx_err *err)
{
    const struct fx_input *in = &component->input;

    *component = (struct fx_component){ 0 };
    if (read_file(component, path, err) != FX_OK)
        return fx_kind_explain(wanted, &component->input, err);
    return fx_kind_check(wanted, in->name, in->bytes, in->n_bytes, err);
}

/* ---- what is said beside the tensors --------------------------------------------------------- */

/* FILE.json beside FILE.pth; NULL when there is none. */
static json_t *read_json_beside(const char *file)
{
    const char *slash = strrchr(file, '/'), *dot = strrchr(slash ? slash : file, '.');
    char path[4096];
    json_error_t error;

    if (!dot ||
        snprintf(path, sizeof path, "%.*s.json", (int)(dot - file), file) >= (int)sizeof path)
        return NULL;
    FILE *in = fopen(path, "r");
    if (!in)
        return NULL;
    json_t *root = json_loadf(in, 0, &error);
    fclose(in);
    if (!root)
        fx_log_warn("%s: line %d: %s; ignored", path, error.line, error.text);
    return root;
}

/* The text of a key: of the component, or of the checkpoint that it was taken from, where every
 * value is the text that stood in it. */
static const char *text_of(const json_t *root, const char *key, char *buf, size_t n)
{
    const json_t *value = json_object_get(root, key);

    if (json_is_integer(value)) {
        snprintf(buf, n, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return buf;
    }
    if (!json_is_string(value))
        value = json_object_get(json_object_get(root, "checkpoint"), key);
    return json_string_value(value);
}

enum fx_status fx_component_read_beside(struct fx_component *component, struct fx_err *err)
{
    static const char *const keys[] = {
        "component", "arch", "fusion", "classes",     "experts",
        "epoch",     "step", "seed",   "data_digest", "val_accuracy"
    };
    struct fx_tensor_set *set = &component->set;
    enum fx_status status = FX_OK;
    char number[32];

    if (fx_tensor_set_meta(set, "component"))
        return FX_OK;
    json_t *root = read_json_beside(component->input.name);
    bool is_ours = json_is_string(json_object_get(root, "component"));
    for (size_t i = 0; is_ours && status == FX_OK && i < sizeof keys / sizeof *keys; i++) {
        const char *text = text_of(root, keys[i], number, sizeof number);
        if (text && !fx_tensor_set_meta(set, keys[i]))
            status = fx_tensor_set_put_meta(set, keys[i], text, err);
    }
    json_decref(root);
    return status;
}

/* "expert_backbones.2": 2. */
int fx_component_expert(const struct fx_component *component)
{
    static const char prefix[] = "expert_backbones.";
    const char *name = fx_tensor_set_meta(&component->set, "component");
    size_t n = sizeof prefix - 1;

    if (!name || strncmp(name, prefix, n) != 0)
        return -1;
    return name[n] >= '0' && name[n] <= '9' && name[n + 1] == '\0' ? name[n] - '0' : -1;
}

void fx_component_close(struct fx_component *component)
{
    fx_tensor_set_fini(&component->set);
    fx_input_close(&component->input);
}
