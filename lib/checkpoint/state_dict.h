/* The state dict of a model, put together from files: which tensor of which file is which parameter
 * of the graph, what differs, and the bytes in the order and dtype of the model.
 *
 * Used by expert-load (K experts) and ckpt-join (experts, fusion module, head, or all in one). */
#ifndef FX_CHECKPOINT_STATE_DICT_H
#define FX_CHECKPOINT_STATE_DICT_H

#include "checkpoint/component.h"
#include "net/graph.h"

struct fx_state_dict {
    const struct fx_graph *graph;        /* borrowed */
    int n_lines;                         /* differences logged so far */
    struct fx_state_dict_entry *entries; /* owned: one for each parameter of the graph */
};

/* How one file differs from the model, for its messages. */
struct fx_differences {
    /* One line on the log each, up to FX_DIFFERENCE_LINES_MAX of all files together. */
    int n_unknown, n_shape, n_dtype, n_double, n_values;
    int n_missing;
    int n_converted; /* F64, F16, BF16 to F32 */
    int n_counters;  /* to I64 */
    int n_hidden;    /* differences without a line */
    char line[512];  /* the last difference, not yet on the log */
};
enum { FX_DIFFERENCE_LINES_MAX = 20 };

int fx_differences_total(const struct fx_differences *diffs); /* of all differences */

enum fx_status fx_state_dict_init(struct fx_state_dict *dict, const struct fx_graph *graph,
                                  struct fx_err *err) FX_MUST_CHECK;
void fx_state_dict_fini(struct fx_state_dict *dict); /* accepts a zeroed record */

/* How many tensors of the set are parameters once the prefix ("expert_backbones.2.") is put before
 * their names. */
size_t fx_state_dict_count(const struct fx_state_dict *dict, const struct fx_tensor_set *set,
                           const char *prefix);

/* Takes the file's tensors for the parameters of those names.  Tensors that no parameter has, other
 * shapes, dtypes that are not F32, F64, F16 or BF16 (for counters: what is not one whole number),
 * parameters that were given before and values that are not finite are differences, counted in
 * *diffs.  The component must outlive the state dict. */
void fx_state_dict_add(struct fx_state_dict *dict, const struct fx_tensor_file *component,
                       const char *prefix, struct fx_differences *diffs);
/* Whether any parameter with this prefix has been given. */
bool fx_state_dict_has(const struct fx_state_dict *dict, const char *prefix);
/* Counts what no file has given yet among the parameters with this prefix, and names it with or
 * (is_bare) without the prefix.  Counters (num_batches_tracked), which torch < 0.4 did not have,
 * are 0 then, with a warning. */
void fx_state_dict_require(struct fx_state_dict *dict, const char *prefix, bool is_bare,
                           const char *file, struct fx_differences *diffs);
/* FX_EINPUT when there are differences: a single one is the message; several have been logged, and
 * the message is "FILE: does not fit ARCH: 2 missing, 1 unknown ...; hint".  The hint may be NULL.
 */
enum fx_status fx_state_dict_judge(struct fx_state_dict *dict, struct fx_differences *diffs,
                                   const char *file, const char *arch, const char *hint,
                                   struct fx_err *err) FX_MUST_CHECK;

/* Adds every parameter of the graph to the set, in the graph's order and dtype; data that is not in
 * a file in this form stays NULL and comes from fx_state_dict_fetch (fx_tensor_fetch, ctx is the
 * state dict). */
enum fx_status fx_state_dict_describe(const struct fx_state_dict *dict, struct fx_tensor_set *set,
                                      struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_state_dict_fetch(void *dict, const struct fx_tensor *tensor, void *buf,
                                   struct fx_err *err) FX_MUST_CHECK;

/* fx_arch_guess: says into buf which family's network the tensors of one expert are ("its tensors
 * are those of resnet18 with 10 classes"), or that they are a whole model; false when they fit
 * none. */
bool fx_arch_guess(const struct fx_tensor_set *set, char *buf, size_t n);

#endif
