/* The central directory of a zip archive: found, read, and held against every local header. */
#include "archive/zip_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR64_BYTES = 20,
    COMMENT_BYTES_MAX = 65535,
    FLAGS_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13, /* traditional, strong, masked headers */
    FLAG_DESCRIPTOR = 1 << 3,
    METHOD_STORED = 0,
    METHOD_DEFLATED = 8,
};

/* What the end records say about the central directory. */
struct directory {
    uint64_t n_members, n_bytes, offset;
    size_t end; /* where it has to end: the offset of the first end record */
};

bool fx_zip_is_zip(const uint8_t *bytes, size_t n_bytes)
{
    return n_bytes >= 4 && fx_zip_u32(bytes) == FX_ZIP_LOCAL;
}

static enum fx_status bad(const struct fx_zip *zip, struct fx_err *err, const char *why)
{
    return fx_fail(err, FX_EINPUT, "%s: zip: %s", zip->name, why);
}

static enum fx_status bad_member(const struct fx_zip *zip, const struct fx_zip_member *member,
                                 struct fx_err *err, const char *why)
{
    return fx_fail(err, FX_EINPUT, "%s: member %s: %s", zip->name, member->name, why);
}

/* ---- the end records ------------------------------------------------------------------------- */

/* The zip64 end record stands before the classic one when there is a locator; where the classic
 * fields are not saturated, both must agree. */
static enum fx_status read_end64(const struct fx_zip *zip, size_t end, struct directory *dir,
                                 struct fx_err *err)
{
    const uint8_t *at, *record;
    uint64_t offset;

    if (end < LOCATOR64_BYTES || fx_zip_u32(zip->bytes + end - LOCATOR64_BYTES) != FX_ZIP_LOCATOR64)
        return FX_OK;
    at = zip->bytes + end - LOCATOR64_BYTES;
    offset = fx_zip_u64(at + 8);
    if (fx_zip_u32(at + 4) != 0 || end < LOCATOR64_BYTES + END64_BYTES ||
        offset > end - LOCATOR64_BYTES - END64_BYTES)
        return bad(zip, err, "zip64 end record lies outside the file");
    record = zip->bytes + offset;
    if (fx_zip_u32(record) != FX_ZIP_END64 ||
        fx_zip_u64(record + 4) != end - LOCATOR64_BYTES - offset - 12 ||
        fx_zip_u32(record + 16) != 0 || fx_zip_u32(record + 20) != 0 ||
        fx_zip_u64(record + 24) != fx_zip_u64(record + 32))
        return bad(zip, err, "malformed zip64 end record");
    if ((dir->n_members != UINT16_MAX && dir->n_members != fx_zip_u64(record + 32)) ||
        (dir->n_bytes != UINT32_MAX && dir->n_bytes != fx_zip_u64(record + 40)) ||
        (dir->offset != UINT32_MAX && dir->offset != fx_zip_u64(record + 48)))
        return bad(zip, err, "the two end records differ");
    *dir = (struct directory){ .n_members = fx_zip_u64(record + 32),
                               .n_bytes = fx_zip_u64(record + 40),
                               .offset = fx_zip_u64(record + 48),
                               .end = (size_t)offset };
    return FX_OK;
}

static enum fx_status find_directory(const struct fx_zip *zip, struct directory *dir,
                                     struct fx_err *err)
{
    size_t end, lowest;

    if (zip->n_bytes < END_BYTES)
        return bad(zip, err, "cut: no end record");
    lowest = zip->n_bytes > END_BYTES + COMMENT_BYTES_MAX
                 ? zip->n_bytes - END_BYTES - COMMENT_BYTES_MAX
                 : 0;
    for (end = zip->n_bytes - END_BYTES;; end--) {
        const uint8_t *at = zip->bytes + end;
        if (fx_zip_u32(at) == FX_ZIP_END && fx_zip_u16(at + 20) == zip->n_bytes - END_BYTES - end)
            break;
        if (end == lowest)
            return bad(zip, err, "cut: no end record");
    }
    const uint8_t *at = zip->bytes + end;
    *dir = (struct directory){ .n_members = fx_zip_u16(at + 10),
                               .n_bytes = fx_zip_u32(at + 12),
                               .offset = fx_zip_u32(at + 16),
                               .end = end };
    if (fx_zip_u16(at + 4) != 0 || fx_zip_u16(at + 6) != 0 ||
        fx_zip_u16(at + 8) != fx_zip_u16(at + 10))
        return bad(zip, err, "archive of several disks");
    FX_TRY(read_end64(zip, end, dir, err));
    if (dir->n_members > FX_ZIP_MEMBERS_MAX)
        return bad(zip, err, "more than a million members");
    if (dir->offset > dir->end || dir->n_bytes != dir->end - dir->offset)
        return bad(zip, err, "the central directory is not where the end record says");
    return FX_OK;
}

/* ---- the members ----------------------------------------------------------------------------- */

/* Replaces saturated sizes and offset by the values of the zip64 extra field, in the order in which
 * they stand there.  A NULL pointer is a field that this header does not have. */
static bool read_extra64(const uint8_t *extra, size_t n, uint64_t *n_bytes, uint64_t *n_packed,
                         uint64_t *offset)
{
    uint64_t *fields[3] = { n_bytes, n_packed, offset };
    int n_wanted = 0;

    for (int i = 0; i < 3; i++)
        n_wanted += fields[i] && *fields[i] == UINT32_MAX;
    while (n >= 4 && n_wanted > 0) {
        size_t field_n = fx_zip_u16(extra + 2);
        const uint8_t *value = extra + 4;
        if (field_n > n - 4)
            return false;
        for (int i = 0; i < 3 && fx_zip_u16(extra) == 1; i++) {
            if (!fields[i] || *fields[i] != UINT32_MAX)
                continue;
            if (value + 8 > extra + 4 + field_n)
                return false;
            *fields[i] = fx_zip_u64(value);
            value += 8;
            n_wanted--;
        }
        if (fx_zip_u16(extra) == 1)
            return n_wanted == 0;
        extra += 4 + field_n;
        n -= 4 + field_n;
    }
    return n_wanted == 0;
}

/* Names end up in messages and in paths: printable, relative, and no way up. */
static bool is_good_name(const char *name, size_t n)
{
    if (n == 0 || name[0] == '/')
        return false;
    for (size_t i = 0; i < n; i++) {
        bool is_start = i == 0 || name[i - 1] == '/';
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '\\')
            return false;
        if (is_start && strncmp(name + i, "..", 2) == 0 && (i + 2 == n || name[i + 2] == '/'))
            return false;
    }
    return true;
}

/* One record of the central directory at `at`, of which `room` bytes are left; *used is its size.
 */
static enum fx_status read_central(struct fx_zip *zip, const uint8_t *at, size_t room, size_t *used,
                                   struct fx_err *err)
{
    struct fx_zip_member *member = &zip->members[zip->n_members];
    uint64_t n_bytes, n_packed, offset;
    size_t name_n, extra_n;

    if (room < CENTRAL_BYTES || fx_zip_u32(at) != FX_ZIP_CENTRAL)
        return bad(zip, err, "malformed central directory");
    name_n = fx_zip_u16(at + 28);
    extra_n = fx_zip_u16(at + 30);
    *used = CENTRAL_BYTES + name_n + extra_n + fx_zip_u16(at + 32);
    if (*used > room)
        return bad(zip, err, "malformed central directory");
    member->name = calloc(1, name_n + 1);
    if (!member->name)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", zip->name);
    zip->n_members++;
    memcpy(member->name, at + CENTRAL_BYTES, name_n);
    if (!is_good_name(member->name, name_n))
        return bad(zip, err, "a member's name is empty, absolute, unprintable or has '..'");

    member->name_n_bytes = name_n;
    member->flags = fx_zip_u16(at + 8);
    member->crc = fx_zip_u32(at + 16);
    n_packed = fx_zip_u32(at + 20);
    n_bytes = fx_zip_u32(at + 24);
    offset = fx_zip_u32(at + 42);
    if (!read_extra64(at + CENTRAL_BYTES + name_n, extra_n, &n_bytes, &n_packed, &offset))
        return bad_member(zip, member, err, "malformed zip64 field");
    if (member->flags & FLAGS_ENCRYPTED)
        return bad_member(zip, member, err, "is encrypted");
    if (fx_zip_u16(at + 10) != METHOD_STORED && fx_zip_u16(at + 10) != METHOD_DEFLATED)
        return bad_member(zip, member, err, "is neither stored nor deflated");
    if (fx_zip_u16(at + 34) != 0)
        return bad_member(zip, member, err, "lies on another disk");
    member->is_deflated = fx_zip_u16(at + 10) == METHOD_DEFLATED;
    if (!member->is_deflated && n_packed != n_bytes)
        return bad_member(zip, member, err, "is stored in another size than its own");
    member->n_packed_bytes = n_packed;
    member->n_bytes = n_bytes;
    member->header_offset = offset;
    return FX_OK;
}

/* A descriptor repeats CRC and sizes behind the payload, with or without its signature, with sizes
 * of 4 or 8 bytes.  Returns its length, 0 when none of the four forms is there. */
static size_t descriptor_bytes(const struct fx_zip_member *member, const uint8_t *at, size_t room)
{
    for (int form = 0; form < 4; form++) {
        size_t n_signature = form & 1 ? 0 : 4, width = form & 2 ? 8 : 4;
        const uint8_t *sizes = at + n_signature + 4;
        if (room < n_signature + 4 + 2 * width)
            continue;
        if (n_signature && fx_zip_u32(at) != FX_ZIP_DESCRIPTOR)
            continue;
        uint64_t n_packed = width == 4 ? fx_zip_u32(sizes) : fx_zip_u64(sizes);
        uint64_t n_bytes = width == 4 ? fx_zip_u32(sizes + 4) : fx_zip_u64(sizes + 8);
        if (fx_zip_u32(at + n_signature) == member->crc && n_packed == member->n_packed_bytes &&
            n_bytes == member->n_bytes)
            return n_signature + 4 + 2 * width;
    }
    return 0;
}

/* Whether the local header, with a name and an extra field of these lengths, repeats what the
 * directory says; with a descriptor its sizes and CRC may be 0, and its sizes saturated without a
 * zip64 field. */
static bool local_agrees(const struct fx_zip_member *member, const uint8_t *local, size_t name_n,
                         size_t extra_n)
{
    uint64_t n_packed = fx_zip_u32(local + 18), n_bytes = fx_zip_u32(local + 22);
    uint32_t crc = fx_zip_u32(local + 14);
    bool is_later = member->flags & FLAG_DESCRIPTOR;

    if (name_n != member->name_n_bytes || memcmp(local + LOCAL_BYTES, member->name, name_n) != 0 ||
        fx_zip_u16(local + 6) != member->flags ||
        fx_zip_u16(local + 8) != (member->is_deflated ? METHOD_DEFLATED : METHOD_STORED))
        return false;
    bool has_sizes = read_extra64(local + LOCAL_BYTES + name_n, extra_n, &n_bytes, &n_packed, NULL);
    if (is_later && (!has_sizes || (n_bytes == 0 && n_packed == 0)))
        return crc == 0 || crc == member->crc;
    return has_sizes && n_bytes == member->n_bytes && n_packed == member->n_packed_bytes &&
           (crc == member->crc || (is_later && crc == 0));
}

/* Finds the payload behind the local header; `limit` is where the central directory starts. */
static enum fx_status locate(const struct fx_zip *zip, struct fx_zip_member *member, size_t limit,
                             struct fx_err *err)
{
    const uint8_t *local;
    size_t room, name_n, extra_n, n_header;

    if (member->header_offset > limit || limit - member->header_offset < LOCAL_BYTES)
        return bad_member(zip, member, err, "lies outside the file");
    local = zip->bytes + member->header_offset;
    room = limit - member->header_offset;
    if (fx_zip_u32(local) != FX_ZIP_LOCAL)
        return bad_member(zip, member, err, "has no local header");
    name_n = fx_zip_u16(local + 26);
    extra_n = fx_zip_u16(local + 28);
    n_header = LOCAL_BYTES + name_n + extra_n;
    if (n_header > room || member->n_packed_bytes > room - n_header)
        return bad_member(zip, member, err, "lies outside the file");
    if (!local_agrees(member, local, name_n, extra_n))
        return bad_member(zip, member, err, "local header and central directory differ");
    member->data_offset = member->header_offset + n_header;
    member->end_offset = member->data_offset + member->n_packed_bytes;
    if (member->flags & FLAG_DESCRIPTOR) {
        size_t n =
            descriptor_bytes(member, zip->bytes + member->end_offset, limit - member->end_offset);
        if (n == 0)
            return bad_member(zip, member, err, "data descriptor and central directory differ");
        member->end_offset += n;
    }
    return FX_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct fx_zip_member *x = a, *y = b;
    return (x->header_offset > y->header_offset) - (x->header_offset < y->header_offset);
}

static int by_name(const void *a, const void *b)
{
    const struct fx_zip_member *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum fx_status check_places(struct fx_zip *zip, size_t limit, struct fx_err *err)
{
    struct fx_zip_member *members = zip->members;

    for (size_t i = 0; i < zip->n_members; i++)
        FX_TRY(locate(zip, &members[i], limit, err));
    qsort(members, zip->n_members, sizeof *members, by_offset);
    for (size_t i = 1; i < zip->n_members; i++)
        if (members[i].header_offset < members[i - 1].end_offset)
            return bad_member(zip, &members[i], err, "overlaps another member");
    qsort(members, zip->n_members, sizeof *members, by_name);
    for (size_t i = 1; i < zip->n_members; i++)
        if (strcmp(members[i].name, members[i - 1].name) == 0)
            return bad_member(zip, &members[i], err, "stands in the archive twice");
    return FX_OK;
}

enum fx_status fx_zip_open(struct fx_zip *zip, const uint8_t *bytes, size_t n_bytes,
                           const char *name, struct fx_err *err)
{
    struct directory dir = { 0 };
    size_t at, used = 0;

    *zip = (struct fx_zip){ .bytes = bytes, .n_bytes = n_bytes, .name = name };
    if (!fx_zip_is_zip(bytes, n_bytes))
        return bad(zip, err, "does not begin with a member");
    FX_TRY(find_directory(zip, &dir, err));
    if (dir.n_members > dir.n_bytes / CENTRAL_BYTES)
        return bad(zip, err, "malformed central directory");
    zip->members = calloc((size_t)dir.n_members + 1, sizeof *zip->members);
    if (!zip->members)
        return fx_fail(err, FX_EFAIL, "%s: out of memory", name);
    at = (size_t)dir.offset;
    for (uint64_t i = 0; i < dir.n_members; i++, at += used)
        FX_TRY(read_central(zip, bytes + at, dir.end - at, &used, err));
    if (at != dir.end)
        return bad(zip, err, "the central directory holds more than its members");
    return check_places(zip, (size_t)dir.offset, err);
}

void fx_zip_close(struct fx_zip *zip)
{
    for (size_t i = 0; i < zip->n_members; i++)
        free(zip->members[i].name);
    free(zip->members);
    *zip = (struct fx_zip){ 0 };
}

const struct fx_zip_member *fx_zip_find(const struct fx_zip *zip, const char *name)
{
    struct fx_zip_member key = { .name = (char *)name };

    if (zip->n_members == 0)
        return NULL;
    return bsearch(&key, zip->members, zip->n_members, sizeof key, by_name);
}
