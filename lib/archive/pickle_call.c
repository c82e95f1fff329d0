/* Calls in a pickle: the few that only spell plain data, and everything else as an opaque node. */
#include "archive/pickle_machine_internal.h"

/* OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it. */
static struct fx_pickle_value *make_dict(struct fx_pickle *pickle,
                                         const struct fx_pickle_value *pairs, const char **why)
{
    struct fx_pickle_value *dict = fx_pickle_new(pickle, FX_PICKLE_DICT);

    if (!dict || !pairs)
        return dict;
    for (size_t i = 0; i < pairs->seq.n; i++) {
        const struct fx_pickle_value *pair = pairs->seq.items[i];
        if ((pair->kind != FX_PICKLE_LIST && pair->kind != FX_PICKLE_TUPLE) || pair->seq.n != 2) {
            *why = "a dict made from something other than pairs";
            return NULL;
        }
        if (!fx_pickle_append(pickle, dict, pair->seq.items, 2))
            return NULL;
    }
    return dict;
}

/* The bytes of text.encode("latin1"): the text's UTF-8 holds only U+0000 to U+00FF.  Together the
 * results cannot outgrow the pickle that spells them. */
static struct fx_pickle_value *encode_latin1(struct fx_pickle *pickle, struct fx_pickle_bytes text,
                                             const char **why)
{
    struct fx_pickle_value *value = fx_pickle_new(pickle, FX_PICKLE_BYTES);
    uint8_t *out = NULL;
    size_t n = 0;

    if (text.n > pickle->n_decode_left) {
        *why = "more encoded bytes than the pickle can spell";
        return NULL;
    }
    pickle->n_decode_left -= text.n;
    if (value)
        out = fx_pickle_alloc(pickle, text.n, 0);
    if (!out)
        return NULL;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte = text.at[i];
        if (byte >= 0x80) {
            if ((byte & 0xfe) != 0xc2 || i + 1 == text.n || (text.at[i + 1] & 0xc0) != 0x80) {
                *why = "latin1 text with a character above U+00FF";
                return NULL;
            }
            byte = (uint8_t)(byte << 6 | (text.at[++i] & 0x3f));
        }
        out[n++] = byte;
    }
    value->bytes = (struct fx_pickle_bytes){ out, n };
    return value;
}

static bool is_latin1(const struct fx_pickle_value *codec)
{
    return fx_pickle_is_text(codec, "latin1") || fx_pickle_is_text(codec, "latin-1");
}

static bool is_builtin(const struct fx_pickle_value *callable, const char *name)
{
    return fx_pickle_is_global(callable, "builtins", name) ||
           fx_pickle_is_global(callable, "__builtin__", name);
}

static bool is_dict_class(const struct fx_pickle_value *callable)
{
    return fx_pickle_is_global(callable, "collections", "OrderedDict") ||
           fx_pickle_is_global(callable, "collections", "defaultdict") ||
           fx_pickle_is_global(callable, "collections", "Counter") || is_builtin(callable, "dict");
}

struct fx_pickle_value *fx_pickle_call(struct fx_pickle *pickle, struct fx_pickle_value *callable,
                                       struct fx_pickle_value *args, const char **why)
{
    struct fx_pickle_value *first = fx_pickle_at(args, 0);

    if (is_dict_class(callable) && (!first || first->kind == FX_PICKLE_GLOBAL))
        return make_dict(pickle, NULL, why); /* defaultdict's argument is its default's class */
    if (is_dict_class(callable) && first->kind == FX_PICKLE_LIST)
        return make_dict(pickle, first, why);
    if (is_dict_class(callable) && first->kind == FX_PICKLE_DICT)
        return first;
    if (fx_pickle_is_global(callable, "_codecs", "encode") && first &&
        first->kind == FX_PICKLE_TEXT && is_latin1(fx_pickle_at(args, 1)))
        return encode_latin1(pickle, first->bytes, why);
    if (is_builtin(callable, "bytes") && !first)
        return fx_pickle_new(pickle, FX_PICKLE_BYTES);

    struct fx_pickle_value *object = fx_pickle_new(pickle, FX_PICKLE_OBJECT);
    if (object) {
        object->object.callable = callable;
        object->object.args = args;
    }
    return object;
}
