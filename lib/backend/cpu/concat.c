/* Copies between a map of its own and a run of channels in a wider one, which may begin at any
 * channel, also in the middle of a block. */
#include "backend/cpu/cpu_run.h"

#include <string.h>

/* ---- copies; they move bits and know no numbers ---- */

/* One run of channels within a pixel: count values from lane `from` to lane `to`. */
struct run_of_lanes {
    int from, to, count;
};

static void copy_lanes(const struct fx_loops *loops, const char *src, char *dst, int area,
                       struct run_of_lanes r)
{
    size_t pixel = (size_t)loops->lanes * loops->value_bytes, v = loops->value_bytes;

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
    int b = loops->lanes;

    for (int done = 0; done < c;) {
        struct run_of_lanes r = { (from_c + done) % b, (to_c + done) % b, c - done };
        const char *src = fx_view_at(from, loops, i, (from_c + done) / b);
        char *dst = fx_view_at(to, loops, i, (to_c + done) / b);

        if (r.count > b - r.from)
            r.count = b - r.from;
        if (r.count > b - r.to)
            r.count = b - r.to;
        if (r.count == b)
            memcpy(dst, src, (size_t)from->area * (size_t)b * loops->value_bytes);
        else
            copy_lanes(loops, src, dst, from->area, r);
        done += r.count;
    }
}

/* Zeros in the last block's lanes from channel c on. */
static void clear_padding(const struct fx_loops *loops, const struct fx_view *v, int i)
{
    size_t pixel = (size_t)loops->lanes * loops->value_bytes;
    size_t used = (size_t)(v->c % loops->lanes) * loops->value_bytes;
    char *at = fx_view_at(v, loops, i, v->c / loops->lanes);

    for (int p = 0; used > 0 && p < v->area; p++, at += pixel)
        memset(at + used, 0, pixel - used);
}

enum fx_status fx_cpu_copy_out(const struct fx_step *s, const struct fx_run *run,
                               struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->lowered.n; i++) {
        copy_channels(loops, &s->views[0], s->first, &s->views[1], 0, s->views[1].c, i);
        clear_padding(loops, &s->views[1], i);
    }
    return FX_OK;
}

enum fx_status fx_cpu_copy_in(const struct fx_step *s, const struct fx_run *run, struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->lowered.n; i++)
        copy_channels(loops, &s->views[0], 0, &s->views[1], s->first, s->views[0].c, i);
    return FX_OK;
}
