"""Building blocks of .pth files, opcode by opcode and header by header, so that each can lie.

A file is a pickled object and its storages, in a zip (torch >= 1.6) or in a stream (before)."""

import struct
import zlib

# ---- pickles (protocol 2)


def num(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return b"X" + struct.pack("<I", len(value)) + value


def tup(*items):
    return b"(" + b"".join(items) + b"t"


def name(module, attribute):
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def call(module, attribute, *args):
    return name(module, attribute) + tup(*args) + b"R"


def dictionary(*pairs):
    return b"}(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def pickled(body):
    return b"\x80\x02" + body + b"."


NONE, FALSE, TRUE = b"N", b"\x89", b"\x88"
RUN_A_COMMAND = call("os", "system", text("touch pwned"))


def storage(key="0", numel=6, kind="FloatStorage", module="torch", *more):
    return (
        tup(text("storage"), name(module, kind), text(key), text("cpu"), num(numel), *more) + b"Q"
    )


def counts(values):
    return tup(*[num(v) for v in values])


def tensor(store=None, offset=0, size=(2, 3), stride=(3, 1), *more, function="_rebuild_tensor_v2"):
    return call(
        "torch._utils",
        function,
        store or storage(),
        num(offset),
        counts(size),
        counts(stride),
        FALSE,
        call("collections", "OrderedDict"),
        *more,
    )


def state(value):
    """A state dict of one tensor, "weight"."""
    return pickled(dictionary(("weight", value)))


FLOATS = struct.pack("<6f", 1, 2, 3, 4, 5, 6)
STATE = state(tensor())


# ---- zips


class Member:
    """A member; every field of its three headers can be given, else it is true."""

    def __init__(self, name, data, packed=None, method=0, **fields):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.data, self.packed, self.method = data, data if packed is None else packed, method
        self.fields = fields

    def get(self, where, field, value):
        return self.fields.get(where + "_" + field, self.fields.get(field, value))

    def common(self, where):
        return struct.pack(
            "<HHHHHIII",
            20,
            self.get(where, "flags", 0x800),
            self.get(where, "method", self.method),
            0,
            33,
            self.get(where, "crc", zlib.crc32(self.data)),
            self.get(where, "packed_size", len(self.packed)),
            self.get(where, "size", len(self.data)),
        )

    def local(self):
        name, extra = self.fields.get("local_name", self.name), self.fields.get("local_extra", b"")
        return (
            self.fields.get("local_magic", b"PK\3\4")
            + self.common("local")
            + struct.pack("<HH", len(name), len(extra))
            + name
            + extra
            + self.packed
            + self.fields.get("descriptor", b"")
        )

    def central(self, offset):
        extra = self.fields.get("central_extra", b"")
        return (
            b"PK\1\2"
            + struct.pack("<H", 20)
            + self.common("central")
            + struct.pack(
                "<HHHHHII",
                len(self.name),
                len(extra),
                0,
                self.fields.get("disk", 0),
                0,
                0,
                self.fields.get("offset", offset),
            )
            + self.name
            + extra
        )


def zipped(members, end=None, prefix=b"", tail=b"", **fields):
    """An archive of these members; fields of the end record can be given."""
    data, directory = prefix, b""
    for member in members:
        directory += member.central(len(data))
        data += member.local()
    at = len(data)
    data += directory
    if end is not None:
        return data + end(at, len(directory), len(members))
    n = fields.get("n", len(members))
    return (
        data
        + b"PK\5\6"
        + struct.pack(
            "<HHHHIIH",
            fields.get("this_disk", 0),
            0,
            fields.get("n_here", n),
            n,
            fields.get("directory_size", len(directory)),
            fields.get("directory_offset", at),
            fields.get("comment_size", len(tail)),
        )
        + tail
    )


def members(pickle=STATE, storages=(FLOATS,), root="m/", version=b"3\n", order=b"little"):
    parts = [("data.pkl", pickle), ("byteorder", order)]
    parts += [(f"data/{i}", data) for i, data in enumerate(storages)] + [("version", version)]
    return [Member(root + n, data) for n, data in parts if data is not None]


def pth(pickle=STATE, storages=(FLOATS,), **more):
    return zipped(members(pickle, storages, **more))


# ---- streams


MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e"
SYSTEM = pickled(dictionary(("protocol_version", num(1001)), ("little_endian", b"\x88")))


def stream(pickle=None, keys=("0",), storages=(FLOATS,), version=1001, counted=None, tail=b""):
    """The five pickles and the storages; counted: the numbers of elements to write."""
    pickle = pickle or state(tensor(storage("0", 6, "FloatStorage", "torch", NONE)))
    listed = pickled(b"](" + b"".join(text(k) for k in keys) + b"e")
    counted = counted or [len(data) // 4 for data in storages]
    return (
        MAGIC
        + pickled(num(version))
        + SYSTEM
        + pickle
        + listed
        + b"".join(struct.pack("<q", n) + data for n, data in zip(counted, storages))
        + tail
    )
