/* Private to lib/backend/ref: the slots of its back-end table; backend.h says what each does. */
#ifndef FX_BACKEND_REF_BACKEND_H
#define FX_BACKEND_REF_BACKEND_H

#include "backend/backend.h"

enum fx_status fx_ref_device_open(struct fx_device **device,
                                  const struct fx_device_options *options, struct fx_err *err);
void fx_ref_device_close(struct fx_device *device);
enum fx_status fx_ref_model_create(struct fx_model **model, struct fx_device *device,
                                   const struct fx_graph *graph, bool trains, struct fx_err *err);
void fx_ref_model_destroy(struct fx_model *model);
void fx_ref_model_memory(const struct fx_model *model, struct fx_memory *memory);
enum fx_status fx_ref_model_allocate(struct fx_model *model, struct fx_err *err);
enum fx_status fx_ref_program_create(struct fx_program **program, struct fx_model *model,
                                     enum fx_mode mode, int n, struct fx_err *err);

#endif
