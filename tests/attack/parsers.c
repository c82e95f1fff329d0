/* The parsers of strangers' files under libFuzzer (make fuzz): the first byte of an input says
 * which of them reads the rest.  seeds.py makes the inputs to begin with. */
#include "archive/pth.h"
#include "archive/unpickle_internal.h"
#include "tensor/npy.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N_PARSERS = 4, TOUCHED_BYTES = 4096 };

static volatile uint64_t sink; /* keeps the reads below alive */

static void touch(const struct fx_tensor_set *set)
{
    for (size_t i = 0; i < set->n_tensors; i++) {
        const uint8_t *data = set->tensors[i].data;
        for (size_t k = 0; data && k < set->tensors[i].n_bytes && k < TOUCHED_BYTES; k++)
            sink += data[k];
    }
}

static enum fx_status read_pth(const uint8_t *bytes, size_t n, struct fx_err *err)
{
    const struct fx_input in = { .bytes = bytes, .n_bytes = n, .name = "test" };
    struct fx_tensor_set set;
    enum fx_status status = fx_pth_read(&set, &in, err);

    if (status == FX_OK)
        touch(&set);
    fx_tensor_set_fini(&set);
    return status;
}

static enum fx_status read_safetensors(const uint8_t *bytes, size_t n, struct fx_err *err)
{
    struct fx_tensor_set set = { 0 };
    enum fx_status status = fx_safetensors_parse(&set, bytes, n, "test", err);

    if (status == FX_OK)
        touch(&set);
    fx_tensor_set_fini(&set);
    return status;
}

static enum fx_status read_pickle(const uint8_t *bytes, size_t n, struct fx_err *err)
{
    struct fx_pickle pickle;
    size_t used;
    enum fx_status status = fx_unpickle(&pickle, bytes, n, &used, "test", err);

    fx_pickle_fini(&pickle);
    return status;
}

static enum fx_status read_npy(const uint8_t *bytes, size_t n, struct fx_err *err)
{
    int fd = memfd_create("npy", 0);
    char path[64];
    int64_t *values;
    size_t n_values;

    if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    enum fx_status status = fx_npy_read_indices(path, &values, &n_values, err);
    free(values);
    close(fd);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Read, or refused in words. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static enum fx_status (*const parsers[N_PARSERS])(const uint8_t *, size_t, struct fx_err *) = {
        read_pth, read_safetensors, read_pickle, read_npy
    };
    struct fx_err err = { 0 };

    if (n == 0)
        return 0;
    uint8_t *exact = malloc(n > 1 ? n - 1 : 1); /* so that a read behind the end shows */
    if (!exact)
        abort();
    memcpy(exact, bytes + 1, n - 1);
    enum fx_status status = parsers[bytes[0] % N_PARSERS](exact, n - 1, &err);
    if (status != FX_OK && (err.status != status || err.msg[0] == '\0'))
        abort();
    free(exact);
    return 0;
}
