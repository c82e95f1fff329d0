/* Class names and superclasses of a data set. */
#ifndef FX_DATA_LABELS_H
#define FX_DATA_LABELS_H

#include "data/dataset.h"

#include <jansson.h>

enum { FX_LABEL_NUMBER_BYTES = 16 };

/* fx_label_names: the metadata `key`, "fine_labels" or "coarse_labels", parsed as JSON; owned by
 * the caller (json_decref), NULL where it is missing or not JSON.  FX_EFAIL: out of memory. */
enum fx_status fx_label_names(const struct fx_dataset *ds, const char *key, json_t **names,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_label_name: the name of a label, borrowed from names; where it has none, or names is NULL, its
 * number in decimal, written into `number`. */
const char *fx_label_name(const json_t *names, int label, char number[FX_LABEL_NUMBER_BYTES]);

enum { FX_LABELS_MAX = 256 };

/* fx_superclasses: fills in the superclass of each class from the labels of all images; 0 for a
 * class without images.  Returns the number of superclasses, or 0 when the images of one class
 * belong to two. */
int fx_superclasses(const struct fx_dataset *ds, uint8_t superclass[FX_LABELS_MAX]);

#endif
