/* What the two directions of a node share: the numbers that its kernel wants, from graph and
 * program. */
#include "backend/ref/ref_model.h"

#include "backend/ref/attention.h"
#include "backend/ref/batchnorm.h"
#include "backend/ref/conv2d.h"
#include "backend/ref/layernorm.h"
#include "backend/ref/linear.h"

static struct fx_value_shape input_shape(const struct fx_program *program,
                                         const struct fx_node *node)
{
    return program->model->graph->nodes[node->inputs[0]].shape;
}

struct fx_conv2d fx_ref_conv2d_of(const struct fx_program *program, const struct fx_node *node)
{
    struct fx_value_shape in = input_shape(program, node);

    return (struct fx_conv2d){
        .n = program->n,
        .c_in = in.c,
        .h_in = in.h,
        .w_in = in.w,
        .c_out = node->shape.c,
        .h_out = node->shape.h,
        .w_out = node->shape.w,
        .kernel = node->kernel,
        .stride = node->stride,
        .pad = node->pad,
        .groups = node->groups,
    };
}

struct fx_batchnorm fx_ref_batchnorm_of(const struct fx_program *program,
                                        const struct fx_node *node)
{
    return (struct fx_batchnorm){
        .n = program->n,
        .c = node->shape.c,
        .area = node->shape.h * node->shape.w,
        .eps = node->eps,
        .relu = node->relu,
    };
}

struct fx_linear fx_ref_linear_of(const struct fx_program *program, const struct fx_node *node)
{
    return (struct fx_linear){
        .rows = program->n * node->shape.tokens,
        .c_in = input_shape(program, node).c,
        .c_out = node->shape.c,
        .relu = node->relu,
    };
}

struct fx_layernorm fx_ref_layernorm_of(const struct fx_program *program,
                                        const struct fx_node *node)
{
    return (struct fx_layernorm){
        .rows = program->n * node->shape.tokens,
        .c = node->shape.c,
        .eps = node->eps,
    };
}

struct fx_attention fx_ref_attention_of(const struct fx_program *program,
                                        const struct fx_node *node, struct fx_dropout *dropout)
{
    bool drops = program->mode == FX_TRAIN && node->p > 0;

    *dropout = fx_dropout_of(node, program->batch.seed, program->batch.epoch);
    return (struct fx_attention){
        .n = program->n,
        .tokens = node->shape.tokens,
        .c = node->shape.c,
        .heads = node->heads,
        .dropout = drops ? dropout : NULL,
        .images = program->batch.numbers,
    };
}
