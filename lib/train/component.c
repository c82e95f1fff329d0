/* Opening a file that holds a model or a part of it, whatever its format. */
#include "train/component.h"

#include "archive/pth.h"
#include "tensor/safetensors.h"

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

void fx_component_close(struct fx_component *component)
{
    fx_tensor_set_fini(&component->set);
    fx_input_close(&component->input);
}
