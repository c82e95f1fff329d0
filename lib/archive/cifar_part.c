/* Memory of a CIFAR part and of label names (see cifar_internal.h). */
#include "archive/cifar_internal.h"

#include <stdlib.h>
#include <string.h>

enum fx_status fx_cifar_part_init(struct fx_cifar_part *part, size_t n, const char *where,
                                  struct fx_err *err)
{
    *part = (struct fx_cifar_part){ .fine = calloc(n, 1), .coarse = calloc(n, 1), .n = n };
    if (part->fine && part->coarse)
        return FX_OK;
    fx_cifar_part_free(part);
    return fx_fail(err, FX_EFAIL, "%s: out of memory", where);
}

void fx_cifar_part_free(struct fx_cifar_part *part)
{
    free(part->images);
    free(part->fine);
    free(part->coarse);
    *part = (struct fx_cifar_part){ 0 };
}

/* Appends n_from blocks of `size` bytes to the n_to blocks at *to, and frees the source at once, so
 * that only one batch is ever there twice. */
static bool append_blocks(uint8_t **to, size_t n_to, uint8_t **from, size_t n_from, size_t size)
{
    uint8_t *grown = realloc(*to, (n_to + n_from) * size);

    if (!grown)
        return false;
    memcpy(grown + n_to * size, *from, n_from * size);
    free(*from);
    *from = NULL;
    *to = grown;
    return true;
}

enum fx_status fx_cifar_part_append(struct fx_cifar_part *part, struct fx_cifar_part *from,
                                    const char *where, struct fx_err *err)
{
    if (part->n == 0) {
        *part = *from;
        *from = (struct fx_cifar_part){ 0 };
        return FX_OK;
    }
    if (!append_blocks(&part->images, part->n, &from->images, from->n, FX_CIFAR_IMAGE_BYTES) ||
        !append_blocks(&part->fine, part->n, &from->fine, from->n, 1) ||
        !append_blocks(&part->coarse, part->n, &from->coarse, from->n, 1))
        return fx_fail(err, FX_EFAIL, "%s: out of memory", where);
    part->n += from->n;
    from->n = 0;
    return FX_OK;
}

/* Whether n bytes are UTF-8 without control characters (RFC 3629: no surrogates, no overlong forms,
 * nothing above U+10FFFF). */
static bool is_printable_utf8(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t c = s[i++];
        int n_more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : -1;
        static const uint32_t first[] = { 0x20, 0xA0, 0x800, 0x10000 };

        if (n_more < 0 || n - i < (size_t)n_more)
            return false;
        if (n_more > 0)
            c &= 0x3Fu >> n_more;
        for (int k = 0; k < n_more; k++, i++) {
            if (s[i] >> 6 != 2)
                return false;
            c = c << 6 | (s[i] & 0x3F);
        }
        if (c < first[n_more] || c == 0x7F || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF)
            return false;
    }
    return true;
}

enum fx_status fx_cifar_names_add(struct fx_cifar_names *names, const uint8_t *text, size_t n,
                                  const char *where, struct fx_err *err)
{
    if (n == 0 || !is_printable_utf8(text, n))
        return fx_fail(err, FX_EINPUT, "%s: label name %zu is empty or not printable UTF-8", where,
                       names->n);
    if (names->n == FX_CIFAR_NAMES_MAX)
        return fx_fail(err, FX_EINPUT, "%s: more than %d label names", where, FX_CIFAR_NAMES_MAX);
    if (!names->names)
        names->names = calloc(FX_CIFAR_NAMES_MAX, sizeof *names->names);
    char *copy = names->names ? strndup((const char *)text, n) : NULL;
    if (!copy)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", where);
    names->names[names->n++] = copy;
    return FX_OK;
}

void fx_cifar_names_free(struct fx_cifar_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct fx_cifar_names){ 0 };
}
