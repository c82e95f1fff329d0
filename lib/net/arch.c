/* The table of architectures.def, and the text NAME:KEY=VALUE,... that chooses a member. */
#include "net/arch.h"

#include <stdio.h>
#include <string.h>

#define FX_ARCH(file, name, folder, flat) extern const struct fx_network fx_network_##file;
#include "net/architectures.def"
#undef FX_ARCH

#define FX_ARCH(file, name, folder, flat) { #name, #folder, &fx_network_##file },
const struct fx_arch fx_archs[] = {
#include "net/architectures.def"
    { NULL, NULL, NULL },
};
#undef FX_ARCH

#define FX_ARCH(file, name, folder, flat) "|" #name
const char fx_arch_list[] =
#include "net/architectures.def"
    ;
#undef FX_ARCH

#define FX_ARCH(file, name, folder, flat) ", " #name
static const char names[] =
#include "net/architectures.def"
    ;
#undef FX_ARCH

/* ---- lists ----------------------------------------------------------------------------------- */

const char *fx_arch_next(const char *list)
{
    const char *end = strchr(list, ';');

    return end ? end + 1 : NULL;
}

const char *fx_arch_of_expert(const char *list, int k, size_t *n)
{
    if (strchr(list, ';'))
        for (; list && k > 0; k--)
            list = fx_arch_next(list);
    *n = list ? strcspn(list, ";") : 0;
    return list;
}

int fx_arch_count(const char *list)
{
    int n = 0;

    for (; list; list = fx_arch_next(list))
        n++;
    return n;
}

/* ---- NAME:KEY=VALUE,... ---------------------------------------------------------------------- */

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

    return fx_fail(err, FX_EUSAGE, "architecture %s: %s=%.*s: must be %s from %d to %d", arch->name,
                   key->name, (int)text.n, text.s, form, key->min, key->max);
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
static const char *key_names(const struct fx_arch_key *keys, char *buf, size_t n)
{
    size_t used = 0;

    for (int i = 0; i < FX_ARCH_MAX_KEYS && keys[i].name; i++)
        used += (size_t)snprintf(buf + used, n - used, "%s%s", i ? ", " : "", keys[i].name);
    return buf;
}

/* One KEY=VALUE. */
static enum fx_status parse_pair(const struct fx_arch *arch, struct span pair,
                                 struct fx_arch_value *values, struct fx_err *err)
{
    const struct fx_arch_key *keys = arch->network->keys;
    struct span value = pair, key = cut(&value, '=');
    char known[128];

    for (int i = 0; i < FX_ARCH_MAX_KEYS && keys[i].name; i++)
        if (span_is(key, keys[i].name))
            return parse_value(arch, &keys[i], value, &values[i], err);
    return fx_fail(err, FX_EUSAGE, "architecture %s: unknown key '%.*s' (it has: %s)", arch->name,
                   (int)key.n, key.s, key_names(keys, known, sizeof known));
}

static const struct fx_arch *find_name(struct span name)
{
    for (const struct fx_arch *arch = fx_archs; arch->name; arch++)
        if (span_is(name, arch->name))
            return arch;
    return NULL;
}

enum fx_status fx_arch_list_read(const char *text, char list[FX_ARCH_LIST_BYTES],
                                 struct fx_err *err)
{
    if ((size_t)snprintf(list, FX_ARCH_LIST_BYTES, "%s", text) >= FX_ARCH_LIST_BYTES)
        return fx_fail(err, FX_EUSAGE, "--arch %.60s...: more than %d characters", text,
                       FX_ARCH_LIST_BYTES - 1);
    for (char *comma = list; (comma = strchr(comma, ',')); comma++)
        if (find_name((struct span){ comma + 1, strcspn(comma + 1, ":;,") }))
            *comma = ';';
    return FX_OK;
}

const struct fx_arch *fx_arch_find(const char *text)
{
    return find_name((struct span){ text, strcspn(text, ":;") });
}

enum fx_status fx_arch_parse(const char *text, size_t n, const struct fx_arch **arch,
                             struct fx_arch_value *values, struct fx_err *err)
{
    struct span rest = { text, n }, name = cut(&rest, ':');

    *arch = find_name(name);
    if (!*arch)
        return fx_fail(err, FX_EUSAGE, "unknown architecture '%.*s' (there are: %s)", (int)name.n,
                       name.s, names + 2);
    for (int i = 0; i < FX_ARCH_MAX_KEYS; i++)
        values[i] = (*arch)->network->keys[i].fallback;
    while (rest.n > 0)
        FX_TRY(parse_pair(*arch, cut(&rest, ','), values, err));
    return FX_OK;
}
