/* The zip writer and reader against each other: content, places, deflated members, archives with
 * more members than the classic end record can count; and no cut is taken for a whole. */
#include "../fuzz/changing.h"
#include "archive/zip_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

/* An archive in memory, written through a file descriptor as the tools write. */
struct archive {
    int fd;
    struct fx_zip_writer writer;
    uint8_t *bytes;
    size_t n;
};

static void archive_begin(struct archive *a)
{
    *a = (struct archive){ .fd = memfd_create("zip", 0) };
    assert_true(a->fd >= 0);
    assert_int_equal(fx_zip_writer_init(&a->writer, a->fd, "test", NULL), FX_OK);
}

static void archive_end(struct archive *a)
{
    assert_int_equal(fx_zip_writer_finish(&a->writer, NULL), FX_OK);
    fx_zip_writer_fini(&a->writer);
    a->n = (size_t)lseek(a->fd, 0, SEEK_END);
    a->bytes = malloc(a->n);
    assert_int_equal(pread(a->fd, a->bytes, a->n, 0), a->n);
    close(a->fd);
}

static void add(struct archive *a, const char *name, const char *content)
{
    assert_int_equal(fx_zip_writer_add(&a->writer, name, content, strlen(content), NULL), FX_OK);
}

static void make_three(struct archive *a)
{
    archive_begin(a);
    add(a, "m/b", "content of b");
    add(a, "m/a", "");
    add(a, "m/sub/c", "something longer, to be flipped and cut");
    archive_end(a);
}

static void test_round_trip(void **state)
{
    const struct fx_zip_member *member;
    struct fx_err err = { 0 };
    struct archive a;
    struct fx_zip zip;
    char content[64];

    (void)state;
    make_three(&a);
    if (fx_zip_open(&zip, a.bytes, a.n, "test", &err) != FX_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(zip.n_members, 3);
    assert_null(fx_zip_find(&zip, "m/c"));
    member = fx_zip_find(&zip, "m/b");
    assert_non_null(member);
    assert_int_equal(fx_zip_check(&zip, member, &err), FX_OK);
    assert_int_equal(fx_zip_extract(&zip, member, content, &err), FX_OK);
    assert_memory_equal(content, "content of b", 12);
    assert_int_equal(fx_zip_find(&zip, "m/a")->n_bytes, 0);
    for (size_t i = 0; i < zip.n_members; i++)
        assert_int_equal(zip.members[i].data_offset % 64, 0);
    fx_zip_close(&zip);
    free(a.bytes);
}

static void test_same_members_same_bytes(void **state)
{
    struct archive a, b;

    (void)state;
    make_three(&a);
    make_three(&b);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.bytes, b.bytes, a.n);
    free(a.bytes);
    free(b.bytes);
}

static void test_every_cut(void **state)
{
    struct archive a;

    (void)state;
    make_three(&a);
    for (size_t n = 0; n < a.n; n++) {
        struct fx_err err = { 0 };
        struct fx_zip zip;
        uint8_t *cut = malloc(n > 0 ? n : 1); /* so that a sanitizer sees a read behind the end */
        memcpy(cut, a.bytes, n);
        assert_int_equal(fx_zip_open(&zip, cut, n, "test", &err), FX_EINPUT);
        fx_zip_close(&zip);
        free(cut);
    }
    free(a.bytes);
}

/* More members than 16 bits can count: zip64 end records. */
static void test_many_members(void **state)
{
    enum { N = 70000 };
    const struct fx_zip_member *member;
    struct fx_err err = { 0 };
    struct archive a;
    struct fx_zip zip;
    char name[16];

    (void)state;
    archive_begin(&a);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "m/%d", i);
        assert_int_equal(fx_zip_writer_add(&a.writer, name, &i, sizeof i, NULL), FX_OK);
    }
    archive_end(&a);
    if (fx_zip_open(&zip, a.bytes, a.n, "test", &err) != FX_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(zip.n_members, N);
    for (int i = 0; i < N; i += 997) {
        int content;
        snprintf(name, sizeof name, "m/%d", i);
        member = fx_zip_find(&zip, name);
        assert_non_null(member);
        assert_int_equal(fx_zip_extract(&zip, member, &content, &err), FX_OK);
        assert_int_equal(content, i);
    }
    fx_zip_close(&zip);
    free(a.bytes);
}

/* A member of more bytes than one buffer of the checker, deflated by zlib itself. */
static void test_deflated(void **state)
{
    enum { N = 300000 };
    uint8_t *content = malloc(N), *packed = malloc(N), *out = malloc(N);
    z_stream z = { .next_in = content, .avail_in = N, .next_out = packed, .avail_out = N };
    struct fx_err err = { 0 };

    (void)state;
    for (int i = 0; i < N; i++)
        content[i] = (uint8_t)((unsigned)i * (unsigned)i / 977);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    struct fx_zip zip = { .bytes = packed, .n_bytes = z.total_out, .name = "test" };
    struct fx_zip_member member = { .name = (char *)"m",
                                    .is_deflated = true,
                                    .crc = (uint32_t)crc32(0, content, N),
                                    .n_packed_bytes = z.total_out,
                                    .n_bytes = N };
    deflateEnd(&z);
    assert_int_equal(fx_zip_check(&zip, &member, &err), FX_OK);
    assert_int_equal(fx_zip_extract(&zip, &member, out, &err), FX_OK);
    assert_memory_equal(out, content, N);
    member.n_bytes = N - 1;
    assert_int_equal(fx_zip_extract(&zip, &member, out, &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "expands to more than its declared size"));
    member.n_bytes = N + 1;
    assert_int_equal(fx_zip_check(&zip, &member, &err), FX_EINPUT);
    member.n_bytes = N;
    member.crc ^= 1;
    assert_int_equal(fx_zip_check(&zip, &member, &err), FX_EINPUT);
    assert_non_null(strstr(err.msg, "CRC"));
    member.crc = 0; /* not computed */
    assert_int_equal(fx_zip_check(&zip, &member, &err), FX_OK);
    free(content);
    free(packed);
    free(out);
}

#if FX_CAN_CHANGE
static void lead_outside(uint8_t *bytes, size_t n, uint8_t *read)
{
    char *name;

    (void)read;
    while ((name = memmem(bytes, n, "m/sub/c", 7)))
        memcpy(name, "m/../.c", 7);
}

/* A name that was checked is the name that the member has. */
static void test_names_that_change(void **state)
{
    struct archive a;
    long last = 0;

    (void)state;
    make_three(&a);
    do {
        struct fx_err err = { 0 };
        struct fx_zip zip;
        const uint8_t *bytes = changing_begin(a.bytes, a.n, ++last, lead_outside);
        enum fx_status status = fx_zip_open(&zip, bytes, a.n, "test", &err);
        for (size_t i = 0; status == FX_OK && i < zip.n_members; i++)
            assert_null(strstr(zip.members[i].name, ".."));
        fx_zip_close(&zip);
    } while (changing_end() == last);
    assert_true(last > 50);
    free(a.bytes);
}
#else
static void test_names_that_change(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_same_members_same_bytes),
        cmocka_unit_test(test_every_cut),  cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_deflated),   cmocka_unit_test(test_names_that_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
