/* Private to lib/net: what a family of architectures is, and how its text is parsed.
 *
 * An architecture is FAMILY or FAMILY:KEY=VALUE,...; a value is a whole number or a list of them,
 * 6-12-24-16.  Without a key the family's name is literal: densenet121 is the network of 121
 * layers. */
#ifndef FX_NET_ARCH_H
#define FX_NET_ARCH_H

#include "net/builder.h"

enum { FX_ARCH_MAX_KEYS = 4, FX_ARCH_MAX_LIST = 4 };

struct fx_arch_value {
    int n; /* 1, or the length of the list */
    int v[FX_ARCH_MAX_LIST];
};
struct fx_arch_key {
    const char *name;
    int min, max; /* of every number, inclusive */
    bool is_list;
    struct fx_arch_value fallback; /* the value of the full-size network */
};

/* What a built network offers to the rest of the model. */
struct fx_arch_ends {
    int features; /* node of the feature vector (D) */
    int logits;   /* node of the class scores */
};

struct fx_arch {
    const char *family;
    double dropout;                            /* default */
    struct fx_arch_key keys[FX_ARCH_MAX_KEYS]; /* ends before the first without a name */
    /* Appends the network; values stand in the order of keys. */
    struct fx_arch_ends (*build)(struct fx_builder *b, int image, int n_classes, double dropout,
                                 const struct fx_arch_value *values);
};

extern const struct fx_arch fx_arch_densenet, fx_arch_resnet, fx_arch_wideresnet, fx_arch_resnext;

const struct fx_arch *fx_arch_at(int i); /* of the table of families; NULL after the last */

/* fx_arch_parse: the family and the values of n bytes of text.
 *   values  out  FX_ARCH_MAX_KEYS, filled with fallbacks where the text says nothing
 * FX_EUSAGE names the unknown family, the unknown key or the value out of range. */
enum fx_status fx_arch_parse(const char *text, size_t n, const struct fx_arch **arch,
                             struct fx_arch_value *values, struct fx_err *err) FX_MUST_CHECK;

/* fx_arch_classifier: global pool and Linear, the end of every family. */
struct fx_arch_ends fx_arch_classifier(struct fx_builder *b, const char *name, int x,
                                       int n_classes);

#endif
