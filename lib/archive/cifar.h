/* CIFAR archives: the official .tar.gz files, read whole and checked.
 *
 * Four layouts are known by the names of their members, in any order, in any folder, with any
 * number of records:
 *   CIFAR-100 python   train, test, meta
 *   CIFAR-100 binary   train.bin, test.bin, fine_label_names.txt, coarse_label_names.txt
 *   CIFAR-10 python    data_batch_1 ... data_batch_5, test_batch, batches.meta
 *   CIFAR-10 binary    data_batch_1.bin ... data_batch_5.bin, test_batch.bin, batches.meta.txt
 * Source: https://www.cs.toronto.edu/~kriz/cifar.html */
#ifndef FX_ARCHIVE_CIFAR_H
#define FX_ARCHIVE_CIFAR_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fx_cifar_layout {
    FX_CIFAR100_PYTHON,
    FX_CIFAR100_BINARY,
    FX_CIFAR10_PYTHON,
    FX_CIFAR10_BINARY,
    FX_N_CIFAR_LAYOUTS
};

enum { FX_CIFAR_IMAGE_BYTES = 3 * 32 * 32, FX_CIFAR_NAMES_MAX = 256 };

/* Images with their labels: images (n, 3, 32, 32) as red, green and blue planes. */
struct fx_cifar_part {
    uint8_t *images, *fine, *coarse; /* owned */
    size_t n;
};

struct fx_cifar_names {
    char **names; /* owned, UTF-8 */
    size_t n;
};

struct fx_cifar {
    enum fx_cifar_layout layout;
    struct fx_cifar_part train, test;
    struct fx_cifar_names fine;   /* a label is a position in this list */
    struct fx_cifar_names coarse; /* CIFAR-10 has none: one name, "all", and labels of 0 */
};

/* fx_cifar_read: reads an archive (path "-" or NULL: stdin).  FX_EINPUT when it is damaged, when
 * members are missing, occur twice or belong to two layouts, when counts of labels and images
 * differ, a label has no name or a part has no image.  Peak memory is that of the images and the
 * largest batch's pickled labels (the pixels stay where they were inflated).  Free after success.
 */
enum fx_status fx_cifar_read(struct fx_cifar *cifar, const char *path,
                             struct fx_err *err) FX_MUST_CHECK;
void fx_cifar_free(struct fx_cifar *cifar); /* accepts a zeroed record */

/* The archives of corrupted test images, CIFAR-10-C and CIFAR-100-C: CORRUPTION.npy of bytes
 * (5 n, 32, 32, 3), the n test images at severity 1, then at 2, up to 5; labels.npy of n or 5 n
 * integers.  Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
 * Corruptions and Perturbations" (2019), https://zenodo.org/records/3555552. */
enum { FX_CORRUPTIONS_MAX = 64, FX_CORRUPTION_NAME_BYTES = 40, FX_SEVERITIES = 5 };
struct fx_cifar_corrupted {
    struct {
        char name[FX_CORRUPTION_NAME_BYTES];
        uint8_t *images;              /* owned; (5, n, 3, 32, 32) */
    } corruption[FX_CORRUPTIONS_MAX]; /* in the order of their names */
    int n_corruptions;
    uint8_t *fine; /* owned; (n) */
    size_t n;
};

/* fx_cifar_corrupted_read: as fx_cifar_read.  All images are in memory: 154 MB a corruption of the
 * official archives. */
enum fx_status fx_cifar_corrupted_read(struct fx_cifar_corrupted *corrupted, const char *path,
                                       struct fx_err *err) FX_MUST_CHECK;
void fx_cifar_corrupted_free(struct fx_cifar_corrupted *corrupted); /* accepts a zeroed record */

/* "cifar-100-python" ...: the name of the folder in the official archive of that layout. */
const char *fx_cifar_layout_name(enum fx_cifar_layout layout);
bool fx_cifar_is_cifar10(enum fx_cifar_layout layout);

#endif
