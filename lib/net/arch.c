/* The families by name, and the text FAMILY:KEY=VALUE,... that chooses a member. */
#include "net/arch.h"

#include "net/model.h"

#include <stdio.h>
#include <string.h>

static const struct fx_arch *const archs[] = { &fx_arch_densenet, &fx_arch_resnet,
                                               &fx_arch_wideresnet, &fx_arch_resnext };

const struct fx_arch *fx_arch_at(int i)
{
    return i < (int)(sizeof archs / sizeof *archs) ? archs[i] : NULL;
}

const char *fx_arch_family(int i)
{
    return fx_arch_at(i) != NULL ? fx_arch_at(i)->family : NULL;
}

/* A piece of the text: n bytes, not terminated. */
struct span {
    const char *s;
    size_t n;
};

static bool span_is(struct span span, const char *word)
{
    return strlen(word) == span.n && memcmp(word, span.s, span.n) == 0;
}

/* Cuts the span at the first c: returns what stands before, leaves what stands after. */
static struct span cut(struct span *rest, char c)
{
    const char *at = rest->n ? memchr(rest->s, c, rest->n) : NULL;
    struct span first = { rest->s, at ? (size_t)(at - rest->s) : rest->n };
    size_t used = first.n + (at ? 1 : 0);

    rest->s += used;
    rest->n -= used;
    return first;
}

/* A whole number of at most six digits, or -1. */
static int number(struct span digits)
{
    int value = 0;

    if (digits.n == 0 || digits.n > 6)
        return -1;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.s[i] < '0' || digits.s[i] > '9')
            return -1;
        value = 10 * value + (digits.s[i] - '0');
    }
    return value;
}

static enum fx_status bad_value(const struct fx_arch *arch, const struct fx_arch_key *key,
                                struct span text, struct fx_err *err)
{
    const char *form = key->is_list ? "one to four numbers, joined by '-', each" : "a whole number";

    return fx_fail(err, FX_EUSAGE, "architecture %s: %s=%.*s: must be %s from %d to %d",
                   arch->family, key->name, (int)text.n, text.s, form, key->min, key->max);
}

static enum fx_status parse_value(const struct fx_arch *arch, const struct fx_arch_key *key,
                                  struct span text, struct fx_arch_value *value, struct fx_err *err)
{
    struct span rest = text;
    int n_max = key->is_list ? FX_ARCH_MAX_LIST : 1;

    value->n = 0;
    do {
        int v = number(key->is_list ? cut(&rest, '-') : cut(&rest, '\0'));

        if (value->n == n_max || v < key->min || v > key->max)
            return bad_value(arch, key, text, err);
        value->v[value->n++] = v;
    } while (rest.n > 0);
    if (text.s[text.n - 1] == '-')
        return bad_value(arch, key, text, err);
    return FX_OK;
}

/* "growth, blocks" into buf. */
static const char *key_names(const struct fx_arch *arch, char *buf, size_t n)
{
    size_t used = 0;

    for (int i = 0; i < FX_ARCH_MAX_KEYS && arch->keys[i].name; i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%s", i ? ", " : "", arch->keys[i].name);
    return buf;
}

/* One KEY=VALUE. */
static enum fx_status parse_pair(const struct fx_arch *arch, struct span pair,
                                 struct fx_arch_value *values, struct fx_err *err)
{
    struct span value = pair, key = cut(&value, '=');
    char names[128];

    for (int i = 0; i < FX_ARCH_MAX_KEYS && arch->keys[i].name; i++)
        if (span_is(key, arch->keys[i].name))
            return parse_value(arch, &arch->keys[i], value, &values[i], err);
    return fx_fail(err, FX_EUSAGE, "architecture %s: unknown key '%.*s' (it has: %s)", arch->family,
                   (int)key.n, key.s, key_names(arch, names, sizeof names));
}

static const struct fx_arch *find_family(struct span family)
{
    int i = 0;

    while (fx_arch_at(i) != NULL && !span_is(family, fx_arch_family(i)))
        i++;
    return fx_arch_at(i);
}

enum fx_status fx_arch_parse(const char *text, size_t n, const struct fx_arch **arch,
                             struct fx_arch_value *values, struct fx_err *err)
{
    struct span rest = { text, n }, family = cut(&rest, ':');
    char names[FX_NAMES_BYTES];

    *arch = find_family(family);
    if (!*arch)
        return fx_fail(err, FX_EUSAGE, "unknown architecture '%.*s' (there are: %s)", (int)family.n,
                       family.s, fx_names_join(fx_arch_family, ", ", names, sizeof names));
    for (int i = 0; i < FX_ARCH_MAX_KEYS; i++)
        values[i] = (*arch)->keys[i].fallback;
    while (rest.n > 0)
        FX_TRY(parse_pair(*arch, cut(&rest, ','), values, err));
    return FX_OK;
}

struct fx_arch_ends fx_arch_classifier(struct fx_builder *b, const char *name, int x, int n_classes)
{
    struct fx_arch_ends ends;

    ends.features = fx_build_globalpool(b, x);
    ends.logits = fx_build_linear(b, name, ends.features, n_classes, false, FX_LINEAR_XAVIER);
    return ends;
}
