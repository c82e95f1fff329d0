/* Numbers as text: the shortest decimal that reads back as the same double. */
#ifndef FX_TRAIN_NUMBER_H
#define FX_TRAIN_NUMBER_H

#include <stddef.h>

enum { FX_NUMBER_BYTES = 32 };

/* fx_number_text: into buf (FX_NUMBER_BYTES suffice), returns buf.  value must be finite.  Whole
 * numbers have no decimal point. */
char *fx_number_text(double value, char *buf, size_t n);

#endif
