/* fusion.h: loads a model trained by fusion-tools and classifies images with it; libfusion(3).
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

/* Return values; the numbers are the exit codes of the tools (fusion-tools(7)). */
enum fusion_status {
    FUSION_OK = 0,
    FUSION_FAILED = 1,     /* out of memory, or a read error */
    FUSION_BAD_USE = 2,    /* an option is invalid, or a required one is missing */
    FUSION_BAD_INPUT = 3,  /* the file is damaged or of another kind */
    FUSION_NO_DEVICE = 77, /* no such device, or it lacks the precision */
};

/* Filled after a failure only. */
struct fusion_error {
    enum fusion_status status;
    char text[FUSION_ERROR_BYTES]; /* "best.safetensors: cut off: ..."; one line, cut if longer */
};

/* A member that is zero is the default; NULL in place of the structure: all defaults.  Strings are
 * read during fusion_open only. */
struct fusion_options {
    const char *device;    /* "auto" (NULL), "cpu", "cuda", "cuda:1", "ref" */
    const char *precision; /* "fp32" (NULL), "bf16" or "auto" */
    const char *data;      /* data set of cifar-prep, for model files without class names or
                              normalisation (written before 1.0.0, or by PyTorch); or NULL */
    int threads;           /* CPU threads; 0: as many as the process may use */
    int batch;             /* most images computed at once, up to 65536; 0: 64 */
};

/* Description of a model; the model owns all of it. */
struct fusion_info {
    int n_classes, n_experts;
    int has_fusion;     /* 0: an experts stream; fused logits are the mean of the experts' */
    const char *arch;   /* of the experts, "resnet18:width=16"; separated by ';' if they differ */
    const char *fusion; /* "concatenation"; NULL: none */
    const char *device; /* in use: "cpu", "cuda:0" */
    const char *const *class_names; /* (n_classes), UTF-8; NULL: unknown */
    float mean[3], std[3];          /* of pixels divided by 255: red, green, blue */
    int batch;                      /* most images computed at once */
};

struct fusion_model;

/* fusion_open: loads a checkpoint of fusion-train or ckpt-join, an experts stream of expert-load,
 * or the components in a folder of ckpt-split, opens the device and allocates the buffers.  path
 * "-" is standard input.  The caller owns *model (fusion_close); it is NULL after a failure.
 * options and error may be NULL, error in all functions. */
enum fusion_status fusion_open(struct fusion_model **model, const char *path,
                               const struct fusion_options *options, struct fusion_error *error);

/* fusion_describe: never fails; valid until fusion_close. */
const struct fusion_info *fusion_describe(const struct fusion_model *model);

/* fusion_predict: computes the logits of n images; n may be larger than the batch, and 0.
 *   images   in   u8 (n, 3, 32, 32): red, green, blue planes, rows from the top, 0..255
 *   fused    out  f32 (n, n_classes), or NULL
 *   experts  out  f32 (n, n_experts, n_classes), or NULL
 * After a failure the content of both is undefined. */
enum fusion_status fusion_predict(struct fusion_model *model, const uint8_t *images, size_t n,
                                  float *fused, float *experts, struct fusion_error *error);

/* fusion_probabilities: the softmax of n_classes logits, which must be finite; probabilities may be
 * the same array. */
void fusion_probabilities(const float *logits, int n_classes, float *probabilities);

/* fusion_read_image: decodes a JPEG or PNG file in memory into an image for fusion_predict: rotated
 * by its EXIF orientation, the shorter side resized to 32, the centre cropped.
 *   name    in   for the message
 *   image   out  u8 (3, 32, 32)
 *   n_read  out  how many of the n bytes the picture had, or NULL */
enum fusion_status fusion_read_image(const uint8_t *bytes, size_t n, const char *name,
                                     uint8_t image[FUSION_IMAGE_BYTES], size_t *n_read,
                                     struct fusion_error *error);

void fusion_close(struct fusion_model *model); /* accepts NULL */

const char *fusion_version(void); /* "1.0.0" */

#ifdef __cplusplus
}
#endif

#endif
