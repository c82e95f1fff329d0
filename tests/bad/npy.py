"""Index files (.npy) that are no holdout of the 200 training images of the tests' archive."""
import struct


def npy(descr, values, shape=None, fortran=False, version=1, format="q", header=None):
    shape = (len(values),) if shape is None else shape
    if header is None:
        header = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    data = struct.pack(f"<{len(values)}{format}", *values)
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin1") + data


GOOD = npy("<i8", [5, 3, 199])


def cases():
    yield "empty", b"", "*"
    yield "magic", b"\x93NUMPX" + GOOD[6:], "*"
    yield "text", b"1\n2\n3\n", "*"
    yield "version-9", GOOD[:6] + b"\x09\x00" + GOOD[8:], "*"
    for cut in (5, 6, 8, 9, 10, 50, 127, 128, 129, 151):
        yield f"cut-{cut}", GOOD[:cut], "*"
    yield "trailing", GOOD + b"\0", "*"
    yield "trailing-values", GOOD + bytes(8), "*"
    yield "no-value", npy("<i8", []), "holds no index"
    yield "real", npy("<f8", [1.0, 2.0], format="d"), "*"
    yield "bool", npy("|b1", [1, 0], format="B"), "*"
    yield "objects", npy("|O", [1]), "*"
    yield "structured", npy([("a", "<i8")], [1]), "*"
    yield "i3", npy("<i3", [1]), "*"
    yield "two-dimensional", npy("<i8", [1, 2, 3, 4], shape=(2, 2)), "*"
    yield "no-dimension", npy("<i8", [1], shape=()), "*"
    yield "more-than-there", npy("<i8", [1, 2], shape=(3,)), "*"
    yield "less-than-there", npy("<i8", [1, 2], shape=(1,)), "*"
    yield "huge-shape", npy("<i8", [1], shape=(2**61,)), "*"
    yield "huger-shape", npy("<i8", [1], shape=(2**64 + 1,)), "*"
    yield "hugest-shape", npy("<i8", [1], shape=(10**90,)), "*"
    yield "negative-shape", npy("<i8", [1], shape=(-1,)), "*"
    yield "header-length", GOOD[:8] + b"\xff\xff" + GOOD[10:], "*"
    yield "header-length-v2", GOOD[:6] + b"\x02\0\xff\xff\xff\xff" + GOOD[10:], "*"
    for name, header in (
        ("no-dict", "[1, 2]"),
        ("no-shape", "{'descr': '<i8', 'fortran_order': False}"),
        ("twice", "{'descr': '<i8', 'descr': '<i8', 'fortran_order': False, 'shape': (1,)}"),
        ("extra", "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), 'x': 1}"),
        ("call", "{'descr': '<i8', 'fortran_order': False, 'shape': __import__('os')}"),
        ("open", "{'descr': '<i8"),
        ("after", "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)} + 1"),
        ("zero", "{'descr': '<i8',\0'fortran_order': False, 'shape': (1,)}"),
    ):
        yield f"header-{name}", npy(None, [1], header=header), "*"
    images = ": the training images are 0..199"
    yield "negative", npy("<i8", [5, -1]), "index -1 at position 1" + images
    yield "negative-i1", npy("|i1", [-128], format="b"), "index -128 at position 0" + images
    yield "above", npy("<i8", [5, 3, 200]), "index 200 at position 2" + images
    yield "above-i8", npy("<i8", [2**63 - 1]), f"index {2**63 - 1} at position 0" + images
    yield "above-u8", npy("<u8", [2**64 - 1], format="Q"), "*"
    yield "big-endian", npy(">i8", [1]), f"index {2**56} at position 0" + images
    yield "twice", npy("<i8", [7, 8, 7]), "index 7 at position 2: stands there twice"
