/* The non-executing unpickler: bytes to a tree of plain data (pickle_value_internal.h). */
#ifndef FX_ARCHIVE_UNPICKLE_INTERNAL_H
#define FX_ARCHIVE_UNPICKLE_INTERNAL_H

#include "archive/pickle_value_internal.h"

/* fx_unpickle: reads one pickle of protocol 2 to 5 (Python 2 and 3), from its PROTO to its STOP.
 *   bytes, n_bytes  the pickle, and whatever follows it; must outlive the tree (strings borrow)
 *   n_used          out: where the pickle ended; NULL when nothing may follow it
 *   name            for messages
 * Never resolves, imports or calls anything.  Classes and functions become nodes.  Three calls are
 * understood because the values are plain data: collections.OrderedDict, defaultdict and Counter
 * (and dict itself) become a DICT; _codecs.encode(text, "latin1"), which is how Python 3 writes
 * bytes in protocol 2, becomes BYTES; bytes() becomes empty BYTES.
 * FX_EINPUT names the byte and the reason: cut input, an opcode outside the supported set, an
 * operand that does not fit the stack, an unknown memo entry, or a limit of
 * pickle_value_internal.h. Zeroes *pickle first; call fx_pickle_fini also after a failure. Source
 * of the opcodes: CPython, Lib/pickletools.py. */
enum fx_status fx_unpickle(struct fx_pickle *pickle, const uint8_t *bytes, size_t n_bytes,
                           size_t *n_used, const char *name, struct fx_err *err) FX_MUST_CHECK;

#endif
