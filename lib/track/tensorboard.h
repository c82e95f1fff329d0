/* A metrics stream as an event file of TensorBoard: what metrics-tensorboard does.
 *
 * Such a file is a sequence of records: u64 length | masked CRC-32C of the length | data | masked
 * CRC-32C of the data.  The data are protobuf messages:
 *   Event { wall_time=1 double; step=2 int64; file_version=3 text; summary=5 Summary }
 *   Summary { value=1 repeated { tag=1 text; simple_value=2 float } }
 * Source: tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.cc. */
#ifndef FX_TRACK_TENSORBOARD_H
#define FX_TRACK_TENSORBOARD_H

#include "base/status.h"

#include <stdio.h>

/* fx_tensorboard: reads events from `in` and writes dir/events.out.tfevents.SECONDS.fusion-tools,
 * record by record while events arrive.  SECONDS is when the run was first started: a resumed run,
 * which tells everything anew, writes the same file anew.
 *   pass_fd  every line is written here too once it is in the file; -1: nowhere
 *   path     out  the file's name; malloc'ed for the caller, also on failure; NULL: none was made
 * FX_EINPUT as fx_events_next; the file then ends with the last event before. */
enum fx_status fx_tensorboard(FILE *in, const char *in_name, const char *dir, int pass_fd,
                              char **path, struct fx_err *err) FX_MUST_CHECK;

#endif
