/* The header of a safetensors file, checked but not yet bound to bytes: private to lib/tensor. */
#ifndef FX_TENSOR_SAFETENSORS_HEADER_INTERNAL_H
#define FX_TENSOR_SAFETENSORS_HEADER_INTERNAL_H

#include "tensor/tensor.h"

#include <jansson.h>

/* u64 little endian N, N bytes of JSON, the tensors' bytes. */
enum { FX_SAFETENSORS_LENGTH_BYTES = 8, FX_SAFETENSORS_HEADER_BYTES_MAX = 100 * 1000 * 1000 };

struct fx_safetensors_entry {
    const char *name; /* borrowed from root */
    enum fx_dtype dtype;
    int n_dims;
    int64_t shape[FX_MAX_DIMS];
    size_t begin, end; /* in the buffer after the header */
};

struct fx_safetensors_header {
    json_t *root;                         /* owned */
    struct fx_safetensors_entry *entries; /* owned; sorted by (begin, end), without holes */
    size_t n_entries;
    size_t buffer_bytes; /* how many bytes follow the header */
};

/* fx_safetensors_header_length: N of the first eight bytes; FX_EINPUT beyond 100,000,000. */
enum fx_status fx_safetensors_header_length(const uint8_t bytes[FX_SAFETENSORS_LENGTH_BYTES],
                                            const char *name, size_t *n,
                                            struct fx_err *err) FX_MUST_CHECK;

/* fx_safetensors_header_parse: JSON to entries under all rules that need no tensor bytes; adds the
 * metadata to the set.  Call _fini in any case. */
enum fx_status fx_safetensors_header_parse(struct fx_safetensors_header *header,
                                           struct fx_tensor_set *set, const char *json, size_t n,
                                           const char *name, struct fx_err *err) FX_MUST_CHECK;
void fx_safetensors_header_fini(struct fx_safetensors_header *header);

#endif
