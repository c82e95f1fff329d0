#!/usr/bin/env python3
"""pth_variants.py EXPERT.pth DIR: the same expert in every dress that a .pth has been seen in.

Takes a file written by ckpt-split apart with Python's own zipfile and writes DIR/NAME.pth for each
variant of container, pickle and storage layout.  All of them hold the same tensors: tests/pth.bats
reads each and compares the bytes."""

import io
import os
import random
import re
import struct
import subprocess
import sys
import zipfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "bad"))
from torchfile import (  # noqa: E402
    FALSE,
    MAGIC,
    NONE,
    RUN_A_COMMAND,
    SYSTEM,
    Member,
    call,
    counts,
    dictionary,
    members,
    name,
    num,
    pickled,
    pth,
    storage,
    text,
    tup,
    zipped,
)

KINDS = {"F32": ("FloatStorage", "float32", 4), "I64": ("LongStorage", "int64", 8)}


class Tensor:
    def __init__(self, key, line, data):
        self.name, dtype, shape = line.split("\t")
        self.key, self.data = str(key), data
        self.kind, self.dtype, self.item = KINDS[dtype]
        self.shape = tuple(int(n) for n in re.findall(r"\d+", shape))
        self.numel = len(data) // self.item

    def stride(self):
        strides, step = [], 1
        for side in reversed(self.shape):
            strides.insert(0, step)
            step *= side
        return tuple(strides)


def load(path):
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        listed = subprocess.run(
            ["expert-load", "--list", path], check=True, capture_output=True, text=True
        ).stdout.splitlines()
        return [Tensor(i, line, archive.read(f"{root}/data/{i}")) for i, line in enumerate(listed)]


# ---- pickles


def rebuild(t, store=None, offset=0, stride=None, function="_rebuild_tensor_v2"):
    arguments = [
        store or storage(t.key, t.numel, t.kind),
        num(offset),
        counts(t.shape),
        counts(t.stride() if stride is None else stride),
    ]
    if function != "_rebuild_tensor":
        arguments += [FALSE, call("collections", "OrderedDict")]
    if function == "_rebuild_tensor_v3":
        arguments += [name("torch", t.dtype)]
    return call("torch._utils", function, *arguments)


def state(tensors, prefix="", make=rebuild):
    return dictionary(*[(prefix + t.name, make(t)) for t in tensors])


def parameter(t):
    return call(
        "torch._utils",
        "_rebuild_parameter",
        rebuild(t),
        b"\x88",
        call("collections", "OrderedDict"),
    )


def untyped(t):
    store = storage(t.key, len(t.data), "UntypedStorage", "torch.storage")
    return rebuild(t, store, function="_rebuild_tensor_v3")


def subclass(t):
    whole = rebuild(t)
    function, arguments = whole.split(b"\n(", 1)
    return call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        function + b"\n",
        name("torch.nn.parameter", "Parameter"),
        b"(" + arguments[:-1],
        b"}",
    )


def numpy_scalar(value):
    dtype = (
        name("numpy", "dtype")
        + tup(text("f8"), FALSE, b"\x88")
        + b"R"
        + tup(num(3), text("<"), NONE, NONE, NONE, num(-1), num(-1), num(0))
        + b"b"
    )
    latin1 = struct.pack("<d", value).decode("latin1").encode()
    return call(
        "numpy.core.multiarray",
        "scalar",
        dtype,
        call("_codecs", "encode", text(latin1), text("latin1")),
    )


def beside(inner, *more):
    return pickled(
        dictionary(("epoch", num(7)), *more, ("acc", numpy_scalar(59.44)))
        + text(more[0][0])
        + inner
        + b"s"
    )


def module(tensors):
    """A module pickled whole: parameters and buffers in the dicts of its submodules."""
    tree = {}
    for t in tensors:
        here = tree
        for part in t.name.split(".")[:-1]:
            here = here.setdefault(part, {})
        here[t.name.split(".")[-1]] = t

    def build(node):
        entries = [(k, v) for k, v in node.items() if isinstance(v, Tensor)]
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        parameters = [(k, parameter(v)) for k, v in entries if k not in statistics]
        buffers = [(k, rebuild(v)) for k, v in entries if k in statistics]
        inner = [(k, build(v)) for k, v in node.items() if isinstance(v, dict)]
        parts = dictionary(
            ("training", FALSE),
            ("_parameters", dictionary(*parameters)),
            ("_buffers", dictionary(*buffers, ("scratch", rebuild(tensors[0])))),
            (
                "_non_persistent_buffers_set",
                call("__builtin__", "set", b"](" + text("scratch") + b"e"),
            ),
            ("_modules", dictionary(*inner)),
        )
        return name("models", "Net") + b")\x81" + parts + b"b"

    return build(tree)


def pickles(tensors):
    plain = state(tensors)
    ordered = b"".join(text(t.name) + rebuild(t) for t in tensors)
    yield "plain", pickled(plain)
    yield "ordered-dict", pickled(
        call("collections", "OrderedDict")
        + b"("
        + ordered
        + b"u"
        + dictionary(("_metadata", call("collections", "OrderedDict")))
        + b"b"
    )
    pairs = b"".join(b"](" + text(t.name) + rebuild(t) + b"e" for t in tensors)
    yield "ordered-dict-python-2", pickled(call("collections", "OrderedDict", b"](" + pairs + b"e"))
    ema = ("state_dict_ema", "ema_state_dict", "model_ema", "ema", "params_ema")
    for key in ("model_state_dict", "state_dict", "net", "model", "weights", "params", *ema):
        yield "under-" + key, beside(plain, (key, NONE))
    wrong = state(tensors, make=lambda t: rebuild(tensors[0]))
    yield "beside-ema", pickled(dictionary(("ema", wrong), ("model", plain), ("model_ema", wrong)))
    yield "under-two", pickled(dictionary(("model", dictionary(("state_dict", plain)))))
    wrappers = "module. _module. _orig_mod. model. net. module._orig_mod.module."
    for prefix in wrappers.split():
        yield "prefix-" + prefix.strip("."), pickled(state(tensors, prefix))
    count = next(t for t in tensors if t.dtype == "int64")
    averaged = [("n_averaged", rebuild(count))] + [("module." + t.name, rebuild(t)) for t in tensors]
    yield "averaged", pickled(dictionary(*averaged))
    yield "beside-a-command", beside(plain, ("state_dict", NONE), ("args", RUN_A_COMMAND))
    yield "beside-a-namespace", beside(
        plain, ("net", NONE), ("args", name("argparse", "Namespace") + b")\x81}b")
    )
    yield "parameters", pickled(state(tensors, make=parameter))
    yield "subclasses", pickled(state(tensors, make=subclass))
    yield "rebuild-1", pickled(
        state(tensors, make=lambda t: rebuild(t, function="_rebuild_tensor"))
    )
    yield "rebuild-3", pickled(state(tensors, make=untyped))
    yield "cuda", pickled(plain.replace(text("cpu"), text("cuda:0")))
    yield "cuda-class", pickled(
        plain.replace(name("torch", "FloatStorage"), name("torch.cuda", "FloatStorage"))
    )
    # The first value of a key that stands twice is overwritten, as in Python.
    twice = b"(" + text(tensors[0].name) + rebuild(tensors[1]) + b"u"
    yield "key-twice", pickled(b"}" + twice + plain[1:])
    yield "module", pickled(module(tensors))
    yield "module-under-net", beside(module(tensors), ("net", NONE))


# ---- storages


def in_one_storage(tensors):
    """All F32 tensors are views of one storage, in another order than the names."""
    blob, where = b"tail", {}
    for t in reversed([t for t in tensors if t.item == 4]):
        where[t.name] = len(blob) // 4
        blob += t.data
    blob += bytes(400)

    def make(t):
        if t.item != 4:
            return rebuild(t)
        return rebuild(t, storage("all", len(blob) // 4), where[t.name])

    return pickled(state(tensors, make=make)), [("all", blob)] + [
        (t.key, t.data) for t in tensors if t.item != 4
    ]


def channels_last(tensors):
    """Convolutions as a GPU likes them: the same tensor, other strides and another order of bytes."""
    storages, made = [], {}
    for t in tensors:
        data, stride = t.data, t.stride()
        if len(t.shape) == 4:
            o, c, h, w = t.shape
            items = struct.iter_unpack("4s", data)
            values = [item for item, in items]
            data = b"".join(
                values[((i * c + k) * h + y) * w + x]
                for i in range(o)
                for y in range(h)
                for x in range(w)
                for k in range(c)
            )
            stride = (c * h * w, 1, w * c, c)
        storages.append((t.key, data))
        made[t.name] = rebuild(t, stride=stride)
    return pickled(dictionary(*made.items())), storages


def big_endian(tensors):
    swapped = [
        (t.key, b"".join(t.data[i : i + t.item][::-1] for i in range(0, len(t.data), t.item)))
        for t in tensors
    ]
    return pickled(state(tensors)), swapped


def archive(pickle, storages, order=b"little"):
    parts = members(pickle, (), order=order)
    return zipped(parts[:2] + [Member("m/data/" + k, d) for k, d in storages] + parts[2:])


# ---- containers


class Unseekable(io.RawIOBase):
    """A pipe: zipfile writes data descriptors into it."""

    def __init__(self):
        self.data = b""

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


def zip_by_python(entries, target=None, comment=b"", force=False, **options):
    target = target or io.BytesIO()
    with zipfile.ZipFile(target, "w", **options) as out:
        for path, data in entries:
            with out.open(
                zipfile.ZipInfo(path) if not options else path, "w", force_zip64=force
            ) as f:
                f.write(data)
        out.comment = comment
    return target.data if isinstance(target, Unseekable) else target.getvalue()


def containers(tensors):
    pickle = pickled(state(tensors))
    entries = [("m/data.pkl", pickle)] + [("m/data/" + t.key, t.data) for t in tensors]
    entries += [("m/version", b"3\n")]
    mixed = entries[:]
    random.Random(1).shuffle(mixed)
    yield "python-zip", zip_by_python(entries)
    yield "deflated", zip_by_python(entries, compression=zipfile.ZIP_DEFLATED)
    yield "descriptors", zip_by_python(entries, Unseekable())
    yield "descriptors-deflated", zip_by_python(
        entries, Unseekable(), compression=zipfile.ZIP_DEFLATED
    )
    yield "zip64", zip_by_python(entries, force=True)
    yield "zip64-descriptors", zip_by_python(entries, Unseekable(), force=True)
    yield "comment", zip_by_python(entries, comment=b"PK\5\6 trained on a Tuesday")
    yield "any-order", zip_by_python(mixed)
    yield "more-members", zip_by_python(
        entries
        + [
            ("m/notes/", b""),
            ("m/notes/x", b"x"),
            ("m/.format_version", b"1"),
            ("m/.data/serialization_id", b"0" * 40),
            ("m/data/unused", b"unused"),
        ]
    )
    yield "version-elsewhere", zip_by_python(entries[:-1] + [("m/.data/version", b"3\n")])
    yield "no-crc", zipped([Member(path, data, crc=0) for path, data in entries])
    yield "stream", stream(tensors)


def stream(tensors):
    def make(t):
        return rebuild(t, storage(t.key, t.numel, t.kind, "torch", NONE))

    keys = sorted(t.key for t in tensors)
    by_key = {t.key: t for t in tensors}
    return (
        MAGIC
        + pickled(num(1001))
        + SYSTEM
        + pickled(state(tensors, make=make))
        + pickled(b"](" + b"".join(text(k) for k in keys) + b"e")
        + b"".join(struct.pack("<q", by_key[k].numel) + by_key[k].data for k in keys)
    )


def variants(tensors):
    storages = [(t.key, t.data) for t in tensors]
    for case, pickle in pickles(tensors):
        yield case, archive(pickle, storages)
    yield "one-storage", archive(*in_one_storage(tensors))
    yield "channels-last", archive(*channels_last(tensors))
    yield "big-endian", archive(*big_endian(tensors), order=b"big")
    yield "no-byte-order", pth(pickled(state(tensors)), [t.data for t in tensors], order=None)
    yield "longer-storages", archive(
        pickled(state(tensors)), [(k, d + b"more") for k, d in storages]
    )
    yield from containers(tensors)


def main(expert, folder):
    os.makedirs(folder)
    for case, data in variants(load(expert)):
        with open(os.path.join(folder, case + ".pth"), "wb") as out:
            out.write(data)


main(*sys.argv[1:])
