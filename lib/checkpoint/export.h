/* One expert of a checkpoint as a file of its own. */
#ifndef FX_CHECKPOINT_EXPORT_H
#define FX_CHECKPOINT_EXPORT_H

#include "net/graph.h"

/* fx_export_expert: writes expert 0 of the checkpoint under its bare names (conv1.weight, ...), in
 * the order of its state_dict: as .pth when path ends so, as safetensors with the checkpoint's
 * metadata otherwise.  path "-" or NULL is stdout. */
enum fx_status fx_export_expert(const char *checkpoint, const struct fx_graph *graph,
                                const char *path, struct fx_err *err) FX_MUST_CHECK;

#endif
