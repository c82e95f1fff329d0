"""The training step on a GPU, ours beside PyTorch's, eager and compiled, in one run.

    bench/compare_gpu.py OURS [--precision bf16] [--rounds 3] [--steps 50] [--sides SIDE,...]
                              [NETWORK...]

OURS is the program built from bench/step.c.  Each round runs ours, PyTorch eager (autocast,
channels_last, fused AdamW) and torch.compile with CUDA graphs, so that all meet the same clocks; the
table has medians.  A side that fails says why on stderr and leaves its cells empty.  torch.compile
takes minutes before the first step: --sides ours,eager and single networks make shorter runs.

"of matmul" is the share of the rate at which PyTorch multiplies two 8192-square matrices of the same
type on the same card.  GiB: what the steps took of the card's memory; planned, of which ours said so
before it began.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = 128
PAIRS = {  # network: fusion of the mission's four runs
    "densenet121": "multiplicative",
    "resnet18": "multiplicativeAddition",
    "improved_wideresnet28_10": "TransformerBase",
    "preact_resnext29_8x64d": "concatenation",
}
SIDES = ("ours", "eager", "compile")
MATMUL = """
import sys, time, torch
if not torch.cuda.is_available():
    sys.exit(f"PyTorch {torch.__version__} of {sys.executable} sees no CUDA device")
kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[sys.argv[1]]
a, b = (torch.randn(8192, 8192, device="cuda", dtype=kind) for _ in range(2))
for _ in range(10):
    a @ b
torch.cuda.synchronize()
start = time.perf_counter()
for _ in range(50):
    a @ b
torch.cuda.synchronize()
print(torch.__version__, 50 * 2 * 8192**3 / (time.perf_counter() - start))
"""
COLUMNS = (
    *("network", "ours", "eager", "compile", "eager / ours", "compile / ours", "images/s"),
    *("of matmul", "GiB", "planned, GiB", "eager, GiB", "compile, GiB", "exec to first step, s"),
)


def measure(command, network, args, steps):
    """What one side says, or None if it failed."""
    command = [*command, "--arch", network, "--fusion", PAIRS[network], "--batch", str(BATCH)]
    command += ["--device", "cuda", "--precision", args.precision]
    command += ["--steps", str(steps), "--warmup", "10" if steps > 1 else "0"]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode != 0:
        print(f"exit status {done.returncode}: {' '.join(command)}", file=sys.stderr)
        return None
    result = json.loads(done.stdout) | {"wall_seconds": time.perf_counter() - start}
    if result.get("cuda_graph_skips", 0) > 0:
        print(f"{network}: torch.compile left CUDA graphs out", file=sys.stderr)
    return result


def rounds(network, args):
    """{side: what it said in every round}; a side that fails once is left out."""
    peer = [sys.executable, os.path.join(HERE, "torch_step.py"), "--threads", "8"]
    commands = {"ours": [args.ours], "eager": peer, "compile": [*peer, "--compile"]}
    runs = {side: [] for side in args.sides}
    for _ in range(args.rounds):
        for side in list(runs):
            runs[side].append(measure(commands[side], network, args, args.steps))
            if runs[side][-1] is None:
                del runs[side]
    sizes = {side: results[0]["parameters"] for side, results in runs.items()}
    assert len(set(sizes.values())) <= 1, f"not the same network: {sizes}"
    return runs


def compare(network, args, matmul):
    runs = rounds(network, args)
    ms = {s: 1e3 * statistics.median(r["step_seconds"] for r in runs[s]) for s in runs}
    gib = {s: max(r["device_bytes"] for r in runs[s]) / 2**30 for s in runs}
    cells = {"network": network}
    for side in runs:
        cells[side] = f"{ms[side]:.2f}"
        cells["GiB" if side == "ours" else f"{side}, GiB"] = f"{gib[side]:.2f}"
    if "ours" in runs:
        operations = 3 * 2 * runs["ours"][0]["macs"] * BATCH
        cells["images/s"] = f"{BATCH / ms['ours'] * 1e3:.0f}"
        cells["of matmul"] = f"{operations / ms['ours'] * 1e3 / matmul:.0%}"
        cells["planned, GiB"] = f"{runs['ours'][0]['planned_bytes'] / 2**30:.2f}"
        for side in set(runs) - {"ours"}:
            cells[f"{side} / ours"] = f"**{ms[side] / ms['ours']:.2f}**"
        first = measure([args.ours], network, args, 1)
        cells["exec to first step, s"] = f"{first['wall_seconds']:.2f}" if first else ""
    print("| " + " | ".join(cells.get(c, "") for c in COLUMNS) + " |", flush=True)
    return len(runs) == len(args.sides)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ours")
    parser.add_argument("networks", nargs="*", default=list(PAIRS), metavar="NETWORK")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--sides", type=lambda text: text.split(","), default=list(SIDES))
    args = parser.parse_intermixed_args()
    if not set(args.sides) <= set(SIDES) or not set(args.networks) <= set(PAIRS):
        parser.error(f"sides are {', '.join(SIDES)}; networks {', '.join(PAIRS)}")
    command = [sys.executable, "-c", MATMUL, args.precision]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"TORCH_PYTHON must name a Python whose PyTorch has CUDA; this is {sys.executable}")
    version, matmul = done.stdout.split()
    print(
        f"{args.precision}, batch {BATCH}, ms per step of four experts, median of {args.rounds}"
        f" rounds of {args.steps} steps; PyTorch {version}; matmul"
        f" {float(matmul) / 1e12:.0f} TFLOP/s\n\n"
        "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|",
        flush=True,
    )
    good = [compare(network, args, float(matmul)) for network in args.networks]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
