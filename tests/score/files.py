"""What fusion-eval measured, and what it measured it of, for the judges beside this file: data set and
logits (safetensors), metrics (JSON Lines).  Needs numpy."""

import json
import struct

import numpy as np

DTYPES = {"F32": "<f4", "U8": "u1", "I64": "<i8"}


def tensors(path):
    with open(path, "rb") as file:
        n, = struct.unpack("<Q", file.read(8))
        header, body = json.loads(file.read(n)), file.read()
    meta = header.pop("__metadata__")
    return meta, {
        name: np.frombuffer(body[slice(*t["data_offsets"])], DTYPES[t["dtype"]]).reshape(t["shape"])
        for name, t in header.items()
    }


def events(path, kind):
    with open(path, encoding="utf-8") as file:
        return [event for event in map(json.loads, file) if event["event"] == kind]


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def heads(path):
    """Name of each head, as the members of events have it in front, to its logits in double."""
    _, found = tensors(path)
    found = {name: value.astype(np.float64) for name, value in found.items()}
    experts = [found[f"expert.{k}"] for k in range(len(found)) if f"expert.{k}" in found]
    named = {("expert_", k): logits for k, logits in enumerate(experts)}
    named["ensemble_", None] = np.mean(experts, 0).astype(np.float32).astype(np.float64)
    if "global" in found:
        named["", None] = found["global"]
    return named


def member(event, head, name):
    prefix, k = head
    value = event[prefix + name]
    return value if k is None else value[k]


class Judge:
    def __init__(self):
        self.n = 0

    def near(self, what, value, expected, within=1e-6):
        assert abs(value - expected) <= within * max(1, abs(expected)), f"{what}: {value}, expected {expected}"
        self.n += 1

    def end(self):
        print(f"{self.n} comparisons passed")
