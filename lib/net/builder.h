/* Writing a graph: architectures and fusions append typed nodes here.  The builder infers and
 * checks shapes, names and numbers the parameters.  Used by lib/net and by tests of single nodes.
 *
 * Failure is sticky: after the first one every call does nothing and returns -1, so a builder needs
 * no error handling; the caller checks `status` once, at the end. */
#ifndef FX_NET_BUILDER_H
#define FX_NET_BUILDER_H

#include "net/graph.h"

enum { FX_BUILDER_PATH_BYTES = 256, FX_BUILDER_DEPTH = 8 };

struct fx_builder {
    struct fx_graph *graph; /* borrowed */
    struct fx_err *err;     /* borrowed */
    enum fx_status status;  /* of the first failure, else FX_OK */
    int lane;               /* lane and group of what follows */
    enum fx_param_group group;
    bool is_fixed;                    /* weights that follow do not train */
    int next_number;                  /* fx_param.number of the next parameter */
    int next_dropout;                 /* fx_node.dropout_layer of the next dropout of the lane */
    char path[FX_BUILDER_PATH_BYTES]; /* prefix of parameter names: empty or ends with '.' */
    size_t lengths[FX_BUILDER_DEPTH]; /* of the path before each fx_builder_enter */
    int depth;
};

/* fx_builder_init: the graph must be zeroed; it stays the caller's, also after a failure. */
void fx_builder_init(struct fx_builder *b, struct fx_graph *graph, struct fx_err *err);

/* fx_builder_lane: what follows belongs to this lane; its dropouts count from 0. */
void fx_builder_lane(struct fx_builder *b, int lane);
/* fx_builder_component: what follows belongs to this group and counts its parameters from
 * first_number. */
void fx_builder_component(struct fx_builder *b, enum fx_param_group group, int first_number);

/* fx_builder_enter, _leave: a module within the current one, "layer%d.%d": names that follow get it
 * as prefix. */
void fx_builder_enter(struct fx_builder *b, const char *fmt, ...) FX_PRINTF(2, 3);
void fx_builder_leave(struct fx_builder *b);

/* fx_builder_fail: the first failure wins; the message gets the current path in front.  Returns -1.
 */
int fx_builder_fail(struct fx_builder *b, enum fx_status status, const char *fmt, ...)
    FX_PRINTF(3, 4);

/* What a new parameter is; name is relative to the current path. */
struct fx_param_spec {
    const char *name;
    enum fx_param_kind kind;
    int n_dims;
    int64_t shape[4];
    enum fx_param_init init;
    int64_t fan_in, fan_out;
};
/* fx_build_param: appends a parameter and returns its number. */
int fx_build_param(struct fx_builder *b, const struct fx_param_spec *spec);

/* The node functions return the new node's number; x, y, xs are numbers of earlier nodes. */

int fx_build_input(struct fx_builder *b, struct fx_value_shape shape);
/* Padding is kernel / 2: a stride of 1 keeps the map's size.  Parameter: NAME.weight. */
int fx_build_conv(struct fx_builder *b, const char *name, int x, int c_out, int kernel, int stride,
                  int groups);
/* Parameters: NAME.weight, .bias, .running_mean, .running_var, .num_batches_tracked. */
int fx_build_batchnorm(struct fx_builder *b, const char *name, int x, bool relu);
int fx_build_add(struct fx_builder *b, int x, int y, bool relu);
int fx_build_concat(struct fx_builder *b, int n, const int *xs);
int fx_build_avgpool2(struct fx_builder *b, int x);
int fx_build_globalpool(struct fx_builder *b, int x);
/* p == 0 builds nothing and returns x; p must be in [0, 1). */
int fx_build_dropout(struct fx_builder *b, int x, double p);

/* How a Linear starts: the networks' classifiers are Xavier uniform with zero bias, fusion and head
 * use PyTorch's default U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for both; a residual head is zero. */
enum fx_linear_init { FX_LINEAR_XAVIER, FX_LINEAR_DEFAULT, FX_LINEAR_ZERO };
/* Parameters: NAME.weight, NAME.bias. */
int fx_build_linear(struct fx_builder *b, const char *name, int x, int c_out, bool relu,
                    enum fx_linear_init init);
/* As fx_build_linear with parameters made by fx_build_param. */
int fx_build_linear_with(struct fx_builder *b, int x, bool relu, int weight, int bias);
/* Parameters: NAME.weight, NAME.bias. */
int fx_build_layernorm(struct fx_builder *b, const char *name, int x);
int fx_build_product(struct fx_builder *b, int n, const int *xs, double shift);
/* weights: a parameter of shape (n). */
int fx_build_weighted_sum(struct fx_builder *b, int n, const int *xs, int weights);
/* gate: a value of n channels, a logit for each of xs. */
int fx_build_gated_sum(struct fx_builder *b, int n, const int *xs, int gate);
int fx_build_stack(struct fx_builder *b, int n, const int *xs);
int fx_build_attention(struct fx_builder *b, int qkv, int heads, double p);
int fx_build_token_mean(struct fx_builder *b, int x);
/* x + the mean of xs; n below FX_NODE_MAX_INPUTS. */
int fx_build_residual(struct fx_builder *b, int x, int n, const int *xs);

#endif
