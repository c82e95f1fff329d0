"""seeds.py DIR: inputs to begin with for the targets of tests/fuzz/targets.h, as DIR/TARGET/N: the files of
tests/bad and some that are read, beside those in tests/fuzz/kept."""

import gzip
import io
import os
import pickle
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bad"))
import make_bad_pictures  # noqa: E402
import npy  # noqa: E402
import pth_pickle  # noqa: E402
import pth_stream  # noqa: E402
import pth_zip  # noqa: E402
import safetensors  # noqa: E402
from torchfile import FALSE, NONE, STATE, call, counts, dictionary, name, num, pickled, pth, stream, tup  # noqa: E402

GOOD = safetensors.file(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8))
BYTES_MAX = 16384


def tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo("cifar/" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def string(content):
    return b"T" + len(content).to_bytes(4, "little") + content


def array(kind, shape, content):
    """As NumPy pickles one."""
    order = tup(num(3), string(b"<"), NONE, NONE, NONE, num(-1), num(-1), num(0))
    dtype = call("numpy", "dtype", string(kind), num(0), num(1)) + order + b"b"
    empty = call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"), tup(num(0)), string(b"b"))
    return empty + tup(num(1), counts(shape), dtype, FALSE, string(content)) + b"b"


def archives():
    """One image in each part, in the four layouts."""
    image = bytes(3072)
    python = {b"data": image, b"fine_labels": [0], b"coarse_labels": [0], b"labels": [0]}
    batch = pickle.dumps({**python, b"filenames": [b"a.png"]}, 2)
    names = {b"fine_label_names": [b"a"], b"coarse_label_names": [b"b"]}
    yield tar({"train": batch, "test": batch, "meta": pickle.dumps(names, 2)})
    labels = array(b"i8", (1,), bytes(8))
    arrays = [("data", array(b"u1", (1, 3072), image)), ("fine_labels", labels), ("coarse_labels", labels)]
    batch = pickled(dictionary(*arrays))
    yield tar({"train": batch, "test": batch, "meta": pickle.dumps(names, 2)})
    one = bytes(2) + image
    yield tar({"train.bin": one, "test.bin": one, "fine_label_names.txt": b"a\n", "coarse_label_names.txt": b"b\n"})
    one = bytes(1) + image
    yield tar({"data_batch_1.bin": one, "test_batch.bin": one, "batches.meta.txt": b"a\n"})
    small = {"meta": pickle.dumps(names, 2), "train": b"", "test": b""}
    yield tar(small)
    yield gzip.compress(tar(small), mtime=0)


COMMANDS = (
    "--fusion concatenation --data d --checkpoint-dir r --epochs 3 --batch 8 --alpha 0.5 --resume",
    "--recipe ensemble --mix mixup --seed 7 --lr-experts 1e-4 --device cuda:0 --threads 2 --no-shuffle",
    "--fusion gated --freeze --val test --val-limit 5 --accumulate 2 -o m --task t -q -v -- a",
    "--help",
)


def change(where, n_out, bytes_in):
    return where.to_bytes(2, "little") + bytes([n_out, len(bytes_in)]) + bytes_in


def runs():
    """As target_resume.h reads them: which files there are, which of them are changed, and how."""
    for files in (0x01, 0x02, 0x05, 0x0B, 0x11, 0x12, 0x13, 0x33, 0x45, 0x4D, 0xCD, 0x8D):
        for how in (0x01, 0x03, 0x05, 0x09, 0x11):
            for changes in (b"", change(1, 0, b"  "), change(9, 1, b"x")):
                yield b"r" + bytes([files, how]) + changes


def seeds():
    for case in [pth(), stream(STATE)] + [c[1] for m in (pth_pickle, pth_zip, pth_stream) for c in m.cases()]:
        yield "pth", case
    yield "pickle", STATE
    for kind, width in ((b"u1", 1), (b"i2", 2), (b"f2", 2), (b"i4", 4), (b"f4", 4), (b"f8", 8), (b"b1", 1)):
        yield "pickle", pickled(array(kind, (2, 1), bytes(2 * width)))
    for case in [GOOD] + [case[1] for case in safetensors.cases()]:
        yield "safetensors", case
    for case in npy.cases():
        yield "npy", case[1]
    for case in archives():
        yield "cifar", case
    for case in (make_bad_pictures.JPEG, make_bad_pictures.good, *make_bad_pictures.files.values()):
        yield "picture", case
    yield "resume", b"l" + GOOD
    for case in runs():
        yield "resume", case
    for case in COMMANDS:
        yield "options", case.encode().replace(b" ", b"\0")
    for case in (GOOD, pth(), stream(STATE)):
        yield "writers", case


for i, (target, data) in enumerate(seeds()):
    if len(data) <= BYTES_MAX:
        os.makedirs(os.path.join(sys.argv[1], target), exist_ok=True)
        with open(os.path.join(sys.argv[1], target, str(i)), "wb") as out:
            out.write(data)
