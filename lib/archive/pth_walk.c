/* Names of a .pth: the walk over dicts, lists and pickled modules that finds every tensor, and the
 * plain values beside a state dict. */
#include "archive/pth_file_internal.h"

#include "archive/pickle_numpy_internal.h"
#include "base/log.h"
#include "base/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A checkpoint with optimizer state has some thousand values in a depth of five or six; whole
 * pickled modules nest three dicts a level.  Layers that share their parameters are walked under
 * each name, so a file may be walked STEPS_A_CELL times over, and a few kilobytes in any case. */
enum {
    DEPTH_MAX = 256,
    STEPS_A_CELL = 16,
    STEPS_MIN = 4096,
    NAME_BYTES_MAX = 1024,
    SCALAR_BYTES_MAX = 4096,
};

struct walk {
    struct fx_pth_file *file; /* borrowed */
    char name[NAME_BYTES_MAX];
    int depth;
    size_t n_steps_left; /* values that may still be looked at */
    struct fx_err *err;
};

static enum fx_status bad(const struct walk *w, const char *why)
{
    return fx_fail(w->err, FX_EINPUT, "%s: %.*s%s%s", w->file->in->name, FX_PTH_SHOWN_BYTES,
                   w->name, w->name[0] ? ": " : "", why);
}

/* Counts what is about to be looked at. */
static enum fx_status take_steps(struct walk *w, size_t n)
{
    if (n > w->n_steps_left)
        return bad(w, "the same values are used in too many places");
    w->n_steps_left -= n;
    return FX_OK;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Whether the bytes are UTF-8 (RFC 3629) without control characters: names and metadata travel in
 * JSON and in messages. */
static bool is_clean_text(struct fx_pickle_bytes text)
{
    for (size_t i = 0; i < text.n;) {
        uint8_t lead = text.at[i];
        size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        uint32_t code = n == 1 ? lead : lead & (0x7fu >> n);

        if (lead < 0x20 || lead == 0x7f || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4 ||
            n > text.n - i)
            return false;
        for (size_t k = 1; k < n; k++) {
            if ((text.at[i + k] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (text.at[i + k] & 0x3f);
        }
        if ((n == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) ||
            (n == 4 && (code < 0x10000 || code > 0x10ffff)))
            return false;
        i += n;
    }
    return true;
}

/* A dict's key as text: a clean string or an integer. */
static bool key_text(const struct fx_pickle_value *key, char *text, size_t n)
{
    if (key->kind == FX_PICKLE_INT)
        return snprintf(text, n, "%" PRId64, key->integer) < (int)n;
    if ((key->kind != FX_PICKLE_TEXT && key->kind != FX_PICKLE_BYTES) || key->bytes.n == 0 ||
        key->bytes.n >= n || !is_clean_text(key->bytes))
        return false;
    memcpy(text, key->bytes.at, key->bytes.n);
    text[key->bytes.n] = '\0';
    return true;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static enum fx_status visit(struct walk *w, struct fx_pickle_value *value);

/* The number of models in the mean, which torch's AveragedModel keeps beside the one it wraps. */
static bool is_average_count(const struct walk *w, const char *key,
                             const struct fx_pickle_value *value)
{
    return w->name[0] == '\0' && strcmp(key, "n_averaged") == 0 && fx_pth_is_tensor(value);
}

/* Visits a child with ".key" behind the name, and takes that off again. */
static enum fx_status visit_child(struct walk *w, const char *key, struct fx_pickle_value *child)
{
    size_t n = strlen(w->name);

    if (is_average_count(w, key, child)) {
        fx_log_verbose("%s: skipped %s", w->file->in->name, key);
        return FX_OK;
    }
    if (n + 1 + strlen(key) >= sizeof w->name)
        return bad(w, "a name is longer than 1023 bytes");
    snprintf(w->name + n, sizeof w->name - n, "%s%s", n > 0 ? "." : "", key);
    FX_TRY(visit(w, child));
    w->name[n] = '\0';
    return FX_OK;
}

static enum fx_status visit_dict(struct walk *w, struct fx_pickle_value *dict)
{
    char key[NAME_BYTES_MAX];

    FX_TRY(take_steps(w, dict->seq.n));
    if (!fx_pickle_dict_prune(dict))
        return fx_fail(w->err, FX_EFAIL, "%s: out of memory", w->file->in->name);
    for (size_t i = 0; i < dict->seq.n; i += 2) {
        if (key_text(dict->seq.items[i], key, sizeof key))
            FX_TRY(visit_child(w, key, dict->seq.items[i + 1]));
        else if (fx_pth_is_tensor(dict->seq.items[i + 1]) ||
                 fx_pth_why_foreign(dict->seq.items[i + 1]))
            return bad(w, "a tensor's name is not printable text");
        else
            fx_log_verbose("%s: %s: skipped a key that is not printable text", w->file->in->name,
                           w->name);
    }
    return FX_OK;
}

static enum fx_status visit_list(struct walk *w, struct fx_pickle_value *list)
{
    char key[24];

    FX_TRY(take_steps(w, list->seq.n));
    for (size_t i = 0; i < list->seq.n; i++) {
        snprintf(key, sizeof key, "%zu", i);
        FX_TRY(visit_child(w, key, list->seq.items[i]));
    }
    return FX_OK;
}

bool fx_pth_is_module(const struct fx_pickle_value *value)
{
    const struct fx_pickle_value *state;

    if (!value || value->kind != FX_PICKLE_OBJECT)
        return false;
    state = value->object.state;
    return fx_pickle_get(state, "_parameters") && fx_pickle_get(state, "_buffers") &&
           fx_pickle_get(state, "_modules");
}

/* The names of the buffers that a module keeps out of its state dict, or NULL. */
static const struct fx_pickle_value *transient_names(const struct fx_pickle_value *state)
{
    const struct fx_pickle_value *names = fx_pickle_get(state, "_non_persistent_buffers_set");

    if (names && names->kind == FX_PICKLE_OBJECT) /* set([...]) of protocol 2 */
        names = fx_pickle_at(names, 0);
    return names && (names->kind == FX_PICKLE_LIST || names->kind == FX_PICKLE_SET) ? names : NULL;
}

static enum fx_status visit_buffer(struct walk *w, const char *key, struct fx_pickle_value *buffer,
                                   const struct fx_pickle_value *transient)
{
    size_t n = transient ? transient->seq.n : 0;

    FX_TRY(take_steps(w, n));
    for (size_t i = 0; i < n; i++)
        if (fx_pickle_is_text(transient->seq.items[i], key))
            return FX_OK;
    return visit_child(w, key, buffer);
}

/* The order of torch's state_dict(): parameters, buffers, then the modules inside. */
static enum fx_status visit_module(struct walk *w, const struct fx_pickle_value *state)
{
    struct fx_pickle_value *buffers = fx_pickle_get(state, "_buffers");
    const struct fx_pickle_value *transient = transient_names(state);
    char key[NAME_BYTES_MAX];

    FX_TRY(visit(w, fx_pickle_get(state, "_parameters")));
    if (buffers->kind == FX_PICKLE_DICT)
        FX_TRY(take_steps(w, buffers->seq.n));
    for (size_t i = 0; buffers->kind == FX_PICKLE_DICT && i < buffers->seq.n; i += 2)
        if (key_text(buffers->seq.items[i], key, sizeof key))
            FX_TRY(visit_buffer(w, key, buffers->seq.items[i + 1], transient));
    return visit(w, fx_pickle_get(state, "_modules"));
}

/* How many values a look at this one reads: the dict of an object is searched for names. */
static size_t steps_of(const struct fx_pickle_value *value)
{
    const struct fx_pickle_value *state =
        value->kind == FX_PICKLE_OBJECT ? value->object.state : NULL;

    return state && state->kind == FX_PICKLE_DICT ? 1 + state->seq.n : 1;
}

static enum fx_status visit(struct walk *w, struct fx_pickle_value *value)
{
    enum fx_status status = FX_OK;

    FX_TRY(take_steps(w, steps_of(value)));
    if (fx_pth_why_foreign(value))
        return bad(w, fx_pth_why_foreign(value));
    if (fx_pth_is_tensor(value))
        return fx_pth_add_tensor(w->file, value, w->name[0] ? w->name : "tensor", w->err);
    bool is_module = fx_pth_is_module(value);
    if (!is_module && value->kind != FX_PICKLE_DICT && value->kind != FX_PICKLE_LIST &&
        value->kind != FX_PICKLE_TUPLE) {
        char what[96];
        if (value->kind == FX_PICKLE_OBJECT)
            fx_log_verbose("%s: %s: skipped %s", w->file->in->name, w->name,
                           fx_pickle_describe(value, what, sizeof what));
        return FX_OK;
    }
    if (value->is_open)
        return bad(w, "contains itself");
    if (++w->depth > DEPTH_MAX)
        return bad(w, "nested too deeply");
    value->is_open = true;
    if (is_module)
        status = visit_module(w, value->object.state);
    else if (value->kind == FX_PICKLE_DICT)
        status = visit_dict(w, value);
    else
        status = visit_list(w, value);
    value->is_open = false;
    w->depth--;
    return status;
}

enum fx_status fx_pth_walk(struct fx_pth_file *file, struct fx_pickle_value *root,
                           struct fx_err *err)
{
    struct walk w = { .file = file,
                      .n_steps_left = STEPS_MIN + STEPS_A_CELL * file->pickle.n_cells,
                      .err = err };

    return visit(&w, root);
}

/* ---- plain values beside the state dict ------------------------------------------------------ */

static bool scalar_text(const struct fx_pickle_value *value, char *text, size_t n)
{
    struct fx_pickle_array array;

    switch (value->kind) {
    case FX_PICKLE_BOOL:
        snprintf(text, n, "%s", value->integer ? "true" : "false");
        return true;
    case FX_PICKLE_INT:
        snprintf(text, n, "%" PRId64, value->integer);
        return true;
    case FX_PICKLE_REAL:
        fx_number_text(value->real, text, n);
        return true;
    case FX_PICKLE_TEXT:
    case FX_PICKLE_BYTES:
        return key_text(value, text, n);
    default:
        if (!fx_pickle_is_array(value) || fx_pickle_array_view(value, &array, "", NULL) != FX_OK ||
            array.n_items != 1)
            return false;
        if (array.kind != 'f')
            snprintf(text, n, "%" PRId64, fx_pickle_array_integer(&array, 0));
        else if (array.item_bytes == 8)
            fx_number_text(fx_pickle_array_real(&array, 0), text, n);
        else
            fx_number_text_f32((float)fx_pickle_array_real(&array, 0), text, n);
        return true;
    }
}

enum fx_status fx_pth_put_scalars(struct fx_pth_file *file, const struct fx_pickle_value *dict,
                                  struct fx_err *err)
{
    char key[NAME_BYTES_MAX], text[SCALAR_BYTES_MAX];

    for (size_t i = 0; i < dict->seq.n; i += 2)
        if (key_text(dict->seq.items[i], key, sizeof key) &&
            scalar_text(dict->seq.items[i + 1], text, sizeof text))
            FX_TRY(fx_tensor_set_put_meta(file->set, key, text, err));
    return FX_OK;
}
