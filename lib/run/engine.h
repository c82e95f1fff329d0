/* The engine: one graph on one device, compiled for what a tool needs. */
#ifndef FX_RUN_ENGINE_H
#define FX_RUN_ENGINE_H

#include "backend/backend.h"
#include "checkpoint/model_source.h"
#include "net/model.h"
#include "run/memory.h"
#include "tensor/tensor.h"

/* What to compile. */
struct fx_engine_options {
    const char *device; /* as fx_choose takes it */
    enum fx_precision precision;
    int threads; /* 0: as many as the process may use */
    bool trains;
    int train_n; /* images of a full training batch; 0: none */
    int tail_n;  /* images of the last, partial batch of an epoch; 0: none */
    int eval_n;  /* images of an evaluation batch */
};

struct fx_engine {
    struct fx_choice choice;
    const struct fx_backend *backend;       /* the choice's */
    struct fx_device *device;               /* owned */
    const struct fx_graph *graph;           /* borrowed: outlives the engine */
    struct fx_model *model;                 /* owned */
    struct fx_program *train, *tail, *eval; /* owned by the model; NULL: not compiled */
    int train_n, tail_n, eval_n, threads;
};

/* fx_engine_open: chooses the device, says which and why in the log, opens it and compiles;
 * model_memory is known afterwards and nothing large is allocated.  should_stop is polled during
 * the work (NULL: never). */
enum fx_status fx_engine_open(struct fx_engine *engine, const struct fx_graph *graph,
                              const struct fx_engine_options *options, bool (*should_stop)(void),
                              struct fx_err *err) FX_MUST_CHECK;
/* fx_engine_plan_memory: fills in the model's part of the plan and the device's free memory. */
enum fx_status fx_engine_plan_memory(const struct fx_engine *engine, struct fx_memory_plan *plan,
                                     struct fx_err *err) FX_MUST_CHECK;
enum fx_status fx_engine_allocate(struct fx_engine *engine, struct fx_err *err) FX_MUST_CHECK;
void fx_engine_close(struct fx_engine *engine); /* accepts a zeroed record */

/* fx_engine_probe: whether the device can be opened: FX_EDEVICE or FX_EUSAGE says why not. */
enum fx_status fx_engine_probe(const struct fx_engine_options *options,
                               struct fx_err *err) FX_MUST_CHECK;

/* fx_engine_load: parameters, running statistics and counters from a set that passed
 * fx_checkpoint_check.  Parameters that are not in the set are initialised from seed: fusion module
 * and head, or with an empty set all. */
enum fx_status fx_engine_load(struct fx_engine *engine, const struct fx_tensor_set *set,
                              uint64_t seed, struct fx_err *err) FX_MUST_CHECK;
/* fx_engine_load_source: the same of a model that was opened from any form of it; nothing is
 * missing there. */
enum fx_status fx_engine_load_source(struct fx_engine *engine, const struct fx_model_source *source,
                                     struct fx_err *err) FX_MUST_CHECK;

/* The number of CPUs that this process may run on. */
int fx_engine_default_threads(void);

#endif
