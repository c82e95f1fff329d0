/* CONCAT, and the copies between a map of its own and a run of channels in a wider one.
 *
 * A chain of concatenations is one buffer: its first part is written there by its maker, or copied;
 * every later part is copied behind it, at any channel, also in the middle of a block.  The
 * gradient of the chain is a buffer of the same shape, whose parts are copied out. */
#include "backend/cpu/lower.h"

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

/* views: from, to; first: channel of `from` */
static enum fx_status run_copy_out(const struct fx_step *s, const struct fx_run *run,
                                   struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n; i++) {
        copy_channels(loops, &s->views[0], s->first, &s->views[1], 0, s->views[1].c, i);
        clear_padding(loops, &s->views[1], i);
    }
    return FX_OK;
}

/* views: from, to; first: channel of `to` */
static enum fx_status run_copy_in(const struct fx_step *s, const struct fx_run *run,
                                  struct fx_err *err)
{
    const struct fx_loops *loops = run->program->model->device->loops;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < run->program->n; i++)
        copy_channels(loops, &s->views[0], 0, &s->views[1], s->first, s->views[0].c, i);
    return FX_OK;
}

enum fx_status fx_lower_copy_out(struct fx_lowering *l, int node, const struct fx_view *from,
                                 int first, const struct fx_view *to)
{
    return fx_lower_emit(l, (struct fx_step){ .fn = run_copy_out,
                                              .name = "copy out",
                                              .node = node,
                                              .views = { *from, *to },
                                              .first = first });
}

/* ---- lowering ---- */

/* Whether the node's first input is the beginning of the same buffer. */
static bool extends(const struct fx_lowering *l, int node)
{
    int first = fx_lower_input(l, &l->graph->nodes[node], 0);

    return l->uses[first].group == l->uses[node].group;
}

enum fx_status fx_lower_concat(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_step step = { .fn = run_copy_in, .name = "concat", .node = node };

    FX_TRY(fx_lower_place_value(l, node, -1, &step.views[1]));
    for (int j = 0; j < n->n_inputs; j++) {
        int x = fx_lower_input(l, n, j);

        if (j > 0 || !extends(l, node)) {
            FX_TRY(fx_lower_value(l, x, &step.views[0]));
            FX_TRY(fx_lower_emit(l, step));
        }
        step.first += l->graph->nodes[x].shape.c;
    }
    return FX_OK;
}

enum fx_status fx_lower_concat_back(struct fx_lowering *l, int node)
{
    const struct fx_node *n = &l->graph->nodes[node];
    struct fx_view dy = l->grads[node], dx;
    int first = 0;

    for (int j = 0; j < n->n_inputs; j++) {
        int x = fx_lower_input(l, n, j);
        int c = l->graph->nodes[x].shape.c;

        if (l->uses[x].wants_grad && (j > 0 || !extends(l, node))) {
            FX_TRY(fx_lower_new_like(l, x, &dx));
            FX_TRY(fx_lower_copy_out(l, node, &dy, first, &dx));
            fx_lower_share(l, &dx);
            FX_TRY(fx_lower_contribute(l, x, &dx));
        }
        first += c;
    }
    if (l->uses[fx_lower_input(l, n, 0)].wants_grad && extends(l, node)) {
        dy.c = l->graph->nodes[fx_lower_input(l, n, 0)].shape.c;
        dy.is_exact = false;
        return fx_lower_contribute(l, fx_lower_input(l, n, 0), &dy); /* hands its reference on */
    }
    fx_lower_release(l, &dy);
    return FX_OK;
}
