"""The way between PyTorch and the tools: run a tool, read safetensors, read the data set.

Nothing here knows what a network is; models.py does.
"""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import torch

DTYPES = {
    "U8": np.uint8,
    "I8": np.int8,
    "I32": np.int32,
    "I64": np.int64,
    "F32": np.float32,
    "F64": np.float64,
}

MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)


def run(*command, **kwargs):
    """Run a tool, return its stdout as bytes; what it says on stderr is shown when it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, **kwargs)
    if done.returncode != 0:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        raise SystemExit(f"exit status {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout


def run_events(*command):
    """Run a tool that writes metrics, return its events as a list of dicts."""
    return [json.loads(line) for line in run(*command).splitlines()]


def read_safetensors(path):
    """({name: tensor}, {key: string}) of a safetensors file."""
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        array = np.frombuffer(data[begin:end], DTYPES[t["dtype"]]).reshape(t["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors, metadata


def read_state(path):
    """The model's part of a checkpoint: without optimizer.* and train.*."""
    tensors, metadata = read_safetensors(path)
    state = {k: v for k, v in tensors.items() if not k.startswith(("optimizer.", "train."))}
    return state, metadata


def join(model, arch, fusion, path, save=torch.save):
    """The whole model as a checkpoint of ours at path: through a .pth and ckpt-join."""
    pth = f"{path}.pth"
    save(model.state_dict(), pth)
    run(
        *("ckpt-join", "--arch", arch, "--fusion", fusion, "--fused", model.fused, "-o", path),
        *("--count", len(model.expert_backbones), "--classes", model.n_classes, pth),
    )
    os.remove(pth)


class Data:
    """The data set of cifar-prep, its images normalised on demand."""

    def __init__(self, path, dtype=torch.float32):
        self.dtype = dtype
        self.tensors, self.metadata = read_safetensors(path)
        self.holdout = self.tensors["split.fusion_holdout"]

    def images(self, part, rows=slice(None)):
        x = self.tensors[f"{part}.images"][rows].double() / 255
        mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
        return ((x - mean) / std).to(self.dtype)

    def labels(self, part, rows=slice(None)):
        return self.tensors[f"{part}.fine"][rows].long()


def relative_error(found, expected):
    """Largest difference over the largest expected value."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


class Verdict:
    """Counts what was compared and remembers what failed; exit status 1 if anything did, or if
    nothing was compared."""

    def __init__(self):
        self.n_compared, self.failures = 0, []

    def check(self, what, error, limit):
        self.n_compared += 1
        good = error <= limit  # false for NaN as well
        print(f"{'ok' if good else 'NO'}  {what}: {error:.2e} (limit {limit:.0e})")
        if not good:
            self.failures.append(what)

    def equal(self, what, found, expected):
        self.n_compared += 1
        if found != expected:
            print(f"NO  {what}: {found}, expected {expected}")
            self.failures.append(what)

    def leave(self):
        if not self.n_compared:
            raise SystemExit("nothing was compared")
        if self.failures:
            raise SystemExit(f"{len(self.failures)} of {self.n_compared} comparisons failed")
        print(f"{self.n_compared} comparisons passed")
