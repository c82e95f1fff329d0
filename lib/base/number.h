/* Numbers as text: for machines the shortest decimal that reads back, for people a rounded one; and
 * products that stay as people write them. */
#ifndef FX_BASE_NUMBER_H
#define FX_BASE_NUMBER_H

#include <stddef.h>

enum { FX_NUMBER_BYTES = 32 };

/* fx_number_text: into buf (FX_NUMBER_BYTES suffice), returns buf.  Whole numbers have no decimal
 * point; "inf" and "nan" are possible.  fx_number_text_f32: of a float, the shortest that reads
 * back as that float. */
char *fx_number_text(double value, char *buf, size_t n);
char *fx_number_text_f32(float value, char *buf, size_t n);

/* fx_number_rate: how many a second, for people: "21.5", and two digits of what is below one:
 * "0.0018". */
char *fx_number_rate(double per_second, char *buf, size_t n);

/* fx_number_round: to 15 significant digits. */
double fx_number_round(double value);

/* fx_number_times: the product of two numbers that people wrote as decimals, rounded to 15
 * digits, so that 2e-5 times 0.2 is the double nearest to 4e-6 and not its neighbour
 * 4.000000000000001e-06.  One times a number is that number, with all its digits. */
double fx_number_times(double a, double b);

#endif
