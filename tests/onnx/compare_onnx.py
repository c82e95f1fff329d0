"""The files of ckpt-export in onnxruntime: their logits beside those of fusion-eval.

Each fusion on one architecture: fresh weights, to which random values are given where a model
starts with constants (scales, biases, running statistics), so that a forgotten one is noticed.
Needs numpy, onnx and onnxruntime.
"""

import argparse
import json
import shutil
import struct
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime

LIMIT = 1e-4  # of the largest logit
FUSIONS = (
    *("multiplicative", "multiplicativeAddition", "TransformerBase", "concatenation"),
    *("simpleAddition", "multiplicativeShifted", "gated"),
)


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, **options)
    if done.returncode != 0:
        sys.stderr.write(done.stderr.decode(errors="replace"))
        raise SystemExit(f"exit status {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout


def read(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    metadata = header.pop("__metadata__", {})
    types = {"F32": np.float32, "I64": np.int64, "U8": np.uint8}
    tensors = {
        name: np.frombuffer(data[slice(*e["data_offsets"])], types[e["dtype"]]).reshape(e["shape"])
        for name, e in header.items()
    }
    return tensors, metadata


def write(path, tensors, metadata):
    header, end = {"__metadata__": metadata}, 0
    for name, values in tensors.items():
        dtype = {"f": "F32", "i": "I64"}[values.dtype.kind]
        place = [end, end := end + values.nbytes]
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": place}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            f.write(values.tobytes())


def randomise(tensors, rng):
    """Scales and variances positive, everything that is one row anything; matrices of the fusion
    and the head so large that logits depend on the images."""
    for name, old in list(tensors.items()):
        if name.endswith("num_batches_tracked"):
            continue
        if old.ndim == 1:
            low, high = (0.5, 1.5) if name.endswith((".weight", "running_var")) else (-0.3, 0.3)
            tensors[name] = rng.uniform(low, high, old.shape).astype(np.float32)
        elif name.startswith(("fusion_module.", "global_head.")):
            scale = (2 / old.shape[1]) ** 0.5
            tensors[name] = (rng.standard_normal(old.shape) * scale).astype(np.float32)


def make(args, fusion, fused, path, rng):
    """A checkpoint: the experts of expert-load under a fusion of that shape, all values random."""
    run(
        *("fusion-train", "-q", "--fusion", fusion, "--fused", fused, "--data", args.data),
        *("--checkpoint-dir", "run", "--epochs", 1, "--steps", 1, "--batch", 4),
        *("--augment", "none", "--mix", "none", "--device", args.device),
        input=run("expert-load", "-q", "--arch", args.arch, "--init", 3, "--count", args.count),
    )
    tensors, metadata = read("run/best.safetensors")
    randomise(tensors, rng)
    write(path, tensors, metadata)
    shutil.rmtree("run")


def answers(path, images):
    """[fused, experts] of onnxruntime, in batches of two sizes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"images": part}) for part in (images[:1], images[1:])]
    return [np.concatenate(both) for both in zip(*parts)], session


def compare(args, fusion, fused, rng):
    whole = "whole.safetensors"
    make(args, fusion, fused, whole, rng)
    run("fusion-eval", "-q", "--device", args.device, "--data", args.data, "--limit", args.limit,
        "--logits", "logits.safetensors", whole)  # fmt: skip
    wanted, _ = read("logits.safetensors")
    wanted = [wanted["global"], np.stack([wanted[f"expert.{k}"] for k in range(args.count)], 1)]
    images = read(args.data)[0]["test.images"][: args.limit]
    run("ckpt-split", "-q", "-d", "parts", whole)
    run("ckpt-export", "-q", "--format", "onnx", "-o", "whole.onnx", whole)
    run("ckpt-export", "-q", "-o", "parts.onnx", "parts")
    shutil.rmtree("parts")
    for path in ("whole.onnx", "parts.onnx"):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        found, session = answers(path, images)
        assert [o.name for o in session.get_outputs()] == ["fused", "experts"]
        for name, a, b in zip(("fused", "experts"), found, wanted):
            error = np.abs(a - b).max() / np.abs(b).max()
            verdict = "ok" if a.shape == b.shape and error <= LIMIT else "NO"
            print(f"{verdict}  {fusion} {fused} {path} {name}: {error:.2e} (limit {LIMIT:.0e})")
            if verdict != "ok":
                raise SystemExit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, default=6, help="images")
    parser.add_argument("--fusion", choices=FUSIONS, help="one instead of all")
    args = parser.parse_args()

    rng = np.random.default_rng(5)
    for i, fusion in enumerate([args.fusion] if args.fusion else FUSIONS):
        compare(args, fusion, "residual" if i % 2 else "head", rng)
    print("everything agrees")


if __name__ == "__main__":
    main()
