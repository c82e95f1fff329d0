"""Files that break the ten rules of the safetensors reader, at least once each, and a few more."""

import json
import struct


def file(header, body=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def entry(begin=0, end=8, dtype="F32", shape=(2,), **more):
    fields = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}
    return {k: v for k, v in fields.items() if v is not None}


def one(**changes):
    """A file of one tensor with 8 bytes, changed."""
    return file({"a": {**entry(), **changes}}, bytes(8))


def without(field):
    whole = entry()
    del whole[field]
    return file({"a": whole}, bytes(8))


def two(first, second, n=16):
    return file({"a": first, "b": second}, bytes(n))


def raw(text, n=8):
    return file(text.encode(), bytes(n))


GOOD = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'


# What the reader says, as globs.
RULE_2 = "not a safetensors file: a header of * bytes, at most 100000000 are allowed"
NOT_JSON = "safetensors header: not *JSON*"
METADATA = "safetensors header: __metadata__ *"
HEADER = "safetensors header: tensor 'a': *"
OFFSETS = "safetensors header: tensor '[ab]': data_offsets *"
SIZE = "safetensors header: tensor 'a': *"
END = "* at *"


def cases():
    # 1: a length
    yield "rule-1-0", b"", "is empty, not *"
    for n in (1, 7):
        yield f"rule-1-{n}", bytes(n), f"cut off: {n} bytes of at least 8"
    # 2: a header of at most 100 million bytes
    yield "rule-2", file(b"{}", length=100000001), RULE_2
    yield "rule-2-huge", file(b"{}", length=2**63), RULE_2
    yield "rule-2-all", b"\xff" * 64, RULE_2
    # 3: the header lies in the file
    yield "rule-3", file(b"{}", length=3), "cut off: *"
    yield "rule-3-cut", one()[:40], "cut off: *"
    yield "rule-3-length-only", struct.pack("<Q", 2), "cut off: *"
    # 4: UTF-8
    yield "rule-4", file(b'{"\xff":{' + GOOD.encode() + b"}}", bytes(8)), NOT_JSON
    yield "rule-4-surrogate", file(b'{"\xed\xa0\x80":{' + GOOD.encode() + b"}}", bytes(8)), NOT_JSON
    # 5: one JSON object
    for case, text in (
        ("list", "[]"),
        ("number", "7"),
        ("nothing", ""),
        ("blank", "   "),
        ("open", '{"a":{' + GOOD),
        ("after", '{"a":{' + GOOD + "}}x"),
        ("two", "{}{}"),
        ("comma", '{"a":{' + GOOD + "},}"),
        ("zero", "{}\0"),
        ("deep", '{"a":' * 5000 + "1" + "}" * 5000),
    ):
        yield "rule-5-" + case, raw(text), NOT_JSON
    # 6: metadata of strings
    for case, meta in (
        ("list", "[]"),
        ("number", '{"a":1}'),
        ("object", '{"a":{}}'),
        ("text", '"a"'),
    ):
        yield "rule-6-" + case, raw('{"__metadata__":%s,"a":{%s}}' % (meta, GOOD)), METADATA
    # 7: dtype, shape, offsets
    for field in ("dtype", "shape", "data_offsets"):
        yield "rule-7-no-" + field, without(field), HEADER
    yield "rule-7-dtype", one(dtype="F33"), HEADER
    yield "rule-7-dtype-number", one(dtype=32), HEADER
    yield "rule-7-shape-negative", one(shape=[-2]), HEADER
    yield "rule-7-shape-real", one(shape=[2.0]), HEADER
    yield "rule-7-shape-text", one(shape="2"), HEADER
    yield "rule-7-shape-nested", one(shape=[[2]]), HEADER
    yield "rule-7-offsets-one", one(data_offsets=[8]), HEADER
    yield "rule-7-offsets-three", one(data_offsets=[0, 8, 8]), HEADER
    yield "rule-7-offsets-negative", one(data_offsets=[-8, 0]), HEADER
    yield "rule-7-offsets-huge", raw(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,%d]}}' % 2**64
    ), NOT_JSON
    yield "rule-7-value", raw('{"a":7}'), HEADER
    # 8: from 0 on, without holes and overlaps
    yield "rule-8-start", file({"a": entry(4, 12)}, bytes(12)), OFFSETS
    yield "rule-8-hole", two(entry(0, 8), entry(12, 20), 20), OFFSETS
    yield "rule-8-overlap", two(entry(0, 8), entry(4, 12), 12), OFFSETS
    yield "rule-8-same", two(entry(0, 8), entry(0, 8), 8), OFFSETS
    yield "rule-8-backwards", one(data_offsets=[8, 0]), OFFSETS
    # 9: shape and bytes agree
    yield "rule-9-less", one(shape=[1]), SIZE
    yield "rule-9-more", one(shape=[3]), SIZE
    yield "rule-9-scalar", one(shape=[]), SIZE
    yield "rule-9-overflow", one(shape=[2**62, 8]), SIZE
    yield "rule-9-overflow-to-fit", one(shape=[2**31, 2**31, 2**2]), SIZE
    yield "rule-9-overflow-times-zero", one(shape=[2**62, 2**62, 0]), SIZE
    yield "rule-9-bits", one(dtype="F4", shape=[3], data_offsets=[0, 8]), SIZE
    # 10: the last tensor ends where the file does
    yield "rule-10-less", file({"a": entry()}, bytes(7)), END
    yield "rule-10-more", file({"a": entry()}, bytes(9)), END
    yield "rule-10-none", file({}, bytes(1)), END
    # and: a name only once, dimensions that we can hold
    yield "twice", raw('{"a":{%s},"a":{%s}}' % (GOOD, GOOD)), NOT_JSON
    yield "twice-metadata", raw('{"__metadata__":{},"__metadata__":{},"a":{%s}}' % GOOD), NOT_JSON
    yield "nine-dimensions", one(shape=[1] * 8 + [2]), HEADER
