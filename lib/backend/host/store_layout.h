/* Where the parameters of a model lie in their arenas, whoever's memory the arenas are.
 *
 * Weights lie one after the other in the graph's order, hence group after group, those that do not
 * train before the others; each starts on a cache line.  The arenas of the other roles (gradients,
 * exp_avg, exp_avg_sq) hold the trained ones only, in the same order.  A back end may keep a
 * parameter in a packed layout that takes more floats than it has elements: the rest holds zeros in
 * every role, so norms and optimizer steps run over whole arenas without masks.  Running statistics
 * have an arena of their own, and so have counters.
 *
 * Life: init -> set_packed (as layouts become known) -> memory -> place. */
#ifndef FX_BACKEND_HOST_STORE_LAYOUT_H
#define FX_BACKEND_HOST_STORE_LAYOUT_H

#include "backend/backend.h"

/* Where a parameter lies: floats (counters: numbers) from the start of its arena. */
struct fx_extent {
    size_t offset;
    size_t n; /* packed size; counters: 1 */
};

/* The trained arenas are cut into chunks of at most so many floats, each a task of update; chunks
 * count from the first trained float. */
enum { FX_CHUNK_FLOATS = 16384 };

struct fx_store_layout {
    const struct fx_graph *graph; /* borrowed */
    bool trains;
    struct fx_extent *extents; /* owned; one for each parameter of the graph */
    /* after place: */
    size_t n_fixed;   /* floats of weights that do not train: so many come first among the values */
    size_t n_trained; /* floats of those that train, in every role */
    size_t n_running; /* floats of running means and variances */
    size_t n_counters;
    bool averages; /* trains a graph that averages: one more role, and one for running statistics */
    bool gathers;  /* a training forward gathers running statistics, an update commits them */
    struct fx_chunk *chunks; /* owned */
    size_t n_chunks;
};

/* fx_store_layout_init: every parameter in C order until set_packed says otherwise. */
enum fx_status fx_store_layout_init(struct fx_store_layout *layout, const struct fx_graph *graph,
                                    bool trains, struct fx_err *err) FX_MUST_CHECK;
void fx_store_layout_fini(struct fx_store_layout *layout); /* accepts a zeroed layout */

/* fx_store_layout_set_packed: a trained parameter takes n floats (>= n_elements).  Before place. */
void fx_store_layout_set_packed(struct fx_store_layout *layout, int param, size_t n);

/* Running statistics, in training their pending copies and averages, and the counters. */
size_t fx_store_layout_statistics_bytes(const struct fx_store_layout *layout);

/* fx_store_layout_memory: fills parameters, gradients and optimizer from the sizes known so far;
 * leaves the other roles alone. */
void fx_store_layout_memory(const struct fx_store_layout *layout, struct fx_memory *memory);

/* fx_store_layout_place: once; offsets, sizes and chunks. */
enum fx_status fx_store_layout_place(struct fx_store_layout *layout,
                                     struct fx_err *err) FX_MUST_CHECK;

#endif
