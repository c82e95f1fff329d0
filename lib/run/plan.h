/* The plan of a training run: settings, model and images. */
#ifndef FX_RUN_PLAN_H
#define FX_RUN_PLAN_H

#include "checkpoint/checkpoint.h"
#include "config/train_options.h"
#include "run/engine.h"
#include "run/evaluate.h"

/* Everything borrowed. */
struct fx_run_plan {
    const struct fx_settings *settings; /* complete */
    const struct fx_dataset *dataset;
    const struct fx_graph *graph;
    struct fx_index_list images; /* numbers to train on, sorted */
    struct fx_subset val, test;
    /* Initial values of a fresh run, checked; fx_train closes it once the engine has them.  An
     * empty set: everything from the seed. */
    struct fx_tensor_file *initial;
};

#endif
