/* How the groups of a convolution are merged and padded. */
#include "net/blocks.h"

struct fx_weight_layout fx_weight_layout_of(const struct fx_node *conv, int c_in, int block)
{
    int in = c_in / conv->groups, out = conv->shape.c / conv->groups, merge = 1;

    while (merge < conv->groups &&
           (conv->groups % merge || merge * in % block || merge * out % block))
        merge++;
    return (struct fx_weight_layout){
        .block = block,
        .kernel = conv->kernel,
        .groups = conv->groups,
        .c_in = c_in,
        .c_out = conv->shape.c,
        .merged = conv->groups / merge,
        .in = fx_blocks(merge * in, block) * block,
        .out = fx_blocks(merge * out, block) * block,
    };
}

size_t fx_weight_floats(const struct fx_weight_layout *l)
{
    return (size_t)l->merged * (size_t)l->in * (size_t)l->out * (size_t)(l->kernel * l->kernel);
}
