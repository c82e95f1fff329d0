/* Copies between a map of its own and a run of channels in a wider one, which may begin at any
 * channel, also in the middle of a block. */
#include "backend/cpu/cpu_internal.h"

#include <string.h>

/* ---- copies; they move bits and know no numbers ---- */

/* One run of channels within a pixel: count values from channel `from` of a block to channel `to`.
 */
struct run_of_channels {
    int from, to, count;
};

static void copy_channel_run(const struct fx_loops *loops, const char *src, char *dst, int area,
                             struct run_of_channels r)
{
    size_t pixel = (size_t)loops->block * loops->value_bytes, v = loops->value_bytes;

    src += (size_t)r.from * v;
    dst += (size_t)r.to * v;
    for (int p = 0; p < area; p++, src += pixel, dst += pixel)
        memcpy(dst, src, (size_t)r.count * v);
}

/* Copies c channels of image i, from channel `from_c` of `from` to channel `to_c` of `to`, in runs
 * that stay within a block on both sides; whole blocks at once where they match. */
static void copy_channels(const struct fx_loops *loops, const struct fx_view *from, int from_c,
                          const struct fx_view *to, int to_c, int c, int i)
{
    int b = loops->block;

    for (int done = 0; done < c;) {
        struct run_of_channels r = { (from_c + done) % b, (to_c + done) % b, c - done };
        const char *src = fx_view_at(from, loops, i, (from_c + done) / b);
        char *dst = fx_view_at(to, loops, i, (to_c + done) / b);

        if (r.count > b - r.from)
            r.count = b - r.from;
        if (r.count > b - r.to)
            r.count = b - r.to;
        if (r.count == b)
            memcpy(dst, src, (size_t)from->area * (size_t)b * loops->value_bytes);
        else
            copy_channel_run(loops, src, dst, from->area, r);
        done += r.count;
    }
}

/* Zeros in the channels from c to the end of the block that c is in the middle of. */
static void clear_from(const struct fx_loops *loops, const struct fx_view *v, int c, int i)
{
    size_t pixel = (size_t)loops->block * loops->value_bytes;
    size_t used = (size_t)(c % loops->block) * loops->value_bytes;
    char *at = fx_view_at(v, loops, i, c / loops->block);

    for (int p = 0; used > 0 && p < v->area; p++, at += pixel)
        memset(at + used, 0, pixel - used);
}

enum fx_status fx_cpu_copy_out(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                               struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n; i++) {
        copy_channels(loops, &s->operands[0], s->first, &s->operands[1], 0, s->operands[1].c, i);
        clear_from(loops, &s->operands[1], s->operands[1].c, i);
    }
    return FX_OK;
}

enum fx_status fx_cpu_copy_in(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                              struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n; i++) {
        copy_channels(loops, &s->operands[0], 0, &s->operands[1], s->first, s->operands[0].c, i);
        clear_from(loops, &s->operands[1], s->first + s->operands[0].c, i);
    }
    return FX_OK;
}
