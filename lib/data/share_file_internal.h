/* Shares from a text file: a line for each expert, its image numbers separated by blanks or commas
 * (cifar-prep(1), SHARES). */
#ifndef FX_DATA_SHARE_FILE_INTERNAL_H
#define FX_DATA_SHARE_FILE_INTERNAL_H

#include "data/dataset.h"

/* fx_share_file_read: sets bit k of owners[image] for every image of line k.
 *   n_experts  in out  how many lines there must be, 2 to FX_MAX_EXPERTS; 0: as many as there are
 * FX_EINPUT names the line and what is wrong: another byte, a number that is no training image, not
 * in the pool or twice in the line, too few or too many lines.  Reads no further than that, so the
 * file may be a pipe. */
enum fx_status fx_share_file_read(const char *path, uint8_t *owners, int64_t n_train,
                                  struct fx_index_list pool, int *n_experts,
                                  struct fx_err *err) FX_MUST_CHECK;

#endif
