/* Private to lib/net: the fusion modules, features of K experts (D each) to one vector (D). */
#ifndef FX_NET_FUSION_H
#define FX_NET_FUSION_H

#include "net/builder.h"

struct fx_fusion {
    const char *name;
    int width_divisor; /* D must be a multiple */
    /* Appends the module under the current path; returns the fused node. */
    int (*build)(struct fx_builder *b, int n_experts, const int *features, double dropout);
};

/* fx_fusion_find: by name; FX_EUSAGE lists the names. */
enum fx_status fx_fusion_find(const char *name, const struct fx_fusion **fusion,
                              struct fx_err *err) FX_MUST_CHECK;

#endif
