/* Multi-head self-attention between the tokens of an image (one token an expert).
 * Source: Vaswani et al., "Attention Is All You Need" (2017); conventions of
 * torch.nn.MultiheadAttention without its two projections, which are LINEAR nodes. */
#ifndef FX_OPS_ATTENTION_H
#define FX_OPS_ATTENTION_H

#include "ops/dropout.h"

struct fx_attention {
    int n, tokens;                    /* tokens <= FX_NODE_MAX_INPUTS */
    int c, heads;                     /* c: width of the output; a head has c / heads */
    const struct fx_dropout *dropout; /* on the attention weights; NULL: none (evaluation) */
    const uint32_t *images;           /* (n) numbers in the data set, for dropout */
};

/* qkv, d_qkv (n, tokens, 3c): q, k and v side by side; y, dy (n, tokens, c).  y =, d_qkv +=. */
void fx_attention_forward(const struct fx_attention *k, const float *qkv, float *y);
void fx_attention_backward(const struct fx_attention *k, const float *qkv, const float *dy,
                           float *d_qkv);

#endif
