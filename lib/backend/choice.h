/* The device a run computes on: the one that was named, or the best that build and machine have. */
#ifndef FX_BACKEND_CHOICE_H
#define FX_BACKEND_CHOICE_H

#include "backend/backend.h"

enum { FX_CHOICE_WHY_BYTES = FX_ERR_MSG_BYTES + 80 };
struct fx_choice {
    const struct fx_backend *backend; /* static */
    int ordinal;
    char device[16];               /* "cpu", "ref", "cuda:1" */
    char why[FX_CHOICE_WHY_BYTES]; /* what the GPU is, or why it is none; "": cpu or ref by name */
    bool warns;                    /* the user may have expected another one */
};

/* fx_choose: the device by its text.
 *   auto, auto:N              GPU N (0), counted round, of those that can be used; where there is
 *                             none, cpu; where the build has none of that either, ref
 *   cuda, cuda:N, cuda:auto:N a GPU, the last one counted round in the same way
 *   cpu, ref
 * FX_EUSAGE: no such text.  FX_EDEVICE: the device that was named is not there or cannot be used,
 * and why; auto always finds one. */
enum fx_status fx_choose(struct fx_choice *choice, const char *device,
                         struct fx_err *err) FX_MUST_CHECK;

#endif
