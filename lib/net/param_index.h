/* Private to lib/net: the hash table over parameter names inside a graph. */
#ifndef FX_NET_PARAM_INDEX_H
#define FX_NET_PARAM_INDEX_H

#include "net/graph.h"

/* fx_graph_index_last: enters the parameter appended last, whose name is not in the table yet.
 * FX_EFAIL when memory runs out. */
enum fx_status fx_graph_index_last(struct fx_graph *graph, struct fx_err *err) FX_MUST_CHECK;

#endif
