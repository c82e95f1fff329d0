/* fusion.h: loads a model that fusion-tools trained, and asks it what is on images; libfusion(3).
 *
 * A model is used by one thread at a time; different models may be used at the same time.  Nothing
 * is written to standard output or standard error, and no function ends the program. */
#ifndef FUSION_H
#define FUSION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FUSION_IMAGE_BYTES = 3 * 32 * 32, FUSION_ERROR_BYTES = 8192 };

/* What functions return; the numbers are the exit codes of the tools, fusion-tools(7). */
enum fusion_status {
    FUSION_OK = 0,
    FUSION_FAILED = 1,     /* memory, a read error */
    FUSION_BAD_USE = 2,    /* an option that there is not, or that is missing */
    FUSION_BAD_INPUT = 3,  /* the file is damaged or something else */
    FUSION_NO_DEVICE = 77, /* the device, or what was asked of it, is not there */
};

struct fusion_error {
    enum fusion_status status;
    char text[FUSION_ERROR_BYTES]; /* "best.safetensors: cut off: ..."; one line, cut if longer */
};

/* All zero is right for most; NULL instead of a pointer to it is as well. */
struct fusion_options {
    const char *device;    /* "auto" (NULL), "cpu", "cuda", "cuda:1", "ref" */
    const char *precision; /* "fp32" (NULL) or "bf16" */
    const char *data; /* a data set of cifar-prep, for what the model file does not say: files of
                         versions before 1.0.0 have neither names nor normalisation; or NULL */
    int threads;      /* of the processor; 0: as many as the process may use */
    int batch;        /* images at once at most; 0: 64 */
};

/* What a model is.  It all belongs to the model. */
struct fusion_info {
    int n_classes, n_experts;
    int has_fusion;     /* 0: experts alone; their mean takes the place of the fused one */
    const char *arch;   /* of the experts, as --arch takes it */
    const char *fusion; /* "concatenation"; NULL without one */
    const char *device; /* that is used, "cpu" */
    const char *const *class_names; /* n_classes of them, UTF-8; NULL when no file says them */
    float mean[3], std[3];          /* of pixel / 255: red, green, blue */
    int batch;                      /* images that are computed at once at most */
};

struct fusion_model;

/* fusion_open: loads a checkpoint of fusion-train or ckpt-join, or an experts stream of
 * expert-load, and makes everything ready.  path "-" is standard input.  *model is NULL after a
 * failure. */
enum fusion_status fusion_open(struct fusion_model **model, const char *path,
                               const struct fusion_options *options, struct fusion_error *error);

const struct fusion_info *fusion_describe(const struct fusion_model *model);

/* fusion_predict: the logits of n images.
 *   images   in   u8 (n, 3, 32, 32): red, green, blue; rows from the top; not normalised
 *   fused    out  f32 (n, n_classes), or NULL
 *   experts  out  f32 (n, n_experts, n_classes), or NULL */
enum fusion_status fusion_predict(struct fusion_model *model, const uint8_t *images, size_t n,
                                  float *fused, float *experts, struct fusion_error *error);

/* fusion_probabilities: the softmax of n_classes logits; the two may be the same memory. */
void fusion_probabilities(const float *logits, int n_classes, float *probabilities);

/* fusion_read_image: from the bytes of a JPEG or PNG file of any size to what fusion_predict takes:
 * upright, the shorter side resized to 32, the centre cut out.
 *   image   out  u8 (3, 32, 32)
 *   n_read  out  how many of the bytes the picture took, or NULL
 *   name    of the picture, for the message */
enum fusion_status fusion_read_image(const uint8_t *bytes, size_t n, const char *name,
                                     uint8_t image[FUSION_IMAGE_BYTES], size_t *n_read,
                                     struct fusion_error *error);

void fusion_close(struct fusion_model *model); /* accepts NULL */

const char *fusion_version(void); /* "1.0.0" */

#ifdef __cplusplus
}
#endif

#endif
