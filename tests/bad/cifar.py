"""Archives that are no CIFAR archive: damaged ones, incomplete ones, lying ones, hostile ones.

All are made from the same ten training and two test images of four classes."""
import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib

N_TRAIN, N_TEST, N_CLASSES, IMAGE = 10, 2, 4, 3072
DAMAGED = "the gzip data is damaged: *"
CUT = "the gzip data is cut off"
NOT_TAR = "not a tar or tar.gz archive: *"
NO_MEMBER = "holds no member of a CIFAR archive"


def pixels(n):
    return bytes((i * 37 + i // IMAGE) % 251 for i in range(n * IMAGE))


# ---- pickles, as Python 2 wrote them


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return b"U" + bytes([len(value)]) + value


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    return b"J" + struct.pack("<i", value)


def items(values):
    return b"](" + b"".join(values) + b"e"


def array(data, shape, dtype="u1", fortran=False, announced=None):
    """A NumPy array with these bytes; announced: the length that the pickle claims they have."""
    length = len(data) if announced is None else announced
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85" + text("b") + b"tR("
        + b"K\1(" + b"".join(map(number, shape)) + b"tcnumpy\ndtype\n(" + text(dtype)
        + b"K\0K\1tR(K\3" + text("|") + b"NNN" + number(-1) + number(-1) + b"K\0tb"
        + (b"\x88" if fortran else b"\x89") + b"T" + struct.pack("<I", length) + data + b"tb"
    )


def pickled(entries):
    body = b"".join(text(key) + value for key, value in entries.items())
    return b"\x80\2}(" + body + b"u."


def labels(n, modulus):
    return items([number(i % modulus) for i in range(n)])


def batch(n, **changes):
    entries = {
        "fine_labels": labels(n, N_CLASSES),
        "coarse_labels": labels(n, 2),
        "data": array(pixels(n), (n, IMAGE)),
    }
    entries.update(changes)
    return pickled({k: v for k, v in entries.items() if v is not None})


def meta(**changes):
    entries = {
        "fine_label_names": items([text("fine%d" % i) for i in range(N_CLASSES)]),
        "coarse_label_names": items([text("coarse%d" % i) for i in range(2)]),
    }
    entries.update(changes)
    return pickled({k: v for k, v in entries.items() if v is not None})


# ---- archives


def members():
    return {
        "cifar-100-python/meta": meta(),
        "cifar-100-python/test": batch(N_TEST),
        "cifar-100-python/train": batch(N_TRAIN),
    }


def binary_members():
    def records(n):
        images = pixels(n)
        return b"".join(
            bytes([i % 2, i % N_CLASSES]) + images[i * IMAGE : (i + 1) * IMAGE] for i in range(n)
        )

    return {
        "cifar-100-binary/fine_label_names.txt": b"a\nb\nc\nd\n",
        "cifar-100-binary/coarse_label_names.txt": b"x\ny\n",
        "cifar-100-binary/test.bin": records(N_TEST),
        "cifar-100-binary/train.bin": records(N_TRAIN),
    }


def cifar10_members():
    batch10 = pickled({"labels": labels(2, N_CLASSES), "data": array(pixels(2), (2, IMAGE))})
    names = pickled({"label_names": items([text("n%d" % i) for i in range(N_CLASSES)])})
    result = {"cifar-10-batches-py/data_batch_%d" % i: batch10 for i in range(1, 6)}
    result["cifar-10-batches-py/test_batch"] = batch10
    result["cifar-10-batches-py/batches.meta"] = names
    return result


def tar(entries, form=tarfile.USTAR_FORMAT):
    """A tar of (path, bytes) or tarfile.TarInfo entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for entry in entries.items() if isinstance(entries, dict) else entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            archive.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


def special(path, kind, target=""):
    info = tarfile.TarInfo(path)
    info.type = kind
    info.linkname = target
    return info


def compress(data):
    return gzip.compress(data, 6, mtime=0)


def packed(changes, base=members):
    """The right archive with members replaced, or left out where the value is None."""
    entries = base()
    folder = next(iter(entries)).rsplit("/", 1)[0] + "/"
    entries.update({folder + name: content for name, content in changes.items()})
    return compress(tar({k: v for k, v in entries.items() if v is not None}))


def with_size(size_field):
    """The right tar, whose last member's header announces another size."""
    data = bytearray(tar(members()))
    at = data.rindex(b"cifar-100-python/train")
    data[at + 124 : at + 136] = size_field
    data[at + 148 : at + 156] = b" " * 8
    checksum = sum(data[at : at + 512])
    data[at + 148 : at + 156] = b"%06o\0 " % checksum
    return compress(bytes(data))


def flip(data, bit):
    data = bytearray(data)
    data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


# ---- the cases


def gzip_cases(good):
    yield "empty", b"", "is empty, not a CIFAR archive; *"
    yield "one-byte", b"\x1f", NOT_TAR
    yield "text", b"not an archive\n" * 100, "is a text file, not *"
    yield "zip", b"PK\3\4" + bytes(1000), "is a zip archive, not *; unpack it and pass the folder"
    yield "bzip2", bz2.compress(tar(members())), "is a bzip2 file, not *"
    yield "xz", lzma.compress(tar(members())), "is an xz file, not *"
    yield "gzip-of-gzip", compress(good), NOT_TAR
    yield "gzip-of-nothing", compress(b""), "*"
    yield "gzip-of-text", compress(b"not an archive\n" * 100), NOT_TAR
    ends = range(len(good) - 9, len(good))
    for cut in [2, 3, 9, 10, 11, 18, *range(40, len(good) - 9, 1201), *ends]:
        yield "gzip-cut-%05d" % cut, good[:cut], CUT
    # Not in bytes 4 to 9: the header's time and system have no check and no meaning.
    for bit in (0, 7, 8, 15, 16, 19, 23, 25, 31):
        yield "gzip-flip-%06d" % bit, flip(good, bit), "*"
    n_bits = 8 * len(good)
    for bit in [*range(80, 200), *range(200, n_bits - 64, 1999), *range(n_bits - 64, n_bits)]:
        yield "gzip-flip-%06d" % bit, flip(good, bit), "*"
    yield "gzip-trailing", good + b"x", "other bytes follow the gzip data"
    yield "gzip-trailing-text", good + b"\0" * 10 + b"END", "other bytes follow the gzip data"
    yield "gzip-half-member", good + good[:20], CUT
    yield "gzip-bad-member", good + b"\x1f\x8b" + bytes(30), DAMAGED
    yield "zlib", zlib.compress(tar(members())), NOT_TAR


def bomb_cases():
    """Five GiB of zeros in 5 MB, as one member of the tar or another, and after its end."""
    zeros = gzip.compress(bytes(1 << 26), 9, mtime=0) * 80
    why = "inflates to more than 256 MiB at more than 100 to 1"
    for path in "cifar-100-python/train", "cifar-100-binary/train.bin", "readme":
        info = tarfile.TarInfo(path)
        info.size = 1 << 31
        yield "bomb-" + path.rsplit("/", 1)[-1], compress(info.tobuf()) + zeros, why
    yield "bomb-after-the-end", packed({}) + zeros, why


def tar_cases():
    plain = tar(members())
    yield "tar-cut-header", plain[:300], NOT_TAR
    yield "tar-cut-member", compress(plain[: len(plain) // 2]), "*"
    yield "tar-cut-between", compress(plain[:1024]), "train is missing *"
    yield "tar-checksum", compress(flip(plain, 8 * 1030)), "*"
    yield "tar-zeros", compress(bytes(10240)), "*"
    yield "tar-nothing-known", compress(tar({"readme": b"hello"})), NO_MEMBER
    yield "tar-size-too-large", with_size(b"%011o\0" % (1 << 20)), "*"
    yield "tar-size-2g", with_size(b"%011o\0" % ((1 << 31) + 1)), "*: announces 2147483649 bytes, *"
    yield "tar-size-max", with_size(b"77777777777\0"), "*: announces 8589934591 bytes, *"
    yield "tar-size-base256", with_size(b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7), "*"
    yield "tar-size-negative", with_size(b"\xff" * 12), "*"
    yield "tar-size-no-number", with_size(b"lots of it!\0"), "*"
    yield "tar-pax-size", compress(pax_sized()), "*"
    yield "tar-sparse-all", sparse(1 << 20, []), "*"
    for name, n_bytes, blocks in (("front", 1 << 20, [0]), ("huge", 1 << 40, [0]),
                                  ("both", 1 << 30, [0, (1 << 30) - 512])):
        yield "tar-sparse-" + name, sparse(n_bytes, blocks), "*/train: not a regular file"
    for name, path in (("parent", "../train"), ("parents", "a/../../b/train"),
                       ("parent-last", "a/.."), ("absolute", "/cifar-100-python/train")):
        outside = compress(tar([(path, batch(N_TRAIN))]))
        yield "path-" + name, outside, "*: a path that leads out of *"
    for name, kind in (("symlink", tarfile.SYMTYPE), ("hardlink", tarfile.LNKTYPE),
                       ("fifo", tarfile.FIFOTYPE), ("device", tarfile.CHRTYPE)):
        entries = [e for e in members().items() if not e[0].endswith("train")]
        entries.append(special("cifar-100-python/train", kind, "cifar-100-python/test"))
        yield "member-" + name, compress(tar(entries)), "cifar-100-python/train: not a regular file"
    entries = [e for e in members().items() if not e[0].endswith("train")]
    entries.append(special("cifar-100-python/train", tarfile.DIRTYPE))
    yield "member-folder", compress(tar(entries)), "train is missing *"


def pax_sized():
    info = tarfile.TarInfo("cifar-100-python/train")
    info.pax_headers = {"size": str(1 << 62)}
    return tar([info], tarfile.PAX_FORMAT)


def sparse(n_bytes, blocks):
    """A member with holes (GNU sparse format 1.0): blocks are offsets of 512 stored bytes."""
    info = tarfile.TarInfo("GNUSparseFile.0/train")
    holes = "%d\n" % len(blocks) + "".join("%d\n512\n" % at for at in blocks)
    stored = holes.encode().ljust(512, b"\0") + b"\x80\2}." * (128 * len(blocks))
    info.size = len(stored)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                        "GNU.sparse.name": "cifar-100-python/train",
                        "GNU.sparse.realsize": str(n_bytes)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(stored))
    return compress(out.getvalue())


def member_cases():
    for base in members, binary_members, cifar10_members:
        for path in base():
            name = path.rsplit("/", 1)[1]
            yield "without-" + name, packed({name: None}, base), name + " is missing *"
    for name in "train", "meta":
        twice = [*members().items(), ("other/" + name, members()["cifar-100-python/" + name])]
        yield "twice-" + name, compress(tar(twice)), name + " stands there twice"
    both = {**members(), **binary_members()}
    yield "two-layouts", compress(tar(both)), "meta belongs to cifar-100-python, *"
    yield "two-data-sets", compress(tar({**members(), **cifar10_members()})), "*belongs to*"


def label_cases():
    where = "train: "
    yield "labels-few", packed({"train": batch(N_TRAIN, fine_labels=labels(9, 4))}), \
        where + "10 images but 9 fine_labels"
    yield "labels-many", packed({"train": batch(N_TRAIN, coarse_labels=labels(11, 2))}), \
        where + "10 images but 11 coarse_labels"
    yield "labels-none", packed({"train": batch(N_TRAIN, fine_labels=b"]")}), \
        where + "10 images but 0 fine_labels"
    yield "labels-missing", packed({"test": batch(N_TEST, fine_labels=None)}), \
        "test: has no fine_labels"
    yield "labels-text", packed({"test": batch(N_TEST, fine_labels=text("ab"))}), \
        "test: fine_labels is *, not a list"
    for name, value in (("high", number(N_CLASSES)), ("255", number(255))):
        bad = items([number(0), value])
        yield "label-" + name, packed({"test": batch(N_TEST, fine_labels=bad)}), \
            "image 1 of test: fine label is *, but there are 4 names"
    bad = items([number(2), number(0)])
    yield "label-coarse", packed({"test": batch(N_TEST, coarse_labels=bad)}), \
        "image 0 of test: coarse label is 2, but there are 2 names"
    for name, value in (("256", number(256)), ("negative", number(-1)), ("none", b"N"),
                        ("real", b"G" + struct.pack(">d", 1.0)), ("text", text("1")),
                        ("list", b"]"), ("huge", b"\x8a\x09" + b"\x01" * 9)):
        bad = items([number(0), value])
        yield "label-" + name, packed({"test": batch(N_TEST, fine_labels=bad)}), \
            "test: fine_labels: image 1 has no label of 0..255"
    yield "filenames-few", packed({"test": batch(N_TEST, filenames=items([text("a")]))}), \
        "test: 2 images but 1 filenames"
    yield "names-few", packed({"meta": meta(fine_label_names=items([text("a"), text("b")]))}), \
        "image 2 of training: fine label is 2, but there are 2 names"
    yield "names-none", packed({"meta": meta(fine_label_names=b"]")}), "*but there are 0 names"
    yield "names-many", packed({"meta": meta(fine_label_names=items([text("x")] * 300))}), \
        "meta: more than 256 label names"
    yield "names-missing", packed({"meta": meta(coarse_label_names=None)}), \
        "meta: has no coarse_label_names"
    for name, value in (("empty", text("")), ("escape", text("\x1b[2J")), ("latin1", text(b"\xe9")),
                        ("newline", text("a\nb")), ("zero", text("a\0b"))):
        yield "name-" + name, packed({"meta": meta(fine_label_names=items([value] * 4))}), \
            "meta: label name 0 is empty or not printable UTF-8"
    yield "name-number", packed({"meta": meta(fine_label_names=items([number(1)] * 4))}), \
        "meta: fine_label_names: name 0 is not text"


def data_cases():
    image = pixels(2)
    wrong = "test: data is not an array (n, 3072) of uint8"
    for name, data, why in (
        ("missing", None, "test: has no data"),
        ("none", b"N", "test: data is *, not a NumPy array"),
        ("list", labels(2, 2), "test: data is *, not a NumPy array"),
        ("bytes", text("abc"), "test: data is *, not a NumPy array"),
        ("i1", array(image, (2, IMAGE), "i1"), wrong),
        ("f4", array(image, (2, IMAGE // 4), "f4"), wrong),
        ("objects", array(image, (2, IMAGE), "O"), "test: *"),
        ("flat", array(image, (2 * IMAGE,)), wrong),
        ("turned", array(image, (IMAGE, 2)), wrong),
        ("no-image", array(b"", (0, IMAGE)), "test: *"),
        ("four-dimensional", array(image, (2, 3, 32, 32)), wrong),
        ("short", array(image[:-1], (2, IMAGE)), "test: *"),
        ("long", array(image + b"x", (2, IMAGE)), "test: *"),
        ("negative", array(image, (-2, IMAGE)), "test: *"),
        ("overflow", array(image, (2**31 - 1,) * 8), "test: *"),
        ("more-than-labels", array(pixels(3), (3, IMAGE)), "test: 3 images but 2 fine_labels"),
        ("announced-2g", array(image, (2, IMAGE), announced=2**31 - 1), "test: *"),
        ("announced-4g", array(image, (2, IMAGE), announced=2**32 - 1), "test: *"),
    ):
        yield "data-" + name, packed({"test": batch(N_TEST, data=data)}), why


def pickle_cases():
    good = batch(N_TEST)
    for cut in (0, 1, 2, 3, 20, 60, 200, 230, len(good) - 2, len(good) - 1):
        yield "pickle-cut-%04d" % cut, packed({"test": good[:cut]}), "test: *"
    for name, content in (
        ("text", b"hello"), ("protocol-9", b"\x80\x09" + good[2:]), ("protocol-0", b"(dp0\n."),
        ("trailing", good + b"\0"), ("number", b"\x80\2K\1."), ("list", b"\x80\2]."),
        ("runs-a-command", b"\x80\2cos\nsystem\n" + text("touch pwned") + b"\x85R."),
        ("runs-in-data", batch(N_TEST, data=b"cos\nsystem\n" + text("touch pwned") + b"\x85R")),
        ("deep", b"\x80\2" + b"(" * 1000000),
        ("deep-lists", b"\x80\2" + b"]" * 90000 + b"a" * 89999 + b"."),
        ("itself", batch(N_TEST, fine_labels=b"]q\1h\1h\1ee")),
        ("memo", b"\x80\2h\5."), ("memo-huge", b"\x80\2}r\xff\xff\xff\xff."),
        ("odd-items", b"\x80\2}(K\1u."), ("unhashable", b"\x80\2}(]K\1u."),
        ("empty-stack", b"\x80\2a."), ("stop-only", b"\x80\2."),
        ("frame", b"\x80\4\x95" + b"\xff" * 8 + good[2:]),
        ("bytes8", b"\x80\4\x8e" + b"\xff" * 8 + b"."),
        ("copies", b"\x80\2" + b"]" + b"2(22222222l2" * 1000 + b"."),
    ):
        yield "pickle-" + name, packed({"test": content}), "test: *"


def binary_cases():
    good = binary_members()["cifar-100-binary/test.bin"]
    for name, content in (("empty", b""), ("short", good[:-1]), ("long", good + b"x"),
                          ("cifar-10", good[:3073])):
        yield "binary-" + name, packed({"test.bin": content}, binary_members), \
            "test.bin: * bytes are not whole records of 3074 bytes"
    yield "binary-fine", packed({"test.bin": b"\0\4" + good[2:]}, binary_members), \
        "image 0 of test: fine label is 4, but there are 4 names"
    yield "binary-coarse", packed({"test.bin": b"\2\0" + good[2:]}, binary_members), \
        "image 0 of test: coarse label is 2, but there are 2 names"
    for name, content in (("zeros", bytes(100)), ("gap", b"a\n\nb\nc\n"),
                          ("utf8", b"a\n\xff\nb\nc\n")):
        yield "binary-names-" + name, packed({"fine_label_names.txt": content}, binary_members), \
            "fine_label_names.txt: label name * is empty or not printable UTF-8"
    yield "binary-names-none", packed({"fine_label_names.txt": b""}, binary_members), \
        "image 0 of training: fine label is 0, but there are 0 names"


def cases():
    yield from gzip_cases(packed({}))
    yield from bomb_cases()
    yield from tar_cases()
    yield from member_cases()
    yield from label_cases()
    yield from data_cases()
    yield from pickle_cases()
    yield from binary_cases()
