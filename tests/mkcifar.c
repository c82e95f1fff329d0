/* mkcifar: makes a small CIFAR archive in an official layout, for tests and the demo; not
 * installed.
 *
 * The images can be learned: each class has two gratings with its own directions, frequencies and
 * colours; each image its own phases, contrast, brightness and noise.  Labels go round the classes.
 * Everything is integer arithmetic on Philox words: the same options give the same bytes anywhere.
 */
#include "base/io.h"
#include "base/philox.h"
#include "base/tool.h"

#include <archive.h>
#include <archive_entry.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, IMAGE_BYTES = 3 * PIXELS, N_GRATINGS = 2 };
enum { TURN = 1024, N_TRAIN_BATCHES = 5, CLASSES_PER_GROUP = 5 };

struct args {
    const char *output, *layout;
    int64_t n_train, n_test, n_classes, seed, noise;
};

/* ---- images ---------------------------------------------------------------------------------- */

/* What the random words are for: the first word of the counter. */
enum purpose { OF_CLASS, OF_TRAIN, OF_TEST };

struct grating {
    int fx, fy;    /* waves across the image, in 1/8 */
    int colour[3]; /* amplitude in each channel, -48..48 */
};

static int sine(int turn)
{
    static int table[TURN];

    if (table[TURN / 4] == 0)
        for (int i = 0; i < TURN; i++)
            table[i] = (int)lround(256 * sin(2 * 3.14159265358979323846 * i / TURN));
    return table[turn & (TURN - 1)];
}

static void draw(const struct args *args, enum purpose purpose, uint32_t number, uint32_t block,
                 uint32_t words[4])
{
    const uint32_t counter[4] = { purpose, number, block, 0 };

    fx_philox(counter, (uint64_t)args->seed, words);
}

/* A whole number in [low, high] from 16 random bits. */
static int between(uint32_t bits, int low, int high)
{
    return low + (int)((bits & 0xffff) * (uint32_t)(high - low + 1) >> 16);
}

static void class_gratings(const struct args *args, int label, struct grating gratings[N_GRATINGS])
{
    for (uint32_t g = 0; g < N_GRATINGS; g++) {
        uint32_t words[4];
        draw(args, OF_CLASS, (uint32_t)label, g, words);
        /* A flip must not make another class of it: colours differ as well as directions. */
        gratings[g].fx = between(words[0], -40, 40);
        gratings[g].fy = between(words[0] >> 16, 8, 40);
        for (int c = 0; c < 3; c++)
            gratings[g].colour[c] = between(words[1 + c], -48, 48);
    }
}

/* Noise of a pixel in -2n..2n, nearly normal: the sum of four uniform bytes. */
static int noise_of(uint32_t word, int n)
{
    int sum = 0;

    for (int i = 0; i < 4; i++)
        sum += (int)(word >> 8 * i & 0xff);
    return (sum - 510) * n / 255;
}

static void make_image(const struct args *args, enum purpose purpose, uint32_t number,
                       uint8_t image[IMAGE_BYTES])
{
    struct grating gratings[N_GRATINGS];
    uint32_t own[4], noise[4];

    class_gratings(args, (int)(number % args->n_classes), gratings);
    draw(args, purpose, number, 0, own);
    int contrast = between(own[2], 128, 256), brightness = between(own[2] >> 16, -32, 32);
    for (int i = 0; i < IMAGE_BYTES; i++) {
        int c = i / PIXELS, y = i % PIXELS / SIDE, x = i % SIDE, value = 0;
        for (int g = 0; g < N_GRATINGS; g++) {
            int turn = (gratings[g].fx * x + gratings[g].fy * y) * TURN / (8 * SIDE);
            value += gratings[g].colour[c] * sine(turn + between(own[g], 0, TURN - 1));
        }
        if (i % 4 == 0)
            draw(args, purpose, number, 1 + (uint32_t)i / 4, noise);
        value = 128 + brightness + value * contrast / (256 * 256);
        value += noise_of(noise[i % 4], (int)args->noise);
        image[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

static int64_t n_groups(const struct args *args)
{
    return (args->n_classes + CLASSES_PER_GROUP - 1) / CLASSES_PER_GROUP;
}

/* ---- a growing buffer ------------------------------------------------------------------------ */

struct bytes {
    uint8_t *at; /* owned */
    size_t n, cap;
    bool failed;
};

static void put(struct bytes *out, const void *bytes, size_t n)
{
    while (!out->failed && out->cap - out->n < n) {
        size_t cap = out->cap > 0 ? 2 * out->cap : 4096;
        uint8_t *grown = realloc(out->at, cap);
        out->failed = grown == NULL;
        if (grown != NULL) {
            out->at = grown;
            out->cap = cap;
        }
    }
    if (!out->failed) {
        memcpy(out->at + out->n, bytes, n);
        out->n += n;
    }
}

static void put_byte(struct bytes *out, int byte)
{
    uint8_t b = (uint8_t)byte;

    put(out, &b, 1);
}

/* ---- pickles, protocol 2, as Python 2 wrote them --------------------------------------------- */

static void put_le(struct bytes *out, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        put_byte(out, (int)(value >> 8 * i & 0xff));
}

static void put_text(struct bytes *out, const char *text)
{
    put_byte(out, 'U');
    put_byte(out, (int)strlen(text));
    put(out, text, strlen(text));
}

static void put_int(struct bytes *out, int64_t value)
{
    int n = value < 256 ? 1 : value < 65536 ? 2 : 4;

    put_byte(out, n == 1 ? 'K' : n == 2 ? 'M' : 'J');
    put_le(out, (uint64_t)value, n);
}

/* Which element of a list to write, as text or number. */
typedef void (*put_item)(struct bytes *out, const struct args *args, int64_t i);

static void put_list(struct bytes *out, const char *key, const struct args *args, int64_t from,
                     int64_t n, put_item item)
{
    enum { BATCH = 1000 }; /* cPickle appends a thousand at a time */

    put_text(out, key);
    put_byte(out, ']');
    for (int64_t i = 0; i < n; i++) {
        if (i % BATCH == 0)
            put_byte(out, '(');
        item(out, args, from + i);
        if (i % BATCH == BATCH - 1 || i == n - 1)
            put_byte(out, 'e');
    }
}

static void put_file_name(struct bytes *out, const struct args *args, int64_t i)
{
    char name[40];

    snprintf(name, sizeof name, "class_%03d_s_%06d.png", (int)(i % args->n_classes), (int)i);
    put_text(out, name);
}

static void put_fine(struct bytes *out, const struct args *args, int64_t i)
{
    put_int(out, i % args->n_classes);
}

static void put_coarse(struct bytes *out, const struct args *args, int64_t i)
{
    put_int(out, i % args->n_classes / CLASSES_PER_GROUP);
}

static void name_of(char name[24], const char *kind, int64_t i)
{
    snprintf(name, 24, "%s_%03d", kind, (int)i);
}

static void put_class_name(struct bytes *out, const struct args *args, int64_t i)
{
    char name[24];

    (void)args;
    name_of(name, "class", i);
    put_text(out, name);
}

static void put_group_name(struct bytes *out, const struct args *args, int64_t i)
{
    char name[24];

    (void)args;
    name_of(name, "group", i);
    put_text(out, name);
}

static void put_images(struct bytes *out, const struct args *args, enum purpose purpose,
                       int64_t from, int64_t n)
{
    uint8_t image[IMAGE_BYTES];

    for (int64_t i = from; i < from + n; i++) {
        make_image(args, purpose, (uint32_t)i, image);
        put(out, image, sizeof image);
    }
}

/* numpy.ndarray (n, 3072) of uint8, as its __reduce__ of Python 2 gave it. */
static void put_array(struct bytes *out, const struct args *args, enum purpose purpose,
                      int64_t from, int64_t n)
{
    static const char begin[] = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
                                "K\0\x85U\1btR(K\1";
    static const char dtype[] = "\x86"
                                "cnumpy\ndtype\n(U\2u1K\0K\1tR(K\3U\1|NNNJ\xff\xff\xff\xff"
                                "J\xff\xff\xff\xffK\0tb\x89T";

    put_text(out, "data");
    put(out, begin, sizeof begin - 1);
    put_int(out, n);
    put_int(out, IMAGE_BYTES);
    put(out, dtype, sizeof dtype - 1);
    put_le(out, (uint64_t)(n * IMAGE_BYTES), 4);
    put_images(out, args, purpose, from, n);
    put(out, "tb", 2);
}

/* ---- members --------------------------------------------------------------------------------- */

static bool is_cifar10(const struct args *args)
{
    return strstr(args->layout, "10") != NULL;
}

static bool is_python(const struct args *args)
{
    return strncmp(args->layout, "python", 6) == 0;
}

static void make_python_batch(struct bytes *out, const struct args *args, enum purpose purpose,
                              int64_t from, int64_t n)
{
    put(out, "\x80\2}q\1(", 6);
    put_list(out, "filenames", args, from, n, put_file_name);
    put_text(out, "batch_label");
    put_text(out, purpose == OF_TRAIN ? "training batch" : "testing batch 1 of 1");
    put_list(out, is_cifar10(args) ? "labels" : "fine_labels", args, from, n, put_fine);
    if (!is_cifar10(args))
        put_list(out, "coarse_labels", args, from, n, put_coarse);
    put_array(out, args, purpose, from, n);
    put(out, "u.", 2);
}

static void make_binary_batch(struct bytes *out, const struct args *args, enum purpose purpose,
                              int64_t from, int64_t n)
{
    for (int64_t i = from; i < from + n; i++) {
        if (!is_cifar10(args))
            put_byte(out, (int)(i % args->n_classes / CLASSES_PER_GROUP));
        put_byte(out, (int)(i % args->n_classes));
        put_images(out, args, purpose, i, 1);
    }
}

static void make_python_names(struct bytes *out, const struct args *args)
{
    put(out, "\x80\2}q\1(", 6);
    put_list(out, is_cifar10(args) ? "label_names" : "fine_label_names", args, 0, args->n_classes,
             put_class_name);
    if (!is_cifar10(args))
        put_list(out, "coarse_label_names", args, 0, n_groups(args), put_group_name);
    put(out, "u.", 2);
}

/* One name a line; the official files end with an empty line. */
static void make_text_names(struct bytes *out, const char *kind, int64_t n)
{
    char name[24];

    for (int64_t i = 0; i < n; i++) {
        name_of(name, kind, i);
        put(out, name, strlen(name));
        put_byte(out, '\n');
    }
    put_byte(out, '\n');
}

/* ---- the archive ----------------------------------------------------------------------------- */

static enum fx_status fail_archive(struct archive *archive, struct fx_err *err)
{
    const char *why = archive_error_string(archive);

    return fx_fail(err, FX_EFAIL, "archive: %s", why != NULL ? why : "cannot be written");
}

/* Writes a member and empties the buffer. */
static enum fx_status add_member(struct archive *archive, const char *folder, const char *name,
                                 struct bytes *content, struct fx_err *err)
{
    struct archive_entry *entry = archive_entry_new();
    char path[80];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (entry == NULL || content->failed) {
        archive_entry_free(entry);
        return fx_fail(err, FX_EFAIL, "%s: out of memory", path);
    }
    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, (la_int64_t)content->n);
    bool good = archive_write_header(archive, entry) == ARCHIVE_OK &&
                archive_write_data(archive, content->at, content->n) == (la_ssize_t)content->n;
    archive_entry_free(entry);
    content->n = 0;
    return good ? FX_OK : fail_archive(archive, err);
}

static enum fx_status add_batch(struct archive *archive, const struct args *args,
                                const char *folder, const char *name, enum purpose purpose,
                                int64_t from, int64_t n, struct bytes *content, struct fx_err *err)
{
    if (is_python(args))
        make_python_batch(content, args, purpose, from, n);
    else
        make_binary_batch(content, args, purpose, from, n);
    return add_member(archive, folder, name, content, err);
}

static enum fx_status add_cifar100(struct archive *archive, const struct args *args,
                                   struct bytes *content, struct fx_err *err)
{
    bool python = is_python(args);
    const char *folder = python ? "cifar-100-python" : "cifar-100-binary";

    if (python) {
        make_python_names(content, args);
        FX_TRY(add_member(archive, folder, "meta", content, err));
    } else {
        make_text_names(content, "class", args->n_classes);
        FX_TRY(add_member(archive, folder, "fine_label_names.txt", content, err));
        make_text_names(content, "group", n_groups(args));
        FX_TRY(add_member(archive, folder, "coarse_label_names.txt", content, err));
    }
    FX_TRY(add_batch(archive, args, folder, python ? "test" : "test.bin", OF_TEST, 0, args->n_test,
                     content, err));
    return add_batch(archive, args, folder, python ? "train" : "train.bin", OF_TRAIN, 0,
                     args->n_train, content, err);
}

static enum fx_status add_cifar10(struct archive *archive, const struct args *args,
                                  struct bytes *content, struct fx_err *err)
{
    bool python = is_python(args);
    const char *folder = python ? "cifar-10-batches-py" : "cifar-10-batches-bin";
    char name[32];

    /* As in the official archive, batches stand in no order: 4 3 2 1 5. */
    for (int k = 0; k < N_TRAIN_BATCHES; k++) {
        int batch = k < 4 ? 3 - k : k;
        int64_t from = args->n_train * batch / N_TRAIN_BATCHES;
        int64_t to = args->n_train * (batch + 1) / N_TRAIN_BATCHES;
        snprintf(name, sizeof name, "data_batch_%d%s", batch + 1, python ? "" : ".bin");
        FX_TRY(add_batch(archive, args, folder, name, OF_TRAIN, from, to - from, content, err));
    }
    FX_TRY(add_batch(archive, args, folder, python ? "test_batch" : "test_batch.bin", OF_TEST, 0,
                     args->n_test, content, err));
    if (python)
        make_python_names(content, args);
    else
        make_text_names(content, "class", args->n_classes);
    return add_member(archive, folder, python ? "batches.meta" : "batches.meta.txt", content, err);
}

static enum fx_status run(const struct args *args, struct fx_err *err)
{
    struct archive *archive = archive_write_new();
    struct bytes content = { 0 };
    struct fx_output out = { .fd = -1 };
    enum fx_status status;

    FX_TRY_OUT(fx_output_open(&out, args->output, true, err));
    if (archive == NULL || archive_write_set_format_ustar(archive) != ARCHIVE_OK ||
        archive_write_add_filter_gzip(archive) != ARCHIVE_OK ||
        archive_write_set_filter_option(archive, "gzip", "timestamp", NULL) != ARCHIVE_OK ||
        archive_write_open_fd(archive, out.fd) != ARCHIVE_OK) {
        status = fail_archive(archive, err);
        goto out;
    }
    FX_TRY_OUT(is_cifar10(args) ? add_cifar10(archive, args, &content, err)
                                : add_cifar100(archive, args, &content, err));
    if (archive_write_close(archive) != ARCHIVE_OK) {
        status = fail_archive(archive, err);
        goto out;
    }
    status = fx_output_commit(&out, err);
out:
    archive_write_free(archive);
    fx_output_abandon(&out);
    free(content.at);
    return status;
}

int main(int argc, char **argv)
{
    struct args args = {
        .layout = "python", .n_train = 200, .n_test = 40, .n_classes = 10, .seed = 1, .noise = 48
    };
    const struct fx_option options[] = {
        FX_OPTION_OUTPUT(&args.output),
        { "train", 0, "N", FX_OPT_INT, &args.n_train, 5, 100000, NULL,
          "training images (default 200)", NULL },
        { "test", 0, "N", FX_OPT_INT, &args.n_test, 1, 100000, NULL, "test images (default 40)",
          NULL },
        { "classes", 0, "N", FX_OPT_INT, &args.n_classes, 2, 100, NULL, "classes (default 10)",
          NULL },
        { "layout", 0, "NAME", FX_OPT_CHOICE, &args.layout, 0, 0,
          "python|binary|python-10|binary-10", "layout of CIFAR-100 or CIFAR-10 (default python)",
          NULL },
        { "seed", 0, "N", FX_OPT_INT, &args.seed, 0, 0x1p53, NULL,
          "seed of classes and images (default 1)", NULL },
        { "noise", 0, "N", FX_OPT_INT, &args.noise, 0, 255, NULL,
          "strength of the noise (default 48)", NULL },
        { .type = FX_OPT_END },
    };
    const struct fx_tool tool = {
        .name = "mkcifar",
        .synopsis = "[options]",
        .summary = "Make a small CIFAR archive of images that can be learned.",
        .options = options,
        .example = "mkcifar --train 200 --classes 10 -o cifar-100-python.tar.gz",
    };
    struct fx_err err = { 0 };

    if (fx_tool_start(&tool, argc, argv) > 0)
        return fx_tool_exit(fx_fail(&err, FX_EUSAGE, "%s: takes no file", argv[0]), &err);
    return fx_tool_exit(run(&args, &err), &err);
}
