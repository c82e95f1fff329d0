/* The clock, for metrics and progress. */
#ifndef FX_BASE_CLOCK_H
#define FX_BASE_CLOCK_H

/* Seconds of a clock that never goes back. */
double fx_seconds(void);

enum { FX_TIMESTAMP_BYTES = 20 };

/* fx_timestamp: the local time, "2026-01-31 12:34:56", in text. */
void fx_timestamp(char text[FX_TIMESTAMP_BYTES]);

#endif
