/* Numbers as text: for machines the shortest decimal that reads back, for people a rounded one. */
#ifndef FX_TRAIN_NUMBER_H
#define FX_TRAIN_NUMBER_H

#include <stddef.h>

enum { FX_NUMBER_BYTES = 32 };

/* fx_number_text: into buf (FX_NUMBER_BYTES suffice), returns buf.  value must be finite.  Whole
 * numbers have no decimal point. */
char *fx_number_text(double value, char *buf, size_t n);

/* fx_number_rate: how many a second, for people: "21.5", and two digits of what is below one:
 * "0.0018". */
char *fx_number_rate(double per_second, char *buf, size_t n);

#endif
