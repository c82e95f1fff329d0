"""Checkpoints of torch < 1.6 that are cut, hostile, or lie about their storages."""

from torchfile import (
    FLOATS,
    MAGIC,
    NONE,
    RUN_A_COMMAND,
    SYSTEM,
    dictionary,
    num,
    pickled,
    state,
    storage,
    stream,
    tensor,
    text,
    tup,
)


def view(key, offset, numel):
    return tup(text(key), num(offset), num(numel))


def seen(kind="FloatStorage", numel=6, last=NONE):
    return state(tensor(storage("0", numel, kind, "torch", last)))


def cases():
    good = stream()
    for cut in sorted(
        {
            len(MAGIC),
            len(MAGIC) + 3,
            60,
            120,
            len(good) - 32,
            len(good) - 25,
            len(good) - 24,
            len(good) - 1,
        }
    ):
        yield f"cut-{cut}", good[:cut], "*"
    yield "cut-magic", good[: len(MAGIC) - 1], "is a Python pickle, not *"
    yield "tail", stream(tail=b"x"), "1 bytes follow the last storage"
    yield "version", stream(version=1002), "stream version is not 1001"
    yield "version-text", MAGIC + pickled(text("1001")) + SYSTEM, "stream version is not 1001"
    yield "runs", stream(pickled(RUN_A_COMMAND), keys=(), storages=()), "holds no tensors"
    yield "runs-in-keys", MAGIC + pickled(num(1001)) + SYSTEM + seen() + pickled(
        RUN_A_COMMAND
    ), "no list of storages"
    yield "keys-numbers", MAGIC + pickled(num(1001)) + SYSTEM + seen() + pickled(
        b"]K\0a"
    ), "a storage key is no string"
    yield "key-twice", stream(
        keys=("0", "0"), storages=(FLOATS, FLOATS)
    ), "storage 0 is listed twice"
    yield "key-missing", stream(keys=(), storages=()), "storage 0 is missing"
    yield "key-unused", stream(
        keys=("0", "1"), storages=(FLOATS, FLOATS)
    ), "storage 1 belongs to no tensor"
    yield "count-huge", stream(counted=[2**62]), "cut: storage 0 of *"
    yield "count-negative", stream(counted=[-1]), "cut: storage 0 of *"
    yield "count-more", stream(counted=[7]), "cut: storage 0 of 7 elements, 24 bytes left"
    yield "count-less", stream(counted=[5]), "4 bytes follow the last storage"
    yield "numel", stream(seen(numel=7)), "storage 0 has 24 bytes, too few for 7 elements of F32"
    yield "wider", stream(seen("DoubleStorage"), storages=(FLOATS * 2,), counted=[5]), "*"
    yield "two-types", stream(
        pickled(
            dictionary(
                ("a", tensor(storage("0", 6, "FloatStorage", "torch", NONE))),
                ("b", tensor(storage("0", 6, "DoubleStorage", "torch", NONE))),
            )
        )
    ), "a storage has two types"
    for case, last in (
        ("outside", view("1", 4, 3)),
        ("before", view("1", -1, 3)),
        ("overflow", view("1", 2**62, 2**62)),
        ("short", tup(text("1"))),
    ):
        yield "view-" + case, stream(seen(last=last)), "storage view lies outside its storage"
