/* Where the time of a step goes on the device: an event before each instruction and one
 * behind the last, on the main stream; launches are not recorded as graphs meanwhile. */
#include "backend/cuda/cuda_internal.h"

#include <stdlib.h>

/* The end of the forward pass and the start of the backward pass are different times. */
static int event_of(int i, bool is_backward)
{
    return is_backward ? i + 1 : i;
}

enum fx_status fx_cuda_mark(const struct fx_program *program, const struct fx_lane_batch *batch,
                            int i, bool is_backward, struct fx_err *err)
{
    cudaEvent_t *marks = program->marks[batch->first];

    if (marks)
        FX_CUDA(cudaEventRecord(marks[event_of(i, is_backward)], program->model->device->main));
    return FX_OK;
}

void fx_cuda_marks_fini(struct fx_program *program)
{
    for (int lane = 0; lane < FX_MAX_LANES_OF_GRAPH; lane++) {
        cudaEvent_t *marks = program->marks[lane];

        for (int i = 0; marks && i < program->lowered.lanes[lane].n_instrs + 2; i++)
            if (marks[i])
                cudaEventDestroy(marks[i]);
        free(marks);
        program->marks[lane] = NULL;
    }
}

static bool make_marks(struct fx_program *program)
{
    for (int b = 0; b <= program->n_batches; b++) {
        int lane = program->batches[b].first, n = program->lowered.lanes[lane].n_instrs + 2;

        program->marks[lane] = calloc((size_t)n, sizeof **program->marks);
        for (int i = 0; i < n; i++)
            if (!program->marks[lane] ||
                cudaEventCreateWithFlags(&program->marks[lane][i], cudaEventDefault) != cudaSuccess)
                return false;
    }
    return true;
}

/* The time of instruction i; 0 when it did not run since the marks were made. */
static uint64_t instr_ns(const struct fx_program *program, int lane, int i)
{
    bool is_backward = i >= program->lowered.lanes[lane].n_forward;
    const cudaEvent_t *marks = &program->marks[lane][event_of(i, is_backward)];
    float ms = 0;

    if (cudaEventElapsedTime(&ms, marks[0], marks[1]) == cudaSuccess)
        return (uint64_t)(ms * 1e6f);
    return 0;
}

void fx_cuda_profile_print(struct fx_program *program, FILE *out)
{
    if (!program->marks[program->batches[0].first]) {
        if (!make_marks(program))
            fx_cuda_marks_fini(program);
        return;
    }
    for (int b = 0; b <= program->n_batches; b++) {
        int lane = program->batches[b].first;

        for (int i = 0; i < program->lowered.lanes[lane].n_instrs; i++)
            program->lowered.lanes[lane].instrs[i].ns += instr_ns(program, lane, i);
    }
    fx_lowered_profile_print(&program->lowered, out);
}
