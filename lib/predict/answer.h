/* The prediction for one image, written as text, as a TSV row or as a line of JSON
 * (fusion-predict(1)). */
#ifndef FX_PREDICT_ANSWER_H
#define FX_PREDICT_ANSWER_H

#include "base/status.h"
#include "predict/fusion.h"

#include <jansson.h>
#include <stdio.h>

enum fx_answer_format { FX_ANSWER_TEXT, FX_ANSWER_TSV, FX_ANSWER_JSON };

/* All pointers are borrowed. */
struct fx_answer {
    const struct fusion_info *info;
    const char *name;     /* of the image */
    const json_t *id;     /* of the request, or NULL: none */
    int label;            /* true class of a data set image; -1: unknown */
    int top;              /* classes to print, at most n_classes; the most probable first */
    const float *fused;   /* probabilities (n_classes) */
    const float *experts; /* (n_experts, n_classes) */
};

/* fx_answer_head: writes the line of column names of FX_ANSWER_TSV, nothing for the others. */
void fx_answer_head(const struct fusion_info *info, enum fx_answer_format format, int top,
                    FILE *out);

/* fx_answer_write: FX_EFAIL when memory is short.  A write error is left in the stream (ferror). */
enum fx_status fx_answer_write(const struct fx_answer *answer, enum fx_answer_format format,
                               FILE *out, struct fx_err *err) FX_MUST_CHECK;

/* fx_answer_error: the line of JSON for an image that could not be classified; name and id may be
 * NULL.  FX_EFAIL when memory is short. */
enum fx_status fx_answer_error(const char *name, const json_t *id, const char *why, FILE *out,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
