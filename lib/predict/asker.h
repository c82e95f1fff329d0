/* Collects images into batches, runs the model on them and prints the answers in the order of the
 * images.  An image that cannot be read or classified is answered with an error: as a line of JSON
 * where that is the format, and on the log unless is_stream is set. */
#ifndef FX_PREDICT_ASKER_H
#define FX_PREDICT_ASKER_H

#include "data/dataset.h"
#include "predict/answer.h"

struct fx_question; /* asker.c */

struct fx_asker {
    struct fusion_model *model; /* borrowed */
    enum fx_answer_format format;
    int top;
    bool is_stream; /* errors go to out only, and out is flushed after each batch */
    FILE *out;      /* borrowed */

    int n, n_images;               /* images waiting; those of them that could be read */
    struct fx_question *questions; /* owned: batch */
    uint8_t *images;               /* owned: (batch, 3, 32, 32) */
    float *fused, *experts;        /* owned: logits, then probabilities */
    enum fx_status status;         /* FX_OK, or the status of the first image that failed */
};

/* fx_asker_open: allocates the buffers and writes the TSV header.  The caller has set the fields
 * above the empty line and zeroed the others.  Close it also after a failure. */
enum fx_status fx_asker_open(struct fx_asker *asker, struct fx_err *err) FX_MUST_CHECK;
void fx_asker_close(struct fx_asker *asker); /* accepts a zeroed record */

/* The next three functions add one image; when the batch is full they answer those that wait first.
 * name is copied and may be NULL in a stream; id (may be NULL) gains a reference.  A bad image is
 * recorded in asker->status and is not a failure of the call: that is lack of memory or a failure
 * of the model. */

/* The bytes of a JPEG or PNG file; *n_read (may be NULL): how many of them the picture had, 0 if it
 * is bad. */
enum fx_status fx_ask_picture(struct fx_asker *asker, const char *name, json_t *id,
                              const uint8_t *bytes, size_t n, size_t *n_read,
                              struct fx_err *err) FX_MUST_CHECK;
/* An image u8 (3, 32, 32), copied; label -1: unknown. */
enum fx_status fx_ask_pixels(struct fx_asker *asker, const char *name, int label,
                             const uint8_t *image, struct fx_err *err) FX_MUST_CHECK;
/* An image that could not be read; why has the status and the message. */
enum fx_status fx_ask_nothing(struct fx_asker *asker, const char *name, json_t *id,
                              const struct fx_err *why, struct fx_err *err) FX_MUST_CHECK;

/* fx_asker_answer: classifies and answers all images that wait. */
enum fx_status fx_asker_answer(struct fx_asker *asker, struct fx_err *err) FX_MUST_CHECK;

/* fx_ask_stream: reads requests from a descriptor until its end, one line of JSON each,
 * {"path": "cow.jpg"} or {"image": "<base64>"}, with an optional "id" that is copied into the
 * answer.  Requests that can be read without blocking share a batch. */
enum fx_status fx_ask_stream(struct fx_asker *asker, int fd, struct fx_err *err) FX_MUST_CHECK;

#endif
