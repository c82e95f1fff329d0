/* The members of a CIFAR archive, one function for each kind: between archive/cifar.c, which knows
 * the members' names, and the two encodings.
 *
 * A batch decoder takes over *bytes (malloc'ed, *bytes becomes NULL) and turns it into the part's
 * images where it stands.  `where` is "ARCHIVE: MEMBER", for messages.  All fail with FX_EINPUT. */
#ifndef FX_ARCHIVE_CIFAR_DECODE_INTERNAL_H
#define FX_ARCHIVE_CIFAR_DECODE_INTERNAL_H

#include "archive/cifar.h"

#include <stdbool.h>

/* cifar_binary.c: records of labels (coarse and fine, or one) and 3072 pixels; names one a line. */
enum fx_status fx_cifar_binary_batch(uint8_t **bytes, size_t n_bytes, bool has_coarse,
                                     struct fx_cifar_part *part, const char *where,
                                     struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_cifar_binary_names(const uint8_t *bytes, size_t n_bytes,
                                     struct fx_cifar_names *names, const char *where,
                                     struct fx_err *err) FX_MUST_CHECK;

/* cifar_python.c: pickled dicts of Python 2 or 3, lists of labels and a NumPy array (n, 3072). */
enum fx_status fx_cifar_python_batch(uint8_t **bytes, size_t n_bytes, bool has_coarse,
                                     struct fx_cifar_part *part, const char *where,
                                     struct fx_err *err) FX_MUST_CHECK;
/* !coarse: the meta of CIFAR-10. */
enum fx_status fx_cifar_python_names(const uint8_t *bytes, size_t n_bytes,
                                     struct fx_cifar_names *fine, struct fx_cifar_names *coarse,
                                     const char *where, struct fx_err *err) FX_MUST_CHECK;

/* cifar_part.c: memory of parts and names. */
enum fx_status fx_cifar_part_init(struct fx_cifar_part *part, size_t n, const char *where,
                                  struct fx_err *err) FX_MUST_CHECK; /* labels of 0, no images */
void fx_cifar_part_free(struct fx_cifar_part *part);
/* Appends all images of `from` and frees it. */
enum fx_status fx_cifar_part_append(struct fx_cifar_part *part, struct fx_cifar_part *from,
                                    const char *where, struct fx_err *err) FX_MUST_CHECK;
/* Appends a copy; FX_EINPUT when it is empty, not printable UTF-8 or one too many. */
enum fx_status fx_cifar_names_add(struct fx_cifar_names *names, const uint8_t *text, size_t n,
                                  const char *where, struct fx_err *err) FX_MUST_CHECK;
void fx_cifar_names_free(struct fx_cifar_names *names);

#endif
