/* A model put together from files of components, or from PyTorch's file of a whole model: which
 * file is which part, and whether together they are all of it (ckpt-join(1)).
 *
 * fx_join_open, then fx_join_take, then fx_join_describe: the set is the model's, its data is
 * borrowed from the files or comes from fx_state_dict_fetch with &join->dict.  fx_join_close after
 * everything, also after a failure. */
#ifndef FX_CHECKPOINT_JOIN_H
#define FX_CHECKPOINT_JOIN_H

#include "checkpoint/state_dict.h"
#include "net/arch.h"
#include "net/model.h"

enum { FX_JOIN_FILES_MAX = FX_GRAPH_MAX_EXPERTS + 2 };

struct fx_join_options {
    const char *arch, *fusion, *fused; /* NULL when the files say it */
    int64_t n_experts, n_classes;
    bool has_experts, has_classes; /* given, else what the files say, else the numbers above */
    bool is_experts;               /* experts alone: neither fusion module nor head */
    bool stops;         /* at the first file that is wrong, which is the error; else every
                           one is a line on the log, and the error is empty */
    char *const *files; /* borrowed */
    int n_files;
};

struct fx_join {
    struct fx_join_options options; /* completed by what the files say */
    enum fx_fused_form fused;
    struct fx_graph graph;
    struct fx_state_dict dict;
    char arch[FX_ARCH_LIST_BYTES]; /* what was given, or the files say */
    struct fx_tensor_file files[FX_JOIN_FILES_MAX];
    bool is_usable[FX_JOIN_FILES_MAX];
    int number[FX_JOIN_FILES_MAX];        /* which expert a file says it is, or -1 */
    bool is_placed[FX_GRAPH_MAX_EXPERTS]; /* a file says, or was found, to be this expert */
    enum fx_status opened;                /* of the file that could not be opened */
};

/* fx_join_open: opens the files, asks them what model they are, and builds its graph.  FX_EUSAGE
 * names the option that is missing. */
enum fx_status fx_join_open(struct fx_join *join, const struct fx_join_options *options,
                            struct fx_err *err) FX_MUST_CHECK;

/* fx_join_take: compares every tensor with the model; all differences are reported. */
enum fx_status fx_join_take(struct fx_join *join, struct fx_err *err) FX_MUST_CHECK;

/* fx_join_describe: adds the model's tensors and its metadata to the set. */
enum fx_status fx_join_describe(const struct fx_join *join, struct fx_tensor_set *set,
                                struct fx_err *err) FX_MUST_CHECK;

void fx_join_close(struct fx_join *join); /* accepts a zeroed record */

#endif
