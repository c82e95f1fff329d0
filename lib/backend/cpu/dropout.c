/* DROPOUT of maps: the mask of base/philox.h as one word a pixel and channel block, drawn in the
 * forward pass and kept, at a bit a value, for the backward pass. */
#include "backend/cpu/cpu_internal.h"

#include <math.h>

/* The words of one image's block: channel l of pixel p is element p * C + first + l.  Any C. */
static void draw_slowly(const struct fx_dropout *d, uint32_t image, int c, int first, int block,
                        int area, uint16_t *words)
{
    int used = c - first < block ? c - first : block;
    float factor[4];

    for (int p = 0; p < area; p++) {
        uint32_t begin = (uint32_t)p * (uint32_t)c + (uint32_t)first;
        uint32_t drawn = UINT32_MAX; /* the quad in `factor` */
        unsigned word = 0;

        for (int l = 0; l < used; l++) {
            uint32_t element = begin + (uint32_t)l;

            if (element / 4 != drawn) {
                drawn = element / 4;
                fx_dropout_quad(d, image, drawn, factor);
            }
            if (factor[element % 4] > 0)
                word |= 1u << l;
        }
        words[p] = (uint16_t)word;
    }
}

/* The same where four channels share a draw. */
static void draw_block(const struct fx_loops *loops, const struct fx_dropout *d, uint32_t image,
                       int c, int first, int area, uint16_t *words)
{
    int used = c - first < loops->block ? c - first : loops->block;
    struct fx_mask_span span = {
        .counter = { d->word, d->epoch, image },
        .seed = d->seed,
        .limit = (uint32_t)ceil((double)d->p * 0x1p24), /* u < p with u = word / 2^24 */
        .c = (uint32_t)c,
        .first = (uint32_t)first,
        .used = (uint32_t)used,
    };

    if (c % 4 == 0)
        loops->draw(&span, (size_t)area, words);
    else
        draw_slowly(d, image, c, first, loops->block, area, words);
}

/* Draws the mask of the instruction's node. */
enum fx_status fx_cpu_mask(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                           struct fx_err *err)
{
    const struct fx_program *program = exec->program;
    const struct fx_node *node = fx_instr_node(s, exec);
    const struct fx_mask *mask = &program->lowered.nodes[s->node].mask;
    struct fx_dropout d = fx_dropout_of(node, program->batch.seed, program->batch.epoch);
    const struct fx_loops *loops = program->model->device->loops;
    int block = loops->block;
    int area = node->shape.h * node->shape.w, n_blocks = fx_blocks(node->shape.c, block);
    uint16_t *words = mask->words;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < program->lowered.n * n_blocks; i++)
        draw_block(loops, &d, program->batch.numbers[i / n_blocks], node->shape.c,
                   i % n_blocks * block, area, words + (size_t)i * (size_t)area);
    return FX_OK;
}

enum fx_status fx_cpu_drop(const struct fx_instr *s, const struct fx_cpu_exec *exec,
                           struct fx_err *err)
{
    const struct fx_loops *loops = exec->program->model->device->loops;
    const struct fx_view *x = &s->operands[0], *y = &s->operands[1];
    const struct fx_mask *mask = &exec->program->lowered.nodes[s->node].mask;
    int n_blocks = fx_blocks(x->c, loops->block);
    const uint16_t *words = mask->words;

    (void)err;
#pragma omp parallel for
    for (int i = 0; i < exec->program->lowered.n * n_blocks; i++) {
        struct fx_kept kept = { words + (size_t)i * (size_t)x->area, mask->factor };

        loops->drop(fx_view_at(x, loops, i / n_blocks, i % n_blocks),
                    fx_view_at(y, loops, i / n_blocks, i % n_blocks), (size_t)x->area, kept);
    }
    return FX_OK;
}
