/* A whole input in memory: mapped when it is a file, spooled when it is a stream. */
#include "base/io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SPOOL_BYTES_MIN = 1 << 16 };

/* Maps the rest of a regular file when it is unread; leaves in->is_mapped false when it cannot. */
static void map_file(struct fx_input *in, int fd)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
        lseek(fd, 0, SEEK_CUR) != 0)
        return;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return;
    in->bytes = bytes;
    in->n_bytes = (size_t)st.st_size;
    in->is_mapped = true;
}

/* Reads to the end; the buffer grows with what arrived, never with what was announced. */
static enum fx_status spool(struct fx_input *in, int fd, struct fx_err *err)
{
    size_t cap = SPOOL_BYTES_MIN, n = 0, got;
    uint8_t *buf = malloc(cap);

    if (buf == NULL)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", in->name);
    for (;;) {
        enum fx_status status = fx_read_full(fd, buf + n, cap - n, &got, in->name, err);
        if (status != FX_OK) {
            free(buf);
            return status;
        }
        n += got;
        if (n < cap)
            break;
        uint8_t *grown = cap <= SIZE_MAX / 2 ? realloc(buf, cap * 2) : NULL;
        if (grown == NULL) {
            free(buf);
            return fx_fail(err, FX_EFAIL, "%s: out of memory after %zu bytes", in->name, n);
        }
        buf = grown;
        cap *= 2;
    }
    in->bytes = buf;
    in->n_bytes = n;
    return FX_OK;
}

enum fx_status fx_input_open(struct fx_input *in, const char *path, struct fx_err *err)
{
    bool is_stdin = path == NULL || strcmp(path, "-") == 0;
    enum fx_status status = FX_OK;

    *in = (struct fx_input){ .name = is_stdin ? "stdin" : path };
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fx_fail_errno(err, "%s", in->name);
    map_file(in, fd);
    if (!in->is_mapped)
        status = spool(in, fd, err);
    if (!is_stdin)
        close(fd);
    return status;
}

void fx_input_close(struct fx_input *in)
{
    if (in->is_mapped)
        munmap((void *)in->bytes, in->n_bytes);
    else
        free((void *)in->bytes);
    *in = (struct fx_input){ 0 };
}
