/* Reading a file of shares (see share_file_internal.h), byte by byte: nothing is stored but the
 * marks. */
#include "data/share_file_internal.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Beyond every image number, below the overflow of ten times it. */
static const int64_t number_max = INT64_C(1) << 40;

struct reader {
    FILE *file;
    const char *path;
    uint8_t *owners;
    int64_t n_train;
    struct fx_index_list pool;
    int line;       /* from 0: the expert */
    int64_t number; /* that is being read; -1: none */
};

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static bool is_in_pool(const struct reader *r, int64_t image)
{
    return r->pool.n > 0 &&
           bsearch(&image, r->pool.values, (size_t)r->pool.n, sizeof image, compare);
}

static enum fx_status end_number(struct reader *r, struct fx_err *err)
{
    int64_t image = r->number;

    if (image < 0)
        return FX_OK;
    r->number = -1;
    if (image >= r->n_train)
        return fx_fail(err, FX_EINPUT,
                       "%s: line %d: image %" PRId64 ": the training images are 0..%" PRId64,
                       r->path, r->line + 1, image, r->n_train - 1);
    if (!is_in_pool(r, image))
        return fx_fail(err, FX_EINPUT, "%s: line %d: image %" PRId64 " is in the fusion holdout",
                       r->path, r->line + 1, image);
    if (r->owners[image] >> r->line & 1)
        return fx_fail(err, FX_EINPUT, "%s: line %d: image %" PRId64 " stands there twice", r->path,
                       r->line + 1, image);
    r->owners[image] |= (uint8_t)(1u << r->line);
    return FX_OK;
}

static enum fx_status too_many(const struct reader *r, int n_max, struct fx_err *err)
{
    return fx_fail(err, FX_EINPUT, "%s: has more than %d lines: one for each expert", r->path,
                   n_max);
}

static enum fx_status take(struct reader *r, int c, struct fx_err *err)
{
    if (c >= '0' && c <= '9') {
        r->number = (r->number < 0 ? 0 : r->number) * 10 + (c - '0');
        return r->number <= number_max ? FX_OK
                                       : fx_fail(err, FX_EINPUT, "%s: line %d: number out of range",
                                                 r->path, r->line + 1);
    }
    if (c != ' ' && c != '\t' && c != ',' && c != '\r' && c != '\n')
        return fx_fail(err, FX_EINPUT,
                       "%s: line %d: byte 0x%02x: only image numbers, blanks and commas may stand "
                       "there",
                       r->path, r->line + 1, (unsigned)c);
    FX_TRY(end_number(r, err));
    r->line += c == '\n';
    return FX_OK;
}

static enum fx_status read_lines(struct reader *r, int *n_experts, struct fx_err *err)
{
    int n_max = *n_experts > 0 ? *n_experts : FX_MAX_EXPERTS, c;
    bool is_open = false; /* the last line has no end yet */

    while ((c = getc(r->file)) != EOF) {
        if (r->line >= n_max)
            return too_many(r, n_max, err);
        FX_TRY(take(r, c, err));
        is_open = c != '\n';
    }
    if (ferror(r->file))
        return fx_fail_errno(err, "%s", r->path);
    if (is_open) {
        FX_TRY(end_number(r, err));
        r->line++;
    }
    if (*n_experts > 0 ? r->line < *n_experts : r->line < 2)
        return fx_fail(err, FX_EINPUT, "%s: has %d lines: one for each expert, %d%s", r->path,
                       r->line, n_max > 2 && *n_experts == 0 ? 2 : n_max,
                       *n_experts == 0 ? " or more" : "");
    *n_experts = r->line;
    return FX_OK;
}

enum fx_status fx_share_file_read(const char *path, uint8_t *owners, int64_t n_train,
                                  struct fx_index_list pool, int *n_experts, struct fx_err *err)
{
    struct reader r = { fopen(path, "re"), path, owners, n_train, pool, 0, -1 };

    if (!r.file)
        return fx_fail_errno(err, "%s", path);
    enum fx_status status = read_lines(&r, n_experts, err);
    fclose(r.file);
    return status;
}
