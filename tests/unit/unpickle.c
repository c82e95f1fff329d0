/* The unpickler: every supported opcode against the value it stands for, every refusal against its
 * reason, and that a pickle made to run a command is only data. */
#include "archive/unpickle_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a value as text, in Python's manner ----------------------------------------------------- */

struct text {
    char at[4096];
    size_t n;
};

static void put(struct text *t, const char *fmt, ...) FX_PRINTF(2, 3);

static void put(struct text *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    t->n += (size_t)vsnprintf(t->at + t->n, sizeof t->at - t->n, fmt, args);
    va_end(args);
    assert_true(t->n < sizeof t->at);
}

static void put_value(struct text *t, const struct fx_pickle_value *v);

static void put_items(struct text *t, const char *open, const struct fx_pickle_value *v,
                      const char *close)
{
    put(t, "%s", open);
    for (size_t i = 0; i < v->seq.n; i++) {
        bool is_value = v->kind == FX_PICKLE_DICT && i % 2 == 1;
        put(t, "%s", i == 0 ? "" : is_value ? ": " : ", ");
        put_value(t, v->seq.items[i]);
    }
    put(t, "%s", close);
}

static void put_bytes(struct text *t, const char *prefix, struct fx_pickle_bytes bytes)
{
    put(t, "%s'", prefix);
    for (size_t i = 0; i < bytes.n; i++)
        put(t, bytes.at[i] >= ' ' && bytes.at[i] < 0x7f ? "%c" : "\\x%02x", bytes.at[i]);
    put(t, "'");
}

static void put_object(struct text *t, const struct fx_pickle_value *v)
{
    put_value(t, v->object.callable);
    put_value(t, v->object.args);
    if (v->object.state) {
        put(t, "<-");
        put_value(t, v->object.state);
    }
}

static void put_value(struct text *t, const struct fx_pickle_value *v)
{
    switch (v->kind) {
    case FX_PICKLE_NONE:
        put(t, "None");
        break;
    case FX_PICKLE_BOOL:
        put(t, v->integer ? "True" : "False");
        break;
    case FX_PICKLE_INT:
        put(t, "%" PRId64, v->integer);
        break;
    case FX_PICKLE_BIGINT:
        put(t, "bigint");
        break;
    case FX_PICKLE_REAL:
        put(t, "%.17g", v->real);
        break;
    case FX_PICKLE_TEXT:
        put_bytes(t, "", v->bytes);
        break;
    case FX_PICKLE_BYTES:
        put_bytes(t, "b", v->bytes);
        break;
    case FX_PICKLE_TUPLE:
        put_items(t, "(", v, ")");
        break;
    case FX_PICKLE_LIST:
        put_items(t, "[", v, "]");
        break;
    case FX_PICKLE_SET:
        put_items(t, "set{", v, "}");
        break;
    case FX_PICKLE_DICT:
        put_items(t, "{", v, "}");
        break;
    case FX_PICKLE_GLOBAL:
        put(t, "%.*s.%.*s", (int)v->global.module.n, v->global.module.at, (int)v->global.name.n,
            v->global.name.at);
        break;
    case FX_PICKLE_OBJECT:
        put_object(t, v);
        break;
    case FX_PICKLE_PERSISTENT:
        put(t, "@");
        put_value(t, v->persistent.id);
        break;
    }
}

/* ---- what is read ---------------------------------------------------------------------------- */

/* A literal without its terminator: pickles hold NULs. */
#define P(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static const struct {
    const uint8_t *bytes;
    size_t n;
    const char *means;
} good[] = {
    { P("\x80\x02N."), "None" },
    { P("\x80\x02\x88\x89\x86."), "(True, False)" },
    { P("\x80\x02(K\xffM\xff\xffJ\xff\xff\xff\xffJ\x00\x00\x00\x80t."),
      "(255, 65535, -1, -2147483648)" },
    { P("\x80\x02(\x8a\x00\x8a\x01\x80\x8a\x02\xff\x00\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80t."),
      "(0, -128, 255, -9223372036854775808)" },
    { P("\x80\x02\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."), "bigint" },
    { P("\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00."), "1.5" },
    { P("\x80\x02(U\x02hiT\x03\x00\x00\x00\x00\xffxX\x02\x00\x00\x00\xc3\xa9t."),
      "(b'hi', b'\\x00\\xffx', '\\xc3\\xa9')" },
    { P("\x80\x03(C\x01\xff"
        "B\x01\x00\x00\x00zt."),
      "(b'\\xff', b'z')" },
    { P("\x80\x04\x95\x07\x00\x00\x00\x00\x00\x00\x00\x8c\x03"
        "abc\x94."),
      "'abc'" },
    { P("\x80\x04\x8d\x01\x00\x00\x00\x00\x00\x00\x00"
        "a\x8e\x01\x00\x00\x00\x00\x00\x00\x00"
        "b\x86."),
      "('a', b'b')" },
    { P("\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00xy."), "b'xy'" },
    { P("\x80\x02)]}\x87."), "((), [], {})" },
    { P("\x80\x04\x8f(K\x01K\x02\x90(K\x03\x91\x86."), "(set{1, 2}, set{3})" },
    { P("\x80\x02K\x01\x85K\x02K\x03\x86K\x04K\x05K\x06\x87\x87."), "((1), (2, 3), (4, 5, 6))" },
    { P("\x80\x02]K\x01"
        "a(K\x02K\x03"
        "e."),
      "[1, 2, 3]" },
    { P("\x80\x02}K\x01K\x02s(K\x03K\x04K\x05K\x06u."), "{1: 2, 3: 4, 5: 6}" },
    /* Memo: the same list twice; Python 2 begins to count at 1. */
    { P("\x80\x02]q\x01h\x01\x86."), "([], [])" },
    { P("\x80\x02]r\x02\x00\x00\x00j\x02\x00\x00\x00\x86."), "([], [])" },
    { P("\x80\x04]\x94h\x00\x86."), "([], [])" },
    /* POP, POP of a MARK, POP_MARK, DUP. */
    { P("\x80\x02K\x01K\x02"
        "0(0(K\x03K\x04"
        "12\x86."),
      "(1, 1)" },
    /* Dictionaries by their classes; Python 2 gives OrderedDict a list of pairs. */
    { P("\x80\x02"
        "ccollections\nOrderedDict\n)RU\x01"
        "aK\x01s}U\x09_metadataNsb."),
      "{b'a': 1}" },
    { P("\x80\x02"
        "ccollections\nOrderedDict\n](]K\x01"
        "aK\x02"
        "aK\x03K\x04\x86"
        "e\x85R."),
      "{1: 2, 3: 4}" },
    { P("\x80\x02"
        "ccollections\ndefaultdict\nc__builtin__\ndict\n\x85R."),
      "{}" },
    { P("\x80\x02"
        "ccollections\nCounter\n}K\x01K\x02s\x85R."),
      "{1: 2}" },
    /* bytes as Python 3 writes them in protocol 2. */
    { P("\x80\x02"
        "c_codecs\nencode\nX\x05\x00\x00\x00\xc2\x80"
        "a\xc3\xbfX\x06\x00\x00\x00latin1\x86R."),
      "b'\\x80a\\xff'" },
    { P("\x80\x02"
        "c__builtin__\nbytes\n)R."),
      "b''" },
    /* Names and calls stay names and calls, however they are spelled. */
    { P("\x80\x02"
        "cos\nsystem\nU\x04true\x85R."),
      "os.system(b'true')" },
    { P("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."), "posix.system('true')" },
    { P("\x80\x02"
        "c__builtin__\neval\nU\x07"
        "1/0 + 1\x85R."),
      "__builtin__.eval(b'1/0 + 1')" },
    { P("\x80\x02"
        "cm\nC\n)\x81}U\x01xK\x01sb."),
      "m.C()<-{b'x': 1}" },
    { P("\x80\x04"
        "cm\nC\n)}\x92."),
      "m.C()" },
    /* A dict of a class of its own: its items are not kept. */
    { P("\x80\x02"
        "cm\nD\n)\x81K\x01K\x02s."),
      "m.D()" },
    { P("\x80\x02(U\x07storageK\x01tQ."), "@(b'storage', 1)" },
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct fx_pickle pickle;
        struct fx_err err = { 0 };
        struct text text = { .n = 0 };
        enum fx_status status = fx_unpickle(&pickle, good[i].bytes, good[i].n, NULL, "test", &err);
        if (status != FX_OK)
            fail_msg("%s: %s", good[i].means, err.msg);
        put_value(&text, pickle.root);
        assert_string_equal(text.at, good[i].means);
        fx_pickle_fini(&pickle);
    }
}

/* Whatever a prefix of a good pickle is, it is no pickle. */
static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        for (size_t n = 0; n < good[i].n; n++) {
            struct fx_pickle pickle;
            struct fx_err err = { 0 };
            uint8_t *exact = malloc(n + 1); /* so that a sanitizer sees a read behind the end */
            memcpy(exact, good[i].bytes, n);
            exact = realloc(exact, n > 0 ? n : 1);
            assert_int_equal(fx_unpickle(&pickle, exact, n, NULL, "test", &err), FX_EINPUT);
            fx_pickle_fini(&pickle);
            free(exact);
        }
    }
}

/* ---- what is refused ------------------------------------------------------------------------- */

static const struct {
    const uint8_t *bytes;
    size_t n;
    const char *why;
} bad[] = {
    { P(""), "byte 0: cut: needs 1 bytes, 0 left" },
    { P("(dp0\n."), "byte 0: no pickle of protocol 2 or later" },
    { P("\x80\x01N."), "byte 0: protocol 1, known are 2 to 5" },
    { P("\x80\x06N."), "byte 0: protocol 6, known are 2 to 5" },
    { P("\x80\x02I1\n."), "byte 2: opcode 0x49 is not supported" },
    { P("\x80\x02\x8b\x04\x00\x00\x00"
        "aaaa."),
      "byte 2: opcode 0x8b is not supported" },
    { P("\x80\x05\x97."), "byte 2: opcode 0x97 is not supported" },
    { P("\x80\x02X\xff\xff\xff\xff"
        "a."),
      "byte 2: cut: needs 4294967295 bytes, 2 left" },
    { P("\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff."),
      "byte 2: cut: needs 18446744073709551615" },
    { P("\x80\x04\x95\x09\x00\x00\x00\x00\x00\x00\x00N."),
      "byte 2: cut: frame of 9 bytes, 2 left" },
    { P("\x80\x02."), "byte 2: needs 1 values from the stack, has 0" },
    { P("\x80\x02K\x01\x86."), "byte 4: needs 2 values from the stack, has 1" },
    { P("\x80\x02K\x01(\x85."), "byte 5: needs 1 values from the stack, has 0" },
    { P("\x80\x02K\x01t."), "byte 4: no MARK on the stack" },
    { P("\x80\x02K\x01K\x02."), "byte 6: STOP with 1 values left" },
    { P("\x80\x02(K\x01"), "byte 5: cut" },
    { P("\x80\x02h\x00."), "byte 2: memo number 0 was never set" },
    { P("\x80\x02Nq\x02h\x01."), "byte 5: memo number 1 was never set" },
    { P("\x80\x02Nr\xff\xff\xff\x7f."), "byte 3: memo number 2147483647 after 3 opcodes" },
    { P("\x80\x02q\x00."), "byte 2: needs 1 values from the stack, has 0" },
    { P("\x80\x02}(K\x01u."), "byte 6: a key without a value" },
    { P("\x80\x02K\x01K\x02"
        "a."),
      "byte 6: items added to an int" },
    { P("\x80\x02]K\x01K\x02s."), "byte 7: items added to a list" },
    { P("\x80\x02K\x01}b."), "byte 5: BUILD of an int" },
    { P("\x80\x02K\x01)R."), "byte 5: a call of an int" },
    { P("\x80\x02"
        "cm\nf\nK\x01R."),
      "byte 9: a call with an int for arguments" },
    { P("\x80\x04K\x01\x8c\x01x\x93."), "byte 7: a class name that is no str" },
    { P("\x80\x02"
        "cm\n"),
      "byte 2: cut inside a name" },
    { P("\x80\x02"
        "c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R."),
      "latin1 text with a character above U+00FF" },
    { P("\x80\x02"
        "ccollections\nOrderedDict\n]K\x01"
        "a\x85R."),
      "a dict made from something other than pairs" },
    { P("\x80\x02N.N"), "1 bytes follow its end" },
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fx_pickle pickle;
        struct fx_err err = { 0 };
        assert_int_equal(fx_unpickle(&pickle, bad[i].bytes, bad[i].n, NULL, "test", &err),
                         FX_EINPUT);
        if (strstr(err.msg, bad[i].why) == NULL)
            fail_msg("expected '%s', said '%s'", bad[i].why, err.msg);
        fx_pickle_fini(&pickle);
    }
}

/* A pickle of `head`, n times `unit`, `tail`; its outcome, and the reason. */
static enum fx_status unpickle_repeated(const char *head, const char *unit, size_t n,
                                        const char *tail, struct fx_err *err)
{
    size_t n_bytes = strlen(head) + n * strlen(unit) + strlen(tail);
    char *bytes = malloc(n_bytes + 1), *at = bytes;
    struct fx_pickle pickle;

    at += sprintf(at, "%s", head);
    for (size_t i = 0; i < n; i++, at += strlen(unit))
        memcpy(at, unit, strlen(unit));
    sprintf(at, "%s", tail);
    enum fx_status status =
        fx_unpickle(&pickle, (const uint8_t *)bytes, n_bytes, NULL, "test", err);
    fx_pickle_fini(&pickle);
    free(bytes);
    return status;
}

static void test_limits(void **state)
{
    struct fx_err err = { 0 };

    (void)state;
    assert_int_equal(unpickle_repeated("\x80\x02", "N", FX_PICKLE_STACK_MAX + 1, ".", &err),
                     FX_EINPUT);
    assert_non_null(strstr(err.msg, "stack deeper than"));
    assert_int_equal(unpickle_repeated("\x80\x02", "(", FX_PICKLE_STACK_MAX + 1, ".", &err),
                     FX_EINPUT);
    assert_non_null(strstr(err.msg, "MARKs"));
    assert_int_equal(unpickle_repeated("\x80\x02N", "N0", FX_PICKLE_CELLS_MAX, ".", &err),
                     FX_EINPUT);
    assert_non_null(strstr(err.msg, "values"));
    /* Deep nesting costs no stack: neither reading nor freeing recurses. */
    assert_int_equal(unpickle_repeated("\x80\x02)", "\x85", 1000000, ".", &err), FX_OK);
}

/* One text encoded again and again: the results may not outgrow the pickle. */
static void test_decoding_does_not_multiply(void **state)
{
    static const char head[] = "\x80\x02"
                               "c_codecs\nencode\nX\x40\x00\x00\x00"
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                               "X\x06\x00\x00\x00latin1\x86q\x01"
                               "00";
    static const char unit[] = "c_codecs\nencode\nh\x01R0";
    uint8_t bytes[sizeof head + 64 * sizeof unit + 2];
    struct fx_pickle pickle;
    struct fx_err err = { 0 };
    size_t n = 0;

    (void)state;
    memcpy(bytes, head, sizeof head - 1);
    n += sizeof head - 1;
    for (int i = 0; i < 64; i++, n += sizeof unit - 1)
        memcpy(bytes + n, unit, sizeof unit - 1);
    memcpy(bytes + n, "N.", 2);
    assert_int_equal(fx_unpickle(&pickle, bytes, n + 2, NULL, "test", &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "more encoded bytes than the pickle can spell"));
    fx_pickle_fini(&pickle);
}

/* ---- looking things up ----------------------------------------------------------------------- */

static void test_several_in_a_row(void **state)
{
    static const uint8_t bytes[] = "\x80\x02K\x07.\x80\x02K\x08.";
    struct fx_pickle pickle;
    struct fx_err err = { 0 };
    size_t used;

    (void)state;
    assert_int_equal(fx_unpickle(&pickle, bytes, 10, &used, "test", &err), FX_OK);
    assert_int_equal(used, 5);
    assert_int_equal(pickle.root->integer, 7);
    fx_pickle_fini(&pickle);
    assert_int_equal(fx_unpickle(&pickle, bytes + used, 10 - used, &used, "test", &err), FX_OK);
    assert_int_equal(pickle.root->integer, 8);
    fx_pickle_fini(&pickle);
}

static void test_last_key_wins(void **state)
{
    static const char bytes[] = "\x80\x02}(U\x01"
                                "aK\x01U\x01"
                                "bK\x02X\x01\x00\x00\x00"
                                "cK\x03U\x01"
                                "aK\x04NK\x05NK\x06K\x09K\x07K\x09K\x08u.";
    struct fx_pickle pickle;
    struct fx_err err = { 0 };
    struct text text = { .n = 0 };

    (void)state;
    assert_int_equal(fx_unpickle(&pickle, P(bytes), NULL, "test", &err), FX_OK);
    assert_int_equal(fx_pickle_get(pickle.root, "a")->integer, 4);
    assert_null(fx_pickle_get(pickle.root, "d"));
    assert_true(fx_pickle_dict_prune(pickle.root));
    put_value(&text, pickle.root);
    assert_string_equal(text.at, "{b'a': 4, b'b': 2, 'c': 3, None: 5, None: 6, 9: 8}");
    fx_pickle_fini(&pickle);
}

static void test_describe_is_printable(void **state)
{
    static const uint8_t bytes[] = "\x80\x04\x8c\x02m\n\x8c\x03"
                                   "a\x1bz\x93.";
    struct fx_pickle pickle;
    struct fx_err err = { 0 };
    char what[64], tiny[6];

    (void)state;
    assert_int_equal(fx_unpickle(&pickle, P(bytes), NULL, "test", &err), FX_OK);
    assert_string_equal(fx_pickle_describe(pickle.root, what, sizeof what), "the name m?.a?z");
    assert_string_equal(fx_pickle_describe(pickle.root, tiny, sizeof tiny), "the n");
    assert_string_equal(fx_pickle_describe(NULL, what, sizeof what), "nothing");
    fx_pickle_fini(&pickle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_decoding_does_not_multiply),
        cmocka_unit_test(test_several_in_a_row),
        cmocka_unit_test(test_last_key_wins),
        cmocka_unit_test(test_describe_is_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
