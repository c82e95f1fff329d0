/* Start and exit of a tool: the same shape for every main(). */
#ifndef FX_BASE_TOOL_H
#define FX_BASE_TOOL_H

#include "base/option.h"

extern const char fx_version[]; /* "1.0.0", from the Makefile */

/* Parses the command line with the tool's table and the shared rows (--help --version --quiet
 * --verbose).  Options may stand before or after operands; "--" ends them; "-" is an operand.
 * Exits by itself with 0 after --help and --version and with 2 on a bad command line (message and
 * "Try 'NAME --help' for more information." on stderr).  Leaves the operands in argv[0..n-1],
 * returns their number.  Also: opens closed descriptors 0, 1 and 2, so that no file gets their
 * numbers, makes stderr line buffered, guards temporary files against signals, and turns the SIGBUS
 * of a mapped file that shrinks into one line and exit code 3. */
int fx_tool_start(const struct fx_tool *tool, int argc, char **argv);

/* Flushes and closes stdout and checks it (a full disk is noticed here), prints the error record as
 * one line "NAME: message", and returns the exit code.  On EPIPE the process ends by SIGPIPE. */
int fx_tool_exit(enum fx_status status, const struct fx_err *err);

/* The command line as one shell-quoted string, for logs and checkpoint metadata; static storage. */
const char *fx_tool_command_line(void);

#endif
