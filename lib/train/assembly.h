/* A model put together from files: which tensor of which file is which parameter of the graph, what
 * differs, and the bytes in the order and dtype of the model.
 *
 * Used by expert-load (K experts) and ckpt-join (experts, fusion module, head, or all in one). */
#ifndef FX_TRAIN_ASSEMBLY_H
#define FX_TRAIN_ASSEMBLY_H

#include "net/graph.h"
#include "train/component.h"

struct fx_assembly {
    const struct fx_graph *graph;   /* borrowed */
    int n_lines;                    /* differences that stand on the log */
    struct fx_assembly_part *parts; /* owned: one for each parameter of the graph */
};

/* What one file brought, for its messages. */
struct fx_assembly_tally {
    /* Differences, one line on the log each, up to FX_ASSEMBLY_LINES_MAX of all files together. */
    int n_unknown, n_shape, n_dtype, n_double, n_values;
    int n_missing;
    int n_converted; /* F64, F16, BF16 to F32 */
    int n_hidden;    /* differences without a line */
    char line[512];  /* the last difference, not yet on the log */
};
enum { FX_ASSEMBLY_LINES_MAX = 20 };

int fx_assembly_tally_total(const struct fx_assembly_tally *tally); /* of all differences */

enum fx_status fx_assembly_init(struct fx_assembly *assembly, const struct fx_graph *graph,
                                struct fx_err *err) FX_MUST_CHECK;
void fx_assembly_fini(struct fx_assembly *assembly); /* accepts a zeroed record */

/* How many tensors of the set are parameters once the prefix ("expert_backbones.2.") is put before
 * their names. */
size_t fx_assembly_count(const struct fx_assembly *assembly, const struct fx_tensor_set *set,
                         const char *prefix);

/* Takes the file's tensors for the parameters of those names.  Tensors that no parameter has, other
 * shapes, dtypes that are not F32, F64, F16 or BF16 (I64 for counters), parameters that were given
 * before and values that are not finite are differences, counted in *tally.  The component must
 * outlive the assembly. */
void fx_assembly_add(struct fx_assembly *assembly, const struct fx_component *component,
                     const char *prefix, struct fx_assembly_tally *tally);
/* Whether any parameter with this prefix has been given. */
bool fx_assembly_has(const struct fx_assembly *assembly, const char *prefix);
/* Counts what no file has given yet among the parameters with this prefix, and names it with or
 * (is_bare) without the prefix.  Counters (num_batches_tracked), which torch < 0.4 did not have,
 * are 0 then, with a warning. */
void fx_assembly_require(struct fx_assembly *assembly, const char *prefix, bool is_bare,
                         const char *file, struct fx_assembly_tally *tally);
/* FX_EINPUT when the tally has differences: the only one itself, or (each stands on the log then)
 * "FILE: does not fit ARCH: 2 missing, 1 unknown ...; hint".  The hint may be NULL. */
enum fx_status fx_assembly_judge(struct fx_assembly *assembly, struct fx_assembly_tally *tally,
                                 const char *file, const char *arch, const char *hint,
                                 struct fx_err *err) FX_MUST_CHECK;

/* Adds every parameter of the graph to the set, in the graph's order and dtype; data that is not in
 * a file in this form stays NULL and comes from fx_assembly_fetch (fx_tensor_fetch, ctx is the
 * assembly). */
enum fx_status fx_assembly_describe(const struct fx_assembly *assembly, struct fx_tensor_set *set,
                                    struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_assembly_fetch(void *assembly, const struct fx_tensor *tensor, void *buf,
                                 struct fx_err *err) FX_MUST_CHECK;

/* fx_arch_guess: says into buf which family's network the tensors of one expert are ("its tensors
 * are those of resnet18 with 10 classes"), or that they are a whole model; false when they fit
 * none. */
bool fx_arch_guess(const struct fx_tensor_set *set, char *buf, size_t n);

#endif
