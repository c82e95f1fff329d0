/* What a model says about one image, as a person or a program wants to read it. */
#ifndef FX_PREDICT_ANSWER_H
#define FX_PREDICT_ANSWER_H

#include "base/status.h"
#include "predict/fusion.h"

#include <jansson.h>
#include <stdio.h>

enum fx_answer_format { FX_ANSWER_TEXT, FX_ANSWER_TSV, FX_ANSWER_JSON };

/* Everything borrowed. */
struct fx_answer {
    const struct fusion_info *info;
    const char *name;     /* of the image */
    const json_t *id;     /* what the request called itself, or NULL */
    int label;            /* of a data set's image; -1: not known */
    int top;              /* so many classes, the most probable first */
    const float *fused;   /* probabilities (n_classes) */
    const float *experts; /* (n_experts, n_classes) */
};

/* fx_answer_head: the names of the columns, where the format has them. */
void fx_answer_head(const struct fusion_info *info, enum fx_answer_format format, int top,
                    FILE *out);

/* fx_answer_write: FX_EFAIL when memory is short; that writing fails, the stream remembers. */
enum fx_status fx_answer_write(const struct fx_answer *answer, enum fx_answer_format format,
                               FILE *out, struct fx_err *err) FX_MUST_CHECK;

/* fx_answer_error: the line of JSON for an image without an answer. */
enum fx_status fx_answer_error(const char *name, const json_t *id, const char *why, FILE *out,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
