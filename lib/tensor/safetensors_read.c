/* Reading safetensors: length, header, then exactly the bytes that the header announces. */
#include "tensor/safetensors.h"

#include "tensor/safetensors_header_internal.h"

#include <string.h>
#include <unistd.h>

/* Adds the entries in file order; base is where the header ends. */
static enum fx_status bind(struct fx_tensor_set *set, const struct fx_safetensors_header *header,
                           const uint8_t *base, const char *name, struct fx_err *err)
{
    for (size_t i = 0; i < header->n_entries; i++) {
        const struct fx_safetensors_entry *entry = &header->entries[i];
        if (fx_tensor_set_add(set, entry->name, entry->dtype, entry->n_dims, entry->shape,
                              base + entry->begin, err) != FX_OK)
            return fx_err_prepend(err, "%s: ", name);
    }
    return FX_OK;
}

/* One path for files and streams: what a mapping has at once, a stream reads as it is needed. */
static enum fx_status read_input(struct fx_tensor_set *set, struct fx_input *in, struct fx_err *err)
{
    struct fx_safetensors_header header = { 0 };
    const size_t n_length = FX_SAFETENSORS_LENGTH_BYTES;
    enum fx_status status;
    size_t n_json;

    FX_TRY(fx_input_need(in, n_length, err)); /* rule 1 */
    FX_TRY(fx_safetensors_header_length(in->bytes, in->name, &n_json, err));
    FX_TRY(fx_input_need(in, n_length + n_json, err)); /* rule 3 */
    FX_TRY_OUT(fx_safetensors_header_parse(&header, set, (const char *)in->bytes + n_length, n_json,
                                           in->name, err));
    /* Offsets are below 2^63, so the sum cannot overflow. */
    size_t n_all = n_length + n_json + header.buffer_bytes;
    FX_TRY_OUT(fx_input_need(in, n_all, err)); /* rule 10 */
    FX_TRY_OUT(fx_input_expect_end(in, n_all, err));
    FX_TRY_OUT(bind(set, &header, in->bytes + n_length + n_json, in->name, err));
out:
    fx_safetensors_header_fini(&header);
    return status;
}

enum fx_status fx_safetensors_parse(struct fx_tensor_set *set, const uint8_t *bytes, size_t n_bytes,
                                    const char *name, struct fx_err *err)
{
    struct fx_input borrowed = { .bytes = bytes, .n_bytes = n_bytes, .name = name };

    return read_input(set, &borrowed, err);
}

enum fx_status fx_tensor_file_read(struct fx_tensor_file *file, const char *path,
                                   struct fx_err *err)
{
    *file = (struct fx_tensor_file){ 0 };
    if ((!path || strcmp(path, "-") == 0) && isatty(STDIN_FILENO))
        return fx_fail(err, FX_EUSAGE,
                       "stdin: is a terminal; name a file or pipe a safetensors stream in");
    FX_TRY(fx_input_begin(&file->input, path, err));
    return read_input(&file->set, &file->input, err);
}

void fx_tensor_file_close(struct fx_tensor_file *file)
{
    fx_tensor_set_fini(&file->set);
    fx_input_close(&file->input);
    *file = (struct fx_tensor_file){ 0 };
}
