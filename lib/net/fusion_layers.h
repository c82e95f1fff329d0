/* What several fusion modules are made of. */
#ifndef FX_NET_FUSION_LAYERS_H
#define FX_NET_FUSION_LAYERS_H

#include "net/builder.h"
#include "net/fusion.h"

/* D of a feature vector; 0 after a failure. */
int fx_fusion_width(const struct fx_builder *b, int features);

/* out[k] = LN_k(f_k) for every expert.  Parameters: norms.K.weight, norms.K.bias. */
void fx_fusion_norms(struct fx_builder *b, int n_experts, const int *features, int *out);

/* Linear to `width`, ReLU, dropout, Linear to `width`.  Parameters: NAME.0 and NAME.3. */
int fx_fusion_mlp(struct fx_builder *b, const char *name, int x, int width, double dropout);

/* The parameter expert_weights: the logits of the softmax over experts, which start at 1.  It
 * belongs to the module itself, so it comes before those of its children, as in a state_dict. */
int fx_fusion_expert_weights(struct fx_builder *b, int n_experts);

#endif
