/* Opening a file that holds a model or a part of it, whatever its format. */
#include "train/component.h"

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

enum fx_status fx_component_open(struct fx_component *component, const char *path,
                                 struct fx_err *err)
{
    struct fx_input *in = &component->input;

    *component = (struct fx_component){ 0 };
    FX_TRY(fx_input_open(in, path, err));
    if (!fx_pth_is_pth(in->bytes, in->n_bytes) && is_safetensors(in))
        return fx_safetensors_parse(&component->set, in->bytes, in->n_bytes, in->name, err);
    return fx_pth_read(&component->set, in, err);
}

/* ---- which expert ---------------------------------------------------------------------------- */

/* "expert_backbones.2": 2. */
static int number_of(const char *name)
{
    static const char prefix[] = "expert_backbones.";
    size_t n = sizeof prefix - 1;

    if (name == NULL || strncmp(name, prefix, n) != 0)
        return -1;
    return name[n] >= '0' && name[n] <= '9' && name[n + 1] == '\0' ? name[n] - '0' : -1;
}

/* FILE.json beside FILE.pth; NULL when there is none. */
static json_t *read_json_beside(const char *file)
{
    const char *slash = strrchr(file, '/'), *dot = strrchr(slash != NULL ? slash : file, '.');
    char path[4096];
    json_error_t error;

    if (dot == NULL ||
        snprintf(path, sizeof path, "%.*s.json", (int)(dot - file), file) >= (int)sizeof path)
        return NULL;
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return NULL;
    json_t *root = json_loadf(in, 0, &error);
    fclose(in);
    if (root == NULL)
        fx_log_warn("%s: line %d: %s; ignored", path, error.line, error.text);
    return root;
}

int fx_component_expert(const struct fx_component *component)
{
    const char *name = fx_tensor_set_meta(&component->set, "component");

    if (name != NULL)
        return number_of(name);
    json_t *root = read_json_beside(component->input.name);
    int number = number_of(json_string_value(json_object_get(root, "component")));
    json_decref(root);
    return number;
}

void fx_component_close(struct fx_component *component)
{
    fx_tensor_set_fini(&component->set);
    fx_input_close(&component->input);
}
