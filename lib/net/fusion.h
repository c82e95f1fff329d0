/* The fusion modules by name: features of K experts (D each) to one vector (D).
 *
 * A new one is a file in lib/net/fusion, which defines its fx_fusion_module, and a row in
 * fusions.def. */
#ifndef FX_NET_FUSION_H
#define FX_NET_FUSION_H

#include "base/status.h"
#include "data/augment.h"

struct fx_builder;

/* What a run with the module uses (fusion-train(1), RECIPES), before its rates adapt to D. */
struct fx_fusion_recipe {
    double lr_experts, lr_fusion, weight_decay, label_smoothing;
    enum fx_augment_policy augment;
    double mixup_alpha;
    double lr_experts_narrow, lr_experts_wide; /* factors where D is below, above 500; 0: none */
};

/* What a file in lib/net/fusion says. */
struct fx_fusion_module {
    const char *summary; /* what it is, for --help */
    int width_divisor;   /* D must be a multiple */
    bool has_product;    /* of norms, which may start in slots (net/model.h) */
    struct fx_fusion_recipe recipe;
    /* Appends the module under the current path; returns the fused node. */
    int (*build)(struct fx_builder *b, int n_experts, const int *features, double dropout);
};

/* A row of fusions.def. */
struct fx_fusion {
    const char *name; /* "multiplicative" */
    const struct fx_fusion_module *module;
};
extern const struct fx_fusion fx_fusions[]; /* ends before the first without a name */
extern const char fx_fusion_list[];         /* "|multiplicative|..." */
#define FX_FUSIONS (fx_fusion_list + 1)     /* "multiplicative|...", for option tables */

/* fx_fusion_find: by name; FX_EUSAGE lists the names. */
enum fx_status fx_fusion_find(const char *name, const struct fx_fusion **fusion,
                              struct fx_err *err) FX_MUST_CHECK;

/* The fusions and then the architectures as paragraphs of --help; static storage (help.c). */
const char *fx_model_help(void);

#endif
