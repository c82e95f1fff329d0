/* The gzip layer: every way in which a small file can be cut or a bit of it can flip, and what may
 * follow a member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/gunzip_internal.h"
#include "base/io.h"
#include "between.h"

enum { N_TEXT = 600, N_FILE_MAX = 4096, N_GZIP_HEADER = 10 };

static uint8_t text[N_TEXT];
static char path[] = "/tmp/fx-gunzip-XXXXXX";

/* Text that deflate shortens, but not to nothing. */
static int make_text(void **state)
{
    uint32_t word = 1;

    (void)state;
    for (int i = 0; i < N_TEXT; i++) {
        word = word * 1664525 + 1013904223;
        text[i] = (uint8_t)("abcdefgh"[word >> 29]);
    }
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* One gzip member of n bytes of text; returns its length. */
static size_t compress_text(size_t n, uint8_t *file, size_t cap)
{
    z_stream z = { .next_in = text, .avail_in = (uInt)n, .next_out = file, .avail_out = (uInt)cap };

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(deflateEnd(&z), Z_OK);
    return cap - z.avail_out;
}

/* Reads a file of these bytes in pieces of `piece`; fills out and *n_out. */
static enum fx_status gunzip(const uint8_t *bytes, size_t n, size_t piece, uint8_t *out,
                             size_t *n_out, struct fx_err *err)
{
    struct fx_gunzip gz;
    size_t got;
    int fd = open(path, O_WRONLY | O_TRUNC);

    *n_out = 0;
    assert_int_equal(fx_write_full(fd, bytes, n, path, err), FX_OK);
    assert_int_equal(close(fd), 0);
    enum fx_status status = fx_gunzip_open(&gz, path, err);
    if (status != FX_OK)
        return status;
    do {
        status = fx_gunzip_read(&gz, out + *n_out, piece, &got, err);
        *n_out += got;
        assert_between(*n_out, 0, N_FILE_MAX - piece);
    } while (status == FX_OK && got > 0);
    fx_gunzip_close(&gz);
    return status;
}

static bool is_text(const uint8_t *out, size_t n)
{
    return n == N_TEXT && memcmp(out, text, n) == 0;
}

static void test_content(void **state)
{
    uint8_t file[N_FILE_MAX], out[N_FILE_MAX];
    size_t n = compress_text(N_TEXT, file, sizeof file), n_out;
    struct fx_err err = { 0 };

    (void)state;
    for (size_t piece = 1; piece <= 1024; piece *= 4) {
        assert_int_equal(gunzip(file, n, piece, out, &n_out, &err), FX_OK);
        assert_true(is_text(out, n_out));
    }
    assert_int_equal(gunzip(text, N_TEXT, 7, out, &n_out, &err), FX_OK); /* not gzip */
    assert_true(is_text(out, n_out));
}

static void test_every_cut(void **state)
{
    uint8_t file[N_FILE_MAX], out[N_FILE_MAX];
    size_t n = compress_text(N_TEXT, file, sizeof file), n_out;

    (void)state;
    for (size_t cut = 2; cut < n; cut++) {
        struct fx_err err = { 0 };
        assert_int_equal(gunzip(file, cut, 64, out, &n_out, &err), FX_EINPUT);
        assert_non_null(strstr(err.msg, "the gzip data is cut off"));
    }
    struct fx_err err = { 0 };
    assert_int_equal(gunzip(file, 0, 64, out, &n_out, &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, ": empty"));
}

/* Without effect are the header's time, level and system, and "this is text".  A flip in the magic
 * makes it another kind of file, whose bytes are passed on as they are.  Where a flip is not
 * noticed the text is right: a match was copied from another place with the same letters. */
static void test_every_flip(void **state)
{
    uint8_t file[N_FILE_MAX], out[N_FILE_MAX];
    size_t n = compress_text(N_TEXT, file, sizeof file), n_out, n_harmless = 0;

    (void)state;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        struct fx_err err = { 0 };
        size_t at = bit / 8;
        file[at] ^= (uint8_t)(1 << bit % 8);
        enum fx_status status = gunzip(file, n, 256, out, &n_out, &err);
        if (at < 2)
            assert_true(status == FX_OK && n_out == n);
        else if ((at >= 4 && at < N_GZIP_HEADER) || bit == 24)
            assert_true(status == FX_OK && is_text(out, n_out));
        else if (status != FX_EINPUT) {
            assert_true(status == FX_OK && is_text(out, n_out));
            n_harmless++;
        }
        file[at] ^= (uint8_t)(1 << bit % 8);
    }
    assert_between(n_harmless, 0, 3);
}

static void test_members_in_a_row(void **state)
{
    uint8_t file[N_FILE_MAX], out[N_FILE_MAX];
    struct fx_err err = { 0 };
    size_t n_out;

    (void)state;
    size_t n = compress_text(100, file, sizeof file);
    size_t both = n + compress_text(N_TEXT, file + n, sizeof file - n);
    assert_int_equal(gunzip(file, both, 64, out, &n_out, &err), FX_OK);
    assert_int_equal(n_out, 100 + N_TEXT);
    assert_memory_equal(out, text, 100);
    assert_memory_equal(out + 100, text, N_TEXT);
    /* An empty member in the middle is no end. */
    n += compress_text(0, file + n, sizeof file - n);
    both = n + compress_text(N_TEXT, file + n, sizeof file - n);
    assert_int_equal(gunzip(file, both, 64, out, &n_out, &err), FX_OK);
    assert_int_equal(n_out, 100 + N_TEXT);
    assert_int_equal(gunzip(file, both - 1, 64, out, &n_out, &err), FX_EINPUT);
}

static void test_what_may_follow(void **state)
{
    uint8_t file[N_FILE_MAX] = { 0 }, out[N_FILE_MAX];
    size_t n = compress_text(N_TEXT, file, sizeof file / 2), n_out;
    struct fx_err err = { 0 };

    (void)state;
    memset(file + n, 0, sizeof file - n);
    assert_int_equal(gunzip(file, sizeof file, 64, out, &n_out, &err), FX_OK);
    assert_true(is_text(out, n_out));
    file[sizeof file - 1] = 1;
    assert_int_equal(gunzip(file, sizeof file, 64, out, &n_out, &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "other bytes follow the gzip data"));
    file[n] = 0x1f; /* half a magic */
    assert_int_equal(gunzip(file, n + 1, 64, out, &n_out, &err), FX_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),         cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_every_flip),      cmocka_unit_test(test_members_in_a_row),
        cmocka_unit_test(test_what_may_follow),
    };
    return cmocka_run_group_tests(tests, make_text, remove_file);
}
