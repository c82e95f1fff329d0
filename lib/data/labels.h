/* What a data set says about its labels: their names, and which superclass a class is in. */
#ifndef FX_DATA_LABELS_H
#define FX_DATA_LABELS_H

#include "data/dataset.h"

#include <jansson.h>

enum { FX_LABEL_NUMBER_BYTES = 16 };

/* fx_label_names: the JSON array in the metadata `key`, "fine_labels" or "coarse_labels"; owned by
 * the caller (json_decref), NULL where there is none or it is no JSON.  FX_EFAIL: out of memory. */
enum fx_status fx_label_names(const struct fx_dataset *ds, const char *key, json_t **names,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_label_name: of a label, or its number written into `number` where it has no name. */
const char *fx_label_name(const json_t *names, int label, char number[FX_LABEL_NUMBER_BYTES]);

enum { FX_LABELS_MAX = 256 };

/* fx_superclasses: the superclass of each class that an image has, 0 of the others; returns how
 * many there are, or 0 when images of one class are in two of them. */
int fx_superclasses(const struct fx_dataset *ds, uint8_t superclass[FX_LABELS_MAX]);

#endif
