/* Whole models: K experts of named architectures, a fusion module and the global head. */
#ifndef FX_NET_MODEL_H
#define FX_NET_MODEL_H

#include "net/graph.h"

#include <stdio.h>

/* What the fused logits z are, of the head's h and the experts' z_k: h as in the original, or
 * h + the mean of all z_k.  Then the head starts at zero, so the model starts as that mean. */
#define FX_FUSED_FORMS "head|residual"
enum fx_fused_form { FX_FUSED_HEAD, FX_FUSED_RESIDUAL };

/* How the norms of a fusion with a product start: at ones, or in slots: norm k passes channel c
 * where c mod K = k and is the product's neutral value elsewhere, so that the product of all K
 * starts as their interleaving. */
#define FX_NORM_STARTS "ones|slots"
enum fx_norm_start { FX_NORMS_ONES, FX_NORMS_SLOTS };

/* What to build; plain data, strings borrowed.
 * arch is FAMILY or FAMILY:KEY=VALUE,... (fusion-tools(7), ARCHITECTURES), or one of those per
 * expert separated by ';'. */
struct fx_model_config {
    const char *arch;
    const char *fusion; /* "multiplicative" ..., or NULL: experts only */
    int n_experts;
    int n_classes;
    double expert_dropout; /* < 0: the architecture's default */
    double fusion_dropout; /* of the fusion module; < 0: 0.2 */
    enum fx_fused_form fused;
    enum fx_norm_start norms;
    bool freeze; /* the experts do not train and are as in evaluation, without dropout */
    bool attack; /* nothing trains, all is as in evaluation: the backward pass of the training mode
                    computes the gradient of the images */
};

/* fx_model_build: fills *graph.  FX_EUSAGE names the unknown family, key, fusion or a width that
 * the fusion refuses (TransformerBase needs D to be a multiple of 8), and slots for a fusion that
 * has no product.  Experts of unequal widths are adapted to D, that of the widest: the fusion
 * module then has a Linear adapters.k for each narrower one. */
enum fx_status fx_model_build(struct fx_graph *graph, const struct fx_model_config *config,
                              struct fx_err *err) FX_MUST_CHECK;

/* fx_model_width: D, the width of the widest expert's features. */
int fx_model_width(const struct fx_graph *graph);

/* What a lane (or, with FX_LANE_ALL, the whole model) costs. */
struct fx_model_size {
    int64_t parameters; /* trained elements */
    int64_t entries;    /* tensors of the state_dict: parameters, statistics, counters */
    int64_t macs;       /* multiply-accumulates of one image's forward pass */
    int64_t bytes;      /* f32 values of all nodes, one image */
};
enum { FX_LANE_ALL = -2 };
void fx_model_measure(const struct fx_graph *graph, int lane, struct fx_model_size *size);

/* fx_model_print_shapes: the shape table, a line a node (number, lane, kind, name, output shape per
 * image, trained parameters, MACs, bytes of the f32 output per image), then the sums of each lane
 * and of the model.  FX_EFAIL when it cannot be written. */
enum fx_status fx_model_print_shapes(const struct fx_graph *graph, FILE *out,
                                     struct fx_err *err) FX_MUST_CHECK;

/* fx_param_init_fill: the initial value of a trained parameter or running statistic from the seed.
 *   values  out  f32 (n_elements) in C order */
void fx_param_init_fill(const struct fx_param *param, uint64_t seed, float *values);

#endif
