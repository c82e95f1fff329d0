/* What a call written in a pickle becomes: plain data where that is all it means, else a node. */
#ifndef FX_ARCHIVE_PICKLE_CALL_INTERNAL_H
#define FX_ARCHIVE_PICKLE_CALL_INTERNAL_H

#include "archive/pickle_value_internal.h"

/* fx_pickle_call: the value of callable(*args), without calling: a DICT, BYTES, or an OBJECT that
 * records the name and the arguments (see fx_unpickle).
 *   callable  GLOBAL or PERSISTENT;  args  TUPLE
 * NULL: *why says what is wrong with the arguments, or stays NULL when the tree has no room. */
struct fx_pickle_value *fx_pickle_call(struct fx_pickle *pickle, struct fx_pickle_value *callable,
                                       struct fx_pickle_value *args, const char **why);

#endif
