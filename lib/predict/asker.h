/* Images wait here until there are enough for a batch; answers come in the order of the images,
 * those that could not be read among them. */
#ifndef FX_PREDICT_ASKER_H
#define FX_PREDICT_ASKER_H

#include "data/dataset.h"
#include "predict/answer.h"

struct fx_question; /* asker.c */

struct fx_asker {
    struct fusion_model *model; /* borrowed */
    enum fx_answer_format format;
    int top;
    bool is_stream; /* what fails is answered on out alone, and every batch is flushed */
    FILE *out;      /* borrowed */

    int n, n_images;               /* waiting; of which so many could be read */
    struct fx_question *questions; /* owned: batch */
    uint8_t *images;               /* owned: (batch, 3, 32, 32) */
    float *fused, *experts;        /* owned: logits, then probabilities */
    enum fx_status status;         /* FX_OK, or that of the first image that failed */
};

/* fx_asker_open: the fields above the empty line are set. */
enum fx_status fx_asker_open(struct fx_asker *asker, struct fx_err *err) FX_MUST_CHECK;
void fx_asker_close(struct fx_asker *asker); /* accepts a zeroed record */

/* What follows takes one image, and answers all that wait when the batch is full.  name may be NULL
 * in a stream; id (may be NULL) gains a reference.  These fail only where no image is at fault. */

/* A picture's file; *n_read (may be NULL): how much of it the picture took, 0 if it is bad. */
enum fx_status fx_ask_picture(struct fx_asker *asker, const char *name, json_t *id,
                              const uint8_t *bytes, size_t n, size_t *n_read,
                              struct fx_err *err) FX_MUST_CHECK;
/* 32 x 32 pixels that are there; label -1: not known. */
enum fx_status fx_ask_pixels(struct fx_asker *asker, const char *name, int label,
                             const uint8_t *image, struct fx_err *err) FX_MUST_CHECK;
/* None: it failed already, and why says it all. */
enum fx_status fx_ask_nothing(struct fx_asker *asker, const char *name, json_t *id,
                              const struct fx_err *why, struct fx_err *err) FX_MUST_CHECK;

/* fx_asker_answer: all that wait. */
enum fx_status fx_asker_answer(struct fx_asker *asker, struct fx_err *err) FX_MUST_CHECK;

/* fx_ask_stream: answers requests, a line of JSON each, from a descriptor until it ends: {"path":
 * "cow.jpg"} or {"image": "<base64>"}, and an "id" that comes back.  As many as are there without
 * waiting are answered together. */
enum fx_status fx_ask_stream(struct fx_asker *asker, int fd, struct fx_err *err) FX_MUST_CHECK;

#endif
