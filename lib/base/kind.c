/* The table of kinds, and what to do with each where something else is wanted. */
#include "base/kind.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind {
    UNKNOWN,
    EMPTY,
    DIRECTORY,
    /* Ours. */
    DATASET,
    EXPERT,
    PART, /* fusion module or head, by itself */
    EXPERTS,
    CHECKPOINT,
    LOGITS,
    METRICS,
    /* PyTorch's and Python's. */
    PTH,
    PTH_MODEL,
    PICKLE,
    NPY,
    /* Others'. */
    GZIP,
    TAR,
    ZIP,
    PACKED, /* in ways that no tool reads */
    PICTURE,
    FOREIGN, /* other pictures and the like */
    PAGE,
    POINTER,
    JSON,
    TEXT
};

/* ---- from content to kind -------------------------------------------------------------------- */

/* A kind by bytes that stand at a place and, where `also` is given, a text somewhere behind them.
 * The first row that fits counts. */
struct sign {
    enum kind kind;
    const char *phrase;
    size_t at;
    const char *bytes;
    size_t n;
    const char *also;
};
#define BYTES(text) text, sizeof text - 1
/* The number that torch.save began with before 1.6, behind the opcodes of the pickle. */
#define TORCH_STREAM "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

static const struct sign signs[] = {
    { GZIP, "a gzip file", 0, BYTES("\x1f\x8b"), NULL },
    { TAR, "a tar archive", 257, BYTES("ustar"), NULL },
    { PTH_MODEL, "a whole model of PyTorch", 0, BYTES("PK\3\4"), "expert_backbones." },
    { PTH, "a PyTorch file", 0, BYTES("PK\3\4"), "data.pkl" },
    { ZIP, "a zip archive", 0, BYTES("PK\3\4"), NULL },
    { PTH_MODEL, "a whole model of PyTorch", 2, BYTES(TORCH_STREAM), "expert_backbones." },
    { PTH, "a PyTorch file", 2, BYTES(TORCH_STREAM), NULL },
    { PTH, "a PyTorch file", 11, BYTES(TORCH_STREAM), NULL },
    { PICKLE, "a Python pickle", 0, BYTES("\x80\x02"), NULL },
    { PICKLE, "a Python pickle", 0, BYTES("\x80\x03"), NULL },
    { PICKLE, "a Python pickle", 0, BYTES("\x80\x04"), NULL },
    { PICKLE, "a Python pickle", 0, BYTES("\x80\x05"), NULL },
    { NPY, "a NumPy array", 0, BYTES("\x93NUMPY"), NULL },
    { PACKED, "a bzip2 file", 0, BYTES("BZh"), NULL },
    { PACKED, "an xz file", 0, BYTES("\xfd\x37zXZ\0"), NULL },
    { PACKED, "a Zstandard file", 0, BYTES("\x28\xb5\x2f\xfd"), NULL },
    { PACKED, "a 7z archive", 0, BYTES("7z\xbc\xaf\x27\x1c"), NULL },
    { PACKED, "a RAR archive", 0, BYTES("Rar!\x1a\7"), NULL },
    { PICTURE, "a PNG picture", 0, BYTES("\x89PNG\r\n\x1a\n"), NULL },
    { PICTURE, "a JPEG picture", 0, BYTES("\xff\xd8\xff"), NULL },
    { FOREIGN, "a GIF picture", 0, BYTES("GIF8"), NULL },
    { FOREIGN, "a PDF document", 0, BYTES("%PDF-"), NULL },
    { FOREIGN, "an HDF5 file", 0, BYTES("\x89HDF\r\n\x1a\n"), NULL },
    { POINTER, "a Git LFS pointer", 0, BYTES("version https://git-lfs"), NULL },
    { METRICS, "a metrics stream", 0, BYTES("{"), "\"event\":" },
    { JSON, "a JSON file", 0, BYTES("{"), NULL },
    { TEXT, "a CSV table", 0, BYTES("epoch,"), NULL },
};

/* The same for what stands in the header of a safetensors file, behind its length.  Other tensors
 * than these may be anything. */
static const struct sign header_signs[] = {
    { DATASET, "a data set", 0, BYTES("{"), "\"split.fusion_holdout\":" },
    { PART, "a fusion module", 0, BYTES("{"), "\"component\":\"fusion_module\"" },
    { PART, "a global head", 0, BYTES("{"), "\"component\":\"global_head\"" },
    { EXPERT, "an expert", 0, BYTES("{"), "\"component\":\"expert" },
    { LOGITS, "a file of logits", 0, BYTES("{"), "\"expert.0\":{" },
    { CHECKPOINT, "a checkpoint", 0, BYTES("{"), "\"fusion\":" },
    { EXPERTS, "an experts stream", 0, BYTES("{"), "\"expert_backbones." },
    { EXPERT, "a file of weights", 0, BYTES("{"), ".weight\"" },
};

#define N_OF(array) (sizeof array / sizeof *(array))

static bool fits(const struct sign *sign, const uint8_t *bytes, size_t n)
{
    return n >= sign->at + sign->n && memcmp(bytes + sign->at, sign->bytes, sign->n) == 0 &&
           (!sign->also || memmem(bytes, n, sign->also, strlen(sign->also)));
}

static const struct sign *find(const struct sign *table, size_t n_table, const uint8_t *bytes,
                               size_t n)
{
    for (size_t i = 0; i < n_table; i++)
        if (fits(&table[i], bytes, n))
            return &table[i];
    return NULL;
}

/* u64 little endian, then JSON: see lib/tensor, which cannot be asked from here. */
static bool is_safetensors(const uint8_t *bytes, size_t n)
{
    return n > 8 && bytes[8] == '{' && memcmp(bytes + 4, "\0\0\0", 4) == 0;
}

static bool is_text(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((bytes[i] < ' ' && !strchr("\t\n\r", bytes[i])) || bytes[i] >= 0x7f || bytes[i] == '\0')
            return false;
    return n > 0;
}

static struct sign recognise(const uint8_t *bytes, size_t n)
{
    static const struct sign unknown = { .kind = UNKNOWN },
                             empty = { .kind = EMPTY, .phrase = "empty" },
                             page = { .kind = PAGE, .phrase = "a web page" },
                             text = { .kind = TEXT, .phrase = "a text file" };
    const struct sign *found;
    size_t at = 0;

    if (n == 0)
        return empty;
    if (is_safetensors(bytes, n))
        found = find(header_signs, N_OF(header_signs), bytes + 8, n - 8);
    else
        found = find(signs, N_OF(signs), bytes, n);
    if (found || is_safetensors(bytes, n))
        return found ? *found : unknown;
    while (at < n && strchr(" \t\r\n", bytes[at]) && bytes[at] != '\0')
        at++;
    if (at < n && bytes[at] == '<')
        return page;
    return is_text(bytes, n) ? text : unknown;
}

/* ---- what to do ------------------------------------------------------------------------------ */

#define BIT(kind) (1u << (kind))
#define CIFAR_100 "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"

/* What may be read as what is wanted, and where that comes from. */
static const struct {
    const char *phrase;
    uint32_t accepted;
    const char *how;
} wants[FX_N_WANTED] = {
    [FX_WANTED_ARCHIVE] = { "a CIFAR archive", BIT(GZIP) | BIT(TAR), "get " CIFAR_100 },
    [FX_WANTED_DATASET] = { "a data set", BIT(DATASET), "cifar-prep makes one of the archive" },
    [FX_WANTED_INDICES] = { "a list of image numbers", BIT(NPY),
                            "numpy.save and cifar-prep --export-splits write one" },
    [FX_WANTED_EXPERT] = { "an expert", BIT(EXPERT) | BIT(PTH) | BIT(ZIP),
                           "expert-train -o writes one" },
    [FX_WANTED_TENSORS] = { "a file of tensors",
                            BIT(DATASET) | BIT(EXPERT) | BIT(PART) | BIT(EXPERTS) |
                                BIT(CHECKPOINT) | BIT(LOGITS) | BIT(PTH) | BIT(PTH_MODEL) |
                                BIT(ZIP),
                            ".pth and .safetensors are" },
    [FX_WANTED_COMPONENTS] = { "a model or a part of one",
                               BIT(EXPERT) | BIT(PART) | BIT(EXPERTS) | BIT(CHECKPOINT) | BIT(PTH) |
                                   BIT(PTH_MODEL) | BIT(ZIP),
                               "ckpt-split writes the parts" },
    [FX_WANTED_EXPERTS] = { "an experts stream", BIT(EXPERTS) | BIT(CHECKPOINT),
                            "expert-load makes one" },
    [FX_WANTED_CHECKPOINT] = { "a checkpoint or experts stream", BIT(EXPERTS) | BIT(CHECKPOINT),
                               "fusion-train writes one, DIR/best.safetensors" },
    [FX_WANTED_METRICS] = { "a metrics stream", BIT(METRICS),
                            "fusion-train writes one to standard output" },
    [FX_WANTED_PICTURE] = { "a JPEG or PNG picture", BIT(PICTURE), "convert it first" },
    [FX_WANTED_RUNS] = { "a directory of runs", BIT(DIRECTORY), "name the directory it lies in" },
};

/* Better advice for what people mix up; the first row that fits counts. */
static const struct {
    uint32_t wanted, kinds;
    const char *how;
} advice[] = {
    { BIT(FX_WANTED_ARCHIVE), BIT(PAGE) | BIT(EMPTY), "get " CIFAR_100 " again" },
    { BIT(FX_WANTED_ARCHIVE), BIT(ZIP) | BIT(PACKED), "unpack it and pass the folder" },
    { BIT(FX_WANTED_ARCHIVE), BIT(PICKLE), "pass the folder that it lies in" },
    { BIT(FX_WANTED_ARCHIVE), BIT(DATASET), "nothing is left to do; pass it as --data" },
    { BIT(FX_WANTED_DATASET), BIT(GZIP) | BIT(TAR), "pass it through cifar-prep" },
    { BIT(FX_WANTED_DATASET), BIT(DIRECTORY), "cifar-prep makes one of an extracted archive" },
    { BIT(FX_WANTED_EXPERTS) | BIT(FX_WANTED_CHECKPOINT), BIT(EXPERT) | BIT(PTH),
      "pass it through expert-load" },
    { BIT(FX_WANTED_EXPERTS) | BIT(FX_WANTED_CHECKPOINT), BIT(PART) | BIT(PTH_MODEL),
      "pass it through ckpt-join" },
    { BIT(FX_WANTED_CHECKPOINT), BIT(DIRECTORY), "name a file in it, as best.safetensors" },
    { BIT(FX_WANTED_METRICS), BIT(DIRECTORY), "name a file in it, as metrics.jsonl" },
    { BIT(FX_WANTED_EXPERT), BIT(CHECKPOINT), "ckpt-split takes its experts out" },
    { BIT(FX_WANTED_EXPERT), BIT(EXPERTS),
      "fusion-train and fusion-eval read it as it is, ckpt-split takes its experts out" },
    { BIT(FX_WANTED_EXPERT), BIT(PTH_MODEL), "ckpt-join and ckpt-split take its experts out" },
    { BIT(FX_WANTED_EXPERT) | BIT(FX_WANTED_COMPONENTS) | BIT(FX_WANTED_TENSORS), BIT(TAR),
      "if PyTorch wrote it (2016), load it once with an old torch and save it" },
    { BIT(FX_WANTED_EXPERT) | BIT(FX_WANTED_COMPONENTS) | BIT(FX_WANTED_TENSORS), BIT(PICKLE),
      "torch.save writes what is read" },
    { ~BIT(FX_WANTED_RUNS), BIT(PAGE), "the download failed" },
    { ~BIT(FX_WANTED_RUNS), BIT(POINTER), "run git lfs pull" },
    { BIT(FX_WANTED_EXPERT) | BIT(FX_WANTED_COMPONENTS) | BIT(FX_WANTED_METRICS),
      BIT(GZIP) | BIT(TAR) | BIT(ZIP) | BIT(PACKED), "unpack it first" },
};

static const char *what_to_do(enum fx_wanted wanted, enum kind kind)
{
    for (size_t i = 0; i < N_OF(advice); i++)
        if ((advice[i].wanted & BIT(wanted)) && (advice[i].kinds & BIT(kind)))
            return advice[i].how;
    return wants[wanted].how;
}

/* The kind of what stands under a name; unknown where that is neither a file nor a directory. */
static struct sign look_at(const char *path)
{
    static const struct sign directory = { .kind = DIRECTORY, .phrase = "a directory" };
    struct sign sign = { .kind = UNKNOWN };
    uint8_t head[FX_KIND_BYTES];
    struct stat st;
    size_t n;

    if (stat(path, &st) != 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)))
        return sign;
    if (S_ISDIR(st.st_mode))
        return directory;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return sign;
    if (fx_read_full(fd, head, sizeof head, &n, path, NULL) == FX_OK)
        sign = recognise(head, n);
    close(fd);
    return sign;
}

enum fx_status fx_kind_check(enum fx_wanted wanted, const char *name, const void *bytes, size_t n,
                             struct fx_err *err)
{
    struct sign is =
        n > 0 ? recognise(bytes, n < FX_KIND_BYTES ? n : FX_KIND_BYTES) : look_at(name);

    if (is.kind == UNKNOWN || (wants[wanted].accepted & BIT(is.kind)))
        return FX_OK;
    return fx_fail(err, FX_EINPUT, "%s: is %s, not %s; %s", name, is.phrase, wants[wanted].phrase,
                   what_to_do(wanted, is.kind));
}

enum fx_status fx_kind_explain(enum fx_wanted wanted, struct fx_input *in, struct fx_err *err)
{
    if (err->status == FX_ESTOPPED || err->status == FX_EUSAGE)
        return err->status;
    fx_input_peek(in, FX_KIND_BYTES);
    (void)!fx_kind_check(wanted, in->name, in->bytes, in->n_bytes, err);
    return err->status;
}
