/* The binary CIFAR layout: fixed records, label names as text.
 *
 *   CIFAR-100: coarse u8 | fine u8 | 1024 red | 1024 green | 1024 blue      3074 bytes
 *   CIFAR-10:  label u8            | 1024 red | 1024 green | 1024 blue      3073 bytes */
#include "archive/cifar_internal.h"

#include <stdlib.h>
#include <string.h>

enum fx_status fx_cifar_binary_batch(uint8_t **bytes, size_t n_bytes, bool has_coarse,
                                     struct fx_cifar_part *part, const char *where,
                                     struct fx_err *err)
{
    const size_t n_labels = has_coarse ? 2 : 1;
    const size_t record_bytes = n_labels + FX_CIFAR_IMAGE_BYTES;

    if (n_bytes == 0 || n_bytes % record_bytes != 0)
        return fx_fail(err, FX_EINPUT, "%s: %zu bytes are not whole records of %zu bytes", where,
                       n_bytes, record_bytes);
    FX_TRY(fx_cifar_part_init(part, n_bytes / record_bytes, where, err));
    part->images = *bytes;
    *bytes = NULL;
    /* Close the gaps that the labels leave, from the front: a move never reaches unread bytes. */
    for (size_t i = 0; i < part->n; i++) {
        const uint8_t *record = part->images + i * record_bytes;
        if (has_coarse)
            part->coarse[i] = record[0];
        part->fine[i] = record[n_labels - 1];
        memmove(part->images + i * FX_CIFAR_IMAGE_BYTES, record + n_labels, FX_CIFAR_IMAGE_BYTES);
    }
    return FX_OK;
}

enum fx_status fx_cifar_binary_names(const uint8_t *bytes, size_t n_bytes,
                                     struct fx_cifar_names *names, const char *where,
                                     struct fx_err *err)
{
    /* The official files end with an empty line. */
    while (n_bytes > 0 && (bytes[n_bytes - 1] == '\n' || bytes[n_bytes - 1] == '\r'))
        n_bytes--;
    for (size_t at = 0; at < n_bytes;) {
        const uint8_t *newline = memchr(bytes + at, '\n', n_bytes - at);
        size_t n_line = newline ? (size_t)(newline - bytes) - at : n_bytes - at;
        size_t n_text = n_line > 0 && bytes[at + n_line - 1] == '\r' ? n_line - 1 : n_line;
        FX_TRY(fx_cifar_names_add(names, bytes + at, n_text, where, err));
        at += n_line + 1;
    }
    return FX_OK;
}
