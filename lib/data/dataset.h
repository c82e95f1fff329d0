/* The data set: what cifar-prep writes and every training tool maps (fusion-dataset(5)). */
#ifndef FX_DATA_DATASET_H
#define FX_DATA_DATASET_H

#include "tensor/safetensors.h"

enum { FX_IMAGE_SIDE = 32, FX_IMAGE_PIXELS = 32 * 32, FX_IMAGE_BYTES = 3 * 32 * 32 };
enum { FX_MAX_EXPERTS = 8 };

/* A list of image numbers, borrowed from the data set. */
struct fx_index_list {
    const int64_t *values;
    int64_t n;
};

/* One labelled part.  images u8 (n, 3, 32, 32), borrowed from the mapping; fine, coarse u8 (n),
 * owned by the set: a file that changes in place changes pixels, but no label. */
struct fx_image_set {
    const uint8_t *images;
    const uint8_t *fine;
    const uint8_t *coarse;
    int64_t n;
};

struct fx_dataset {
    struct fx_tensor_file file; /* owned */
    struct fx_image_set train, test;
    /* Sorted image numbers in train; owned by the file's set.  The file keeps split.expert.{k} in
     * the order in which NumPy drew it; here it is sorted as the others are. */
    struct fx_index_list fusion_holdout, expert_pool, val;
    struct fx_index_list expert[FX_MAX_EXPERTS];
    int n_experts; /* how many split.expert.{k} there are */
    int n_classes;
    float mean[3], std[3]; /* of pixel / 255, per channel */
    const char *digest;    /* borrowed from file: see fx_dataset_write */
};

/* fx_dataset_open: maps and checks the data set: tensor names, dtypes, shapes, labels below the
 * number of classes, indices in range and without repetition (sorted, but for the experts'), val
 * within the holdout, no expert's image in the holdout, mean and std.  FX_EINPUT otherwise.  The
 * digest is not computed again.  Close after success only. */
enum fx_status fx_dataset_open(struct fx_dataset *ds, const char *path,
                               struct fx_err *err) FX_MUST_CHECK;
/* fx_dataset_take: the same of an input that was read whole, which it takes over. */
enum fx_status fx_dataset_take(struct fx_dataset *ds, struct fx_input *in,
                               struct fx_err *err) FX_MUST_CHECK;
void fx_dataset_close(struct fx_dataset *ds);

#endif
