"""Zips that are cut, damaged, ambiguous or bombs, around a pickle that is right; and files of other
kinds under the name of a checkpoint."""

import io
import struct
import tarfile
import zlib

from torchfile import FLOATS, Member, STATE, members, pth, zipped

CUT = "zip: cut: no end record"
PLACE = "zip: the central directory is not where the end record says"
DIFFER = "local header and central directory differ"


def changed(index, **fields):
    """The good archive with fields of one member's headers changed (2: the storage)."""
    parts = members()
    parts[index].fields.update(fields)
    return zipped(parts)


def flipped(data, at, bit=0):
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def deflated(data, level=9):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def with_storage(**fields):
    return zipped(members(storages=()) + [Member("m/data/0", FLOATS, **fields)])


def bomb(megabytes):
    """One megabyte of zeros, compressed once and repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = block * megabytes + deflated(b"")
    return zipped(
        members(storages=()) + [Member("m/data/0", b"", packed, 8, crc=0, size=megabytes * 2**20)]
    )


def end64(record_changes=(), locator_offset=None, classic=None):
    """The three end records, with changes (offset in the zip64 record, bytes)."""

    def end(at, size, n):
        record = bytearray(b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, n, n, size, at))
        for offset, data in record_changes:
            record[offset : offset + len(data)] = data
        where = at + size if locator_offset is None else locator_offset
        here = (n, n, size, at) if classic is None else classic
        return (
            bytes(record)
            + b"PK\6\7"
            + struct.pack("<IQI", 0, where, 1)
            + b"PK\5\6"
            + struct.pack("<HHHHIIH", 0, 0, *here, 0)
        )

    return zipped(members(), end=end)


def overlapping():
    """Two members share bytes: the second one's header stands inside the first one's payload."""
    inner = Member("m/data/1", b"inside")
    outer = Member("m/data/0", inner.local() + bytes(24))
    first = members(storages=())
    at = sum(len(m.local()) for m in first) + len(outer.local()) - len(outer.data)
    hidden = Member("m/data/1", b"inside", offset=at)
    hidden.local = lambda: b""
    return zipped(first + [outer, hidden])


def directories():
    good = pth()
    for cut in sorted({4, 21, 22, 23, 60, 200, len(good) // 2, len(good) - 22, len(good) - 1}):
        yield f"cut-{cut}", good[:cut], CUT
    yield "end-only", good[-22:], "*"
    yield "comment-size", zipped(members(), comment_size=5), CUT
    yield "tail", good + b"\0", CUT
    yield "count-more", zipped(members(), n=5), "zip: malformed central directory"
    yield "count-less", zipped(members(), n=3), "zip: the central directory holds more than *"
    yield "count-none", zipped(members(), n=0), "zip: the central directory holds more than *"
    yield "count-million", zipped(members(), n=65000), "zip: malformed central directory"
    yield "count-differs", zipped(members(), n_here=3), "zip: archive of several disks"
    yield "disk", zipped(members(), this_disk=1), "zip: archive of several disks"
    yield "directory-offset", zipped(members(), directory_offset=7), PLACE
    yield "directory-beyond", zipped(members(), directory_offset=2**32 - 2), PLACE
    yield "directory-size", zipped(members(), directory_size=9), PLACE
    yield "prefix", zipped(members(), prefix=b"#!/bin/sh\n"), "is no PyTorch checkpoint: *"
    yield "end64-locator", end64(
        locator_offset=2**63
    ), "zip: zip64 end record lies outside the file"
    yield "end64-locator-near", end64(locator_offset=3), "zip: malformed zip64 end record"
    yield "end64-magic", end64([(0, b"XX")]), "zip: malformed zip64 end record"
    yield "end64-disk", end64([(16, b"\1")]), "zip: malformed zip64 end record"
    yield "end64-count", end64([(32, b"\xff")]), "zip: malformed zip64 end record"
    yield "end64-differs", end64([(24, b"\3"), (32, b"\3")]), "zip: the two end records differ"
    saturated = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    yield "end64-huge", end64([(24, b"\xff" * 16)], classic=saturated), "zip: more than a million *"
    yield "end64-size", end64([(40, b"\xff" * 8)], classic=saturated), PLACE
    yield "end64-offset", end64([(48, b"\xff" * 8)], classic=saturated), PLACE


def headers():
    for case, fields, why in (
        ("encrypted", {"flags": 0x801}, "is encrypted"),
        ("encrypted-strong", {"flags": 0x841}, "is encrypted"),
        ("masked", {"flags": 0x2800}, "is encrypted"),
        ("method-bzip2", {"method": 12}, "is neither stored nor deflated"),
        ("method-unknown", {"method": 99}, "is neither stored nor deflated"),
        ("disk-of-member", {"disk": 3}, "lies on another disk"),
        ("stored-size", {"size": 23}, "is stored in another size than its own"),
        ("local-name", {"local_name": b"m/data/9"}, DIFFER),
        ("local-name-length", {"local_name": b"m/data/00"}, DIFFER),
        ("local-method", {"local_method": 8}, DIFFER),
        ("local-flags", {"local_flags": 0}, DIFFER),
        ("local-size", {"local_size": 20, "local_packed_size": 20}, DIFFER),
        ("local-crc", {"local_crc": 1}, DIFFER),
        ("local-magic", {"local_magic": b"PK\3\5"}, "has no local header"),
        (
            "local-extra64",
            {
                "local_size": 2**32 - 1,
                "local_packed_size": 2**32 - 1,
                "local_extra": b"\1\0\4\0\0\0\0\0",
            },
            DIFFER,
        ),
        ("offset-beyond", {"offset": 2**31}, "lies outside the file"),
        ("offset-other", {"offset": 1}, "has no local header"),
        ("size-beyond", {"size": 2**30, "packed_size": 2**30}, "lies outside the file"),
        (
            "size-64",
            {"central_size": 2**32 - 1, "central_packed_size": 2**32 - 1},
            "malformed zip64 field",
        ),
        (
            "size-64-huge",
            {
                "central_size": 2**32 - 1,
                "central_packed_size": 2**32 - 1,
                "central_extra": b"\1\0\x10\0" + b"\xff" * 16,
            },
            "lies outside the file",
        ),
        (
            "extra-length",
            {"central_size": 2**32 - 1, "central_extra": b"\1\0\xff\xff"},
            "malformed zip64 field",
        ),
        ("descriptor-none", {"flags": 0x808}, "data descriptor and central directory differ"),
        (
            "descriptor-crc",
            {"flags": 0x808, "descriptor": b"PK\7\x08" + struct.pack("<III", 1, 24, 24)},
            "data descriptor and central directory differ",
        ),
        (
            "descriptor-size",
            {
                "flags": 0x808,
                "descriptor": b"PK\7\x08" + struct.pack("<III", zlib.crc32(FLOATS), 9, 9),
            },
            "data descriptor and central directory differ",
        ),
        ("crc", {"crc": 12345}, "CRC is *, should be 00003039: damaged"),
    ):
        yield case, changed(2, **fields), "member m/data/0: " + why
    yield "twice", zipped(
        members() + [Member("m/data/0", FLOATS)]
    ), "*: stands in the archive twice"
    yield "overlap", overlapping(), "member m/data/1: overlaps another member"
    for case, name in (
        ("up", "m/../x"),
        ("up-first", "../m"),
        ("absolute", "/m/x"),
        ("empty", ""),
        ("newline", "m/a\nb"),
        ("zero", "m/a\0b"),
        ("backslash", "m\\x"),
    ):
        yield "name-" + case, zipped(members() + [Member(name, b"")]), "zip: a member's name is *"


def contents():
    good = pth()
    yield "flip-storage", flipped(good, good.index(FLOATS) + 7), "member m/data/0: CRC is *"
    yield "flip-pickle", flipped(good, good.index(STATE) + 9), "member m/data.pkl: CRC is *"
    yield "flip-unused", flipped(
        zipped(members(storages=(FLOATS, b"unused"))),
        zipped(members(storages=(FLOATS, b"unused"))).index(b"unused"),
    ), "member m/data/1: CRC is *"
    packed = deflated(FLOATS)
    yield "deflate-cut", with_storage(
        packed=packed[:-3], method=8
    ), "member m/data/0: deflate data *"
    yield "deflate-after", with_storage(
        packed=packed + b"\0", method=8
    ), "*: deflate data ends early"
    yield "deflate-longer", with_storage(
        packed=packed, method=8, size=20
    ), "member m/data/0: expands to more than its declared size"
    yield "deflate-shorter", with_storage(
        packed=packed, method=8, size=30
    ), "*: deflate data ends early"
    yield "deflate-noise", with_storage(
        packed=b"\xff" * 9, method=8
    ), "*: deflate data is corrupt or cut"
    yield "deflate-crc", with_storage(packed=packed, method=8, crc=77), "member m/data/0: CRC is *"
    yield "bomb", bomb(1024), "expands to more than 16 times its size: refused"
    yield "no-pickle", zipped(members()[1:]), "not a PyTorch file: member m/data.pkl is missing"
    yield "no-version", zipped(members()[:-1]), "not a PyTorch file: member m/version is missing"
    yield "no-storage", pth(storages=()), "storage 0 is missing"
    yield "version-11", pth(version=b"11\n"), "format version '11' is not one of 1 to 10"
    yield "version-text", pth(version=b"three"), "format version 'three' is not one of 1 to 10"
    yield "version-long", pth(version=b"3" * 99), "member m/version: longer than one word"
    yield "byte-order", pth(order=b"middle"), "byte order is neither little nor big"
    yield "outside", zipped(members() + [Member("other/x", b"")]), "*: member other/x is outside m/"
    yield "no-root", zipped(
        [Member("data.pkl", STATE), Member("version", b"3\n")]
    ), "not a PyTorch file: no top directory in the zip"
    yield "no-member", zipped([Member("x", b"")][:0], prefix=b"PK\3\4"), "not a PyTorch file: *"
    yield "torchscript", zipped(
        members() + [Member("m/constants.pkl", b"")]
    ), "is a TorchScript program, not a checkpoint: *"


def others():
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))
    yield "tar", tar.getvalue(), "is a tar archive, not *; if PyTorch wrote it (2016), load it *"
    yield "nothing", b"", "is empty, not *"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield "lfs", pointer, "is a Git LFS pointer, not *; run git lfs pull"
    yield "html", b"<!DOCTYPE html><html>404</html>", "is a web page, not *; the download failed"
    yield "plain-pickle", STATE, "is a Python pickle, not *; torch.save writes what is read"
    yield "text", b"weight 1 2 3\n", "is a text file, not *"
    yield "zeros", bytes(1000), "*"


def cases():
    for section in (directories, headers, contents, others):
        for case, data, why in section():
            yield case + ".pth", data, why
