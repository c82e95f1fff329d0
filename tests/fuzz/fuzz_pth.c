/* Broken .pth files: pickles inside a zip whose CRCs are right (else most mutants would end there),
 * zips as a whole, and the stream of torch < 1.6.  Whatever comes in, the reader answers with
 * FX_EINPUT and one line, or with tensors whose every byte can be read and written again. */
#include "archive/pth.h"
#include "archive/unpickle_internal.h"
#include "archive/zip_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "mutate.h"

static volatile uint64_t sink; /* keeps the reads below alive */

static struct fuzz_bytes content_of(int fd)
{
    struct fuzz_bytes b = { .n = (size_t)lseek(fd, 0, SEEK_END) };

    b.at = malloc(b.n + 1);
    assert_int_equal(pread(fd, b.at, b.n, 0), b.n);
    close(fd);
    return b;
}

static bool read_pth(const uint8_t *bytes, size_t n)
{
    const struct fx_input in = { .bytes = bytes, .n_bytes = n, .name = "test" };
    struct fx_tensor_set set;
    struct fx_err err = { 0 };
    enum fx_status status = fx_pth_read(&set, &in, &err);

    if (status != FX_OK) {
        assert_int_equal(status, FX_EINPUT);
        assert_int_equal(strncmp(err.msg, "test: ", 6), 0);
    }
    for (size_t i = 0; status == FX_OK && i < set.n_tensors; i++)
        for (size_t k = 0; k < set.tensors[i].n_bytes; k++)
            sink += ((const uint8_t *)set.tensors[i].data)[k];
    fx_tensor_set_fini(&set);
    return status == FX_OK;
}

/* The bytes as the object of a zip with three storages. */
static bool read_pickle_in_zip(const uint8_t *bytes, size_t n)
{
    static const uint8_t storage[96] = { 1, 2, 3 };
    struct fx_zip_writer zip;
    int fd = memfd_create("zip", 0);

    assert_int_equal(fx_zip_writer_init(&zip, fd, "test", NULL), FX_OK);
    assert_int_equal(fx_zip_writer_add(&zip, "m/data.pkl", bytes, n, NULL), FX_OK);
    for (int i = 0; i < 3; i++) {
        char name[] = { 'm', '/', 'd', 'a', 't', 'a', '/', (char)('0' + i), '\0' };
        assert_int_equal(fx_zip_writer_add(&zip, name, storage, sizeof storage, NULL), FX_OK);
    }
    assert_int_equal(fx_zip_writer_add(&zip, "m/version", "3\n", 2, NULL), FX_OK);
    assert_int_equal(fx_zip_writer_finish(&zip, NULL), FX_OK);
    fx_zip_writer_fini(&zip);
    struct fuzz_bytes file = content_of(fd);
    bool is_read = read_pth(file.at, file.n);
    free(file.at);
    return is_read;
}

static bool unpickle(const uint8_t *bytes, size_t n)
{
    struct fx_pickle pickle;
    struct fx_err err = { 0 };
    size_t used;
    enum fx_status status = fx_unpickle(&pickle, bytes, n, &used, "test", &err);

    assert_true(used <= n);
    assert_true(status == FX_OK ? pickle.root != NULL : status == FX_EINPUT);
    fx_pickle_fini(&pickle);
    return status == FX_OK;
}

/* ---- good inputs ----------------------------------------------------------------------------- */

#define P(literal)                                                                                 \
    {                                                                                              \
        (uint8_t *)(literal), sizeof(literal) - 1                                                  \
    }

#define TENSOR(function, key, more)                                                                \
    "ctorch._utils\n" function                                                                     \
    "\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00" key "X\x03\x00\x00\x00"  \
    "cpuK\x18tQK\x00K\x04K\x03\x86K\x03K\x01\x86" more "tR"
#define HOOKS                                                                                      \
    "\x89"                                                                                         \
    "ccollections\nOrderedDict\n)R"

static const struct fuzz_bytes pickles[] = {
    P("\x80\x02}q\x00(X\x01\x00\x00\x00wq\x01" TENSOR("_rebuild_tensor_v2", "0",
                                                      HOOKS) "q\x02X\x01\x00"
                                                             "\x00\x00vh\x02u."),
    P("\x80\x02"
      "ccollections\nOrderedDict\n)R(U\x01"
      "a" TENSOR("_rebuild_tensor", "1",
                 "") "U\x01"
                     "b" TENSOR("_rebuild_tensor_v3", "2",
                                HOOKS "ctorch\nfloat32\n") "u}X\x09\x00\x00\x00_metadata}sb."),
    P("\x80\x02}(X\x05\x00\x00\x00"
      "epochK\x07X\x03\x00\x00\x00"
      "accG\x3f\xf8\x00\x00\x00\x00\x00\x00X\x03\x00\x00\x00netcm\nNet\n)\x81}("
      "X\x0b\x00\x00\x00_parameters}X\x01\x00\x00\x00wctorch._utils\n_rebuild_parameter\n(" TENSOR(
          "_rebuild_tensor_v2", "0",
          HOOKS) "\x88}tRsX\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}ubu."),
    P("\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01"
      "a\x94]\x94(K\x01M\x02\x01J\xff\xff\xff\xff\x88N"
      "e\x8c\x01"
      "b\x94h\x02u."),
    P("\x80\x02"
      "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01"
      "b\x87R(K\x01K\x02\x85"
      "cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89"
      "c_codecs\nencode\nX\x03\x00\x00\x00\xc3\xbf"
      "aX\x06\x00\x00\x00latin1\x86Rtb."),
};
enum { N_PICKLES = sizeof pickles / sizeof *pickles, N_WITH_TENSORS = 3 };

static struct fuzz_bytes small_file(void)
{
    static const float values[6] = { 1, 2, 3, 4, 5, 6 };
    struct fx_tensor_set set;
    int fd = memfd_create("pth", 0);

    fx_tensor_set_init(&set);
    assert_int_equal(
        fx_tensor_set_add(&set, "module.w", FX_F32, 2, (const int64_t[]){ 2, 3 }, values, NULL),
        FX_OK);
    assert_int_equal(fx_tensor_set_add(&set, "module.n", FX_I64, 0, NULL, values, NULL), FX_OK);
    assert_int_equal(fx_pth_write(&set, fd, "m", "test", NULL), FX_OK);
    fx_tensor_set_fini(&set);
    return content_of(fd);
}

#define LEGACY_HEAD                                                                                \
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02M\xe9\x03.\x80\x02}."

static const struct fuzz_bytes streams[] = {
    P(LEGACY_HEAD "\x80\x02}X\x01\x00\x00\x00w" TENSOR(
        "_rebuild_tensor_v2", "0", HOOKS) "s.\x80\x02]X\x01\x00\x00\x00"
                                          "0a.\x18\x00\x00\x00\x00\x00\x00\x00"
                                          "0123456789abcdef0123456789abcdef0123456789abcdef"
                                          "0123456789abcdef0123456789abcdef0123456789abcdef"),
};

static void test_pickles(void **state)
{
    (void)state;
    fuzz_run(pickles, N_PICKLES, unpickle);
}

static void test_pickles_in_zips(void **state)
{
    (void)state;
    fuzz_run(pickles, N_WITH_TENSORS, read_pickle_in_zip);
}

static void test_zips(void **state)
{
    const struct fuzz_bytes file = small_file();

    (void)state;
    fuzz_run(&file, 1, read_pth);
    free(file.at);
}

static void test_streams(void **state)
{
    (void)state;
    fuzz_run(streams, sizeof streams / sizeof *streams, read_pth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pickles),
        cmocka_unit_test(test_pickles_in_zips),
        cmocka_unit_test(test_zips),
        cmocka_unit_test(test_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
