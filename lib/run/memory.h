/* The memory that a run needs, compared with what is free before anything large is allocated. */
#ifndef FX_RUN_MEMORY_H
#define FX_RUN_MEMORY_H

#include "backend/backend.h"

/* Planned bytes: first what is in the model's memory (device or host), then host memory. */
struct fx_memory_plan {
    struct fx_memory model;
    size_t images;      /* the training images, where the device keeps them */
    bool on_device;     /* model and images are in device memory */
    size_t device_left; /* free device memory; valid if on_device */
    size_t batches;     /* prepared batches, evaluation batches */
    size_t experts;     /* the experts stream while it is read; 0 when it is mapped */
};

/* Sums: of model and images; of everything. */
size_t fx_memory_plan_model(const struct fx_memory_plan *plan);
size_t fx_memory_plan_total(const struct fx_memory_plan *plan);

/* fx_memory_available: bytes that this process may plan to allocate: the least of MemAvailable, the
 * rest of the control groups' limits, and the rest of RLIMIT_AS, minus a reserve for allocations
 * outside the plan.  *limit names the one that decided ("free memory", "the control group's limit",
 * "the address space limit (ulimit -v)"). */
size_t fx_memory_available(const char **limit);

/* fx_memory_check_threads: called before a model is planned on n threads.  FX_EFAIL when the
 * address space is too small for the threads and oneDNN, which would crash. */
enum fx_status fx_memory_check_threads(int n, struct fx_err *err) FX_MUST_CHECK;

/* fx_memory_check: prints the plan on the log.  FX_EFAIL with the numbers and what to reduce when
 * it cannot fit, on the device or on the host. */
enum fx_status fx_memory_check(const struct fx_memory_plan *plan, int64_t batch,
                               struct fx_err *err) FX_MUST_CHECK;

#endif
