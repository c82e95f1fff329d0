/* Corrupted test images in one file (fusion-dataset(5)): what cifar-prep --corrupted writes and
 * fusion-eval --corrupted measures. */
#ifndef FX_DATA_CORRUPTED_H
#define FX_DATA_CORRUPTED_H

#include "data/dataset.h"

enum { FX_CORRUPTED_MAX = 64, FX_CORRUPTED_SEVERITIES = 5 };

struct fx_corrupted {
    struct fx_tensor_file file; /* owned; after fx_corrupted_open only */
    int n_corruptions;
    const char *name[FX_CORRUPTED_MAX];      /* borrowed */
    const uint8_t *images[FX_CORRUPTED_MAX]; /* borrowed; u8 (5, n, 3, 32, 32) */
    const uint8_t *fine; /* labels u8 (n); owned by the file's set, or borrowed */
    int64_t n;
};

/* fx_corrupted_open: maps such a file and checks dtypes, shapes, and that labels are below
 * n_classes; FX_EINPUT otherwise.  Labels are copied, images stay in the mapping.  Close after
 * success only. */
enum fx_status fx_corrupted_open(struct fx_corrupted *corrupted, const char *path, int n_classes,
                                 struct fx_err *err) FX_MUST_CHECK;
void fx_corrupted_close(struct fx_corrupted *corrupted);

/* fx_corrupted_write: writes such a file to fd as safetensors.  source is metadata for people, name
 * the file's for messages.  The same content gives the same bytes. */
enum fx_status fx_corrupted_write(const struct fx_corrupted *corrupted, const char *source, int fd,
                                  const char *name, struct fx_err *err) FX_MUST_CHECK;

#endif
