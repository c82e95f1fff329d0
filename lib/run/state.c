/* The state as a flat JSON object, by one table.  jansson writes reals with 17 digits, so they read
 * back exactly. */
#include "run/state.h"

#include <stdbool.h>
#include <stddef.h>

enum member_kind { MEMBER_INT, MEMBER_REAL };

struct member {
    const char *name;
    enum member_kind kind;
    size_t offset;
};

#define INT(name, field)                                                                           \
    {                                                                                              \
        name, MEMBER_INT, offsetof(struct fx_state, field)                                         \
    }
#define REAL(name, field)                                                                          \
    {                                                                                              \
        name, MEMBER_REAL, offsetof(struct fx_state, field)                                        \
    }

static const struct member members[] = {
    INT("epoch", epoch),
    INT("batch", batch),
    INT("step", step),
    INT("epochs_done", epochs_done),
    REAL("val_accuracy", val_accuracy),
    INT("sum_images", sums.n_images),
    REAL("sum_total", sums.total),
    REAL("sum_fused", sums.fused),
    REAL("sum_individual", sums.individual),
    REAL("sum_correct", sums.correct),
    INT("best_epoch", best.epoch),
    INT("best_step", best.step),
    REAL("best_accuracy", best.accuracy),
    INT("best_crc", best.crc),
    INT("history_lines", history_lines),
};

enum { N_MEMBERS = sizeof members / sizeof *members };

static json_t *member_value(const struct fx_state *state, const struct member *member)
{
    const void *at = (const char *)state + member->offset;

    return member->kind == MEMBER_INT ? json_integer(*(const int64_t *)at)
                                      : json_real(*(const double *)at);
}

json_t *fx_state_json(const struct fx_state *state)
{
    json_t *object = json_object();

    for (int i = 0; object && i < N_MEMBERS; i++)
        if (json_object_set_new(object, members[i].name, member_value(state, &members[i])) != 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

static bool is_possible(const struct fx_state *s)
{
    return s->epoch >= 1 && s->batch >= 0 && s->step >= 0 && s->epochs_done == s->epoch - 1 &&
           s->sums.n_images >= 0 && s->best.epoch >= 0 && s->best.epoch <= s->epoch &&
           s->best.step >= 0 && s->best.step <= s->step && s->best.crc >= 0 &&
           s->best.crc <= UINT32_MAX && s->history_lines >= 1;
}

enum fx_status fx_state_parse(struct fx_state *state, const json_t *object, struct fx_err *err)
{
    struct fx_state parsed = { 0 };

    for (int i = 0; i < N_MEMBERS; i++) {
        const json_t *value = json_object_get(object, members[i].name);
        void *at = (char *)&parsed + members[i].offset;
        if (members[i].kind == MEMBER_INT && json_is_integer(value))
            *(int64_t *)at = json_integer_value(value);
        else if (members[i].kind == MEMBER_REAL && json_is_real(value))
            *(double *)at = json_real_value(value);
        else
            return fx_fail(err, FX_EINPUT, "train.state: no usable %s", members[i].name);
    }
    if (!is_possible(&parsed))
        return fx_fail(err, FX_EINPUT, "train.state: impossible values");
    *state = parsed;
    return FX_OK;
}
