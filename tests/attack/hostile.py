"""hostile.py KIND N FILE: a file that is cheap to make and made to be dear to read; its size is
proportional to N."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bad"))
from torchfile import NONE, STATE, dictionary, name, num, pickled, pth, tensor, text, tup  # noqa: E402


def put(number):
    return b"r" + struct.pack("<I", number)


def get(number):
    return b"j" + struct.pack("<I", number)


def shared(n, leaf):
    """Dicts of which each holds the one before eight times, around n // 2 leaves."""
    levels = [dictionary(*((f"k{i}", leaf) for i in range(n // 2))) + put(0)]
    for level in range(1, 7):
        levels.append(
            dictionary(*((f"d{i}", get(level - 1)) for i in range(8))) + put(level)
        )
    return pickled(dictionary(*((f"l{i}", value) for i, value in enumerate(levels))))


def module(parameters, buffers, more):
    return (
        name("m", "Net") + b")\x81"
        + dictionary(("_parameters", parameters), ("_buffers", buffers), ("_modules", b"}"), *more)
        + b"b"
    )


def modules(n):
    """A module with n buffers and n names of those that do not count, in 64 places."""
    buffers = dictionary(*((f"b{i}", NONE) for i in range(n)))
    names = b"](" + b"".join(text(f"x{i}") for i in range(n)) + b"e"
    one = module(b"}", buffers, [("_non_persistent_buffers_set", names)]) + put(0)
    return pickled(dictionary(("a", one), *((f"c{i}", get(0)) for i in range(63))))


def scalars(n):
    return pickled(
        dictionary(("state_dict", dictionary(("w", tensor()))), *((f"s{i}", num(i)) for i in range(n)))
    )


def lists(n):
    """Dicts made of one list of n pairs, n times."""
    pairs = b"](" + b"".join(tup(num(i), NONE) for i in range(n)) + b"e" + put(0)
    made = name("collections", "OrderedDict") + put(1)
    return pickled(tup(pairs, made, *(get(1) + get(0) + b"\x85R" for _ in range(n))))


def header(text_of_it, body=b""):
    text_of_it = text_of_it.encode()
    return struct.pack("<Q", len(text_of_it)) + text_of_it + body


def step(state, word):
    """FNV-1a, of which these are the low bits."""
    for byte in word.encode():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFF
    return state


def colliding(n):
    """n names of which FNV-1a makes the same 20 low bits: pairs of words that can be exchanged."""
    names, state = [""], 0xCBF29CE484222325 & 0xFFFFF
    while len(names) < n:
        seen, i = {}, 0
        while True:
            word = f"{i:05x}"
            after = step(state, word)
            if after in seen:
                break
            seen[after] = word
            i += 1
        names = [head + tail for head in names for tail in (seen[after], word)]
        state = after
    return names[:n]


def entries(names):
    return ",".join(f'"{x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for x in names)


KINDS = {
    "shared": lambda n: pth(shared(n, NONE)),
    "shared-tensors": lambda n: pth(shared(n, tensor())),
    "modules": lambda n: pth(modules(n)),
    "scalars": lambda n: pth(scalars(n)),
    "lists": lambda n: pth(lists(n)),
    "plain": lambda n: pth(STATE),
    "names": lambda n: header("{" + entries(f"n{i}" for i in range(n)) + "}"),
    "colliding": lambda n: header("{" + entries(colliding(n)) + "}"),
    "metadata": lambda n: header(
        '{"__metadata__":{' + ",".join(f'"k{i}":"v"' for i in range(n)) + "}," + entries("a") + "}"
    ),
    "brackets": lambda n: header('{"a":[' + ",".join(["[]"] * n) + "]}"),
    "braces": lambda n: header('{"a":[' + ",".join(["{}"] * n) + "]}"),
}

if __name__ == "__main__":
    with open(sys.argv[3], "wb") as out:
        out.write(KINDS[sys.argv[1]](int(sys.argv[2])))
