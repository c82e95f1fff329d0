/* The architectures by name, and the text that chooses a member of a family.
 *
 * An architecture is NAME or NAME:KEY=VALUE,...; a value is a whole number or a list of them,
 * 6-12-24-16.  Without a key the name is literal: densenet121 is the network of 121 layers.  Where
 * experts differ, there is one for each, separated by ';'.
 *
 * A new one is a file in lib/net/arch, which defines its fx_network, and a row in
 * architectures.def. */
#ifndef FX_NET_ARCH_H
#define FX_NET_ARCH_H

#include "base/status.h"
#include "data/augment.h"

#include <stdbool.h>
#include <stddef.h>

struct fx_builder;

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

/* How a single expert is trained (expert-train(1), RECIPES); the batch is that of fusion runs too.
 */
struct fx_arch_recipe {
    double weight_decay, dropout, label_smoothing;
    enum fx_augment_policy augment;
    int batch;
};

/* What a file in lib/net/arch says. */
struct fx_network {
    const char *summary;       /* what it is, for --help */
    const char *wandb_project; /* of its fusion runs */
    const char *classifier;    /* name of its Linear, which follows a global average pool */
    double dropout;            /* default in fusion runs */
    struct fx_arch_recipe recipe;
    struct fx_arch_key keys[FX_ARCH_MAX_KEYS]; /* ends before the first without a name */
    /* Appends the network up to its last feature map and returns that node; values are in the order
     * of keys. */
    int (*build)(struct fx_builder *b, int image, double dropout,
                 const struct fx_arch_value *values);
};

/* A row of architectures.def. */
struct fx_arch {
    const char *name;   /* "resnet18" */
    const char *folder; /* "resnet": how folders and files of its models are called */
    const struct fx_network *network;
};
extern const struct fx_arch fx_archs[]; /* ends before the first without a name */
extern const char fx_arch_list[];       /* "|densenet121|..." */
#define FX_ARCHS (fx_arch_list + 1)     /* "densenet121|...", for option tables */

/* fx_arch_list_read: normalises a list from the command line, such as
 * "resnet18,densenet121:growth=8,blocks=2-2-2-2": a comma before the name of an architecture is
 * replaced by ';'.
 *   list  out  FX_ARCH_LIST_BYTES
 * FX_EUSAGE: too long. */
enum { FX_ARCH_LIST_BYTES = 1024 };
enum fx_status fx_arch_list_read(const char *text, char list[FX_ARCH_LIST_BYTES],
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_arch_count: how many architectures a list has. */
int fx_arch_count(const char *list);

/* fx_arch_next: what follows the first ';' of a list of architectures, or NULL. */
const char *fx_arch_next(const char *list);

/* fx_arch_of_expert: expert k's architecture in "ARCH" or "ARCH;ARCH;...": *n bytes from the
 * returned pointer, NULL when the list is too short.  One without ';' serves all. */
const char *fx_arch_of_expert(const char *list, int k, size_t *n);

/* fx_arch_find: the row whose name stands at the beginning of the text, before ':' or ';'; NULL:
 * there is none. */
const struct fx_arch *fx_arch_find(const char *text);

/* fx_arch_parse: the row and the values of n bytes of text.
 *   values  out  FX_ARCH_MAX_KEYS, filled with fallbacks where the text says nothing
 * FX_EUSAGE names the unknown architecture, the unknown key or the value out of range. */
enum fx_status fx_arch_parse(const char *text, size_t n, const struct fx_arch **arch,
                             struct fx_arch_value *values, struct fx_err *err) FX_MUST_CHECK;

/* The architectures as a paragraph of --help; static storage (help.c). */
const char *fx_arch_help(void);

#endif
