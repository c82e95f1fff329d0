/* Writing a data set: the last step of cifar-prep (fusion-dataset(5)). */
#ifndef FX_DATA_DATASET_WRITE_H
#define FX_DATA_DATASET_WRITE_H

#include "data/split.h"

/* What a data set is made of; everything borrowed. */
struct fx_dataset_content {
    struct fx_image_set train, test;
    char *const *fine_names, *const *coarse_names; /* UTF-8 */
    size_t n_fine, n_coarse;
    double mean[3], std[3];
    const struct fx_splits *splits;
    const char *source; /* metadata: the layout of the archive */
    const char *split;  /* metadata: how the splits were drawn, for people */
};

/* fx_dataset_write: writes the data set to fd as safetensors.  Its digest is the SHA-256 of what
 * decides a training run: the bytes after the header, then the metadata values of mean and std.
 * The same content gives the same bytes.  name is the output's name for messages. */
enum fx_status fx_dataset_write(const struct fx_dataset_content *content, int fd, const char *name,
                                struct fx_err *err) FX_MUST_CHECK;

#endif
