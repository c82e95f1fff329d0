"""The training step on a GPU, ours beside PyTorch's, eager and compiled, in one run.

    bench/compare_gpu.py OURS [--precision bf16] [--rounds 3] [--steps 50] [NETWORK...]

OURS is the program built from bench/step.c.  Each round runs ours, PyTorch eager (autocast,
channels_last, fused AdamW) and torch.compile with CUDA graphs, so that all meet the same clocks; the
table has medians.  "of matmul" is the share of the rate at which PyTorch multiplies two 8192-square
matrices of the same type on the same card.
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
MATMUL = """
import sys, time, torch
kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[sys.argv[1]]
a, b = (torch.randn(8192, 8192, device="cuda", dtype=kind) for _ in range(2))
for _ in range(10):
    a @ b
torch.cuda.synchronize()
start = time.perf_counter()
for _ in range(50):
    a @ b
torch.cuda.synchronize()
print(50 * 2 * 8192**3 / (time.perf_counter() - start))
"""


def measure(command, network, args, steps):
    command = [*command, "--arch", network, "--fusion", PAIRS[network], "--batch", str(BATCH)]
    command += ["--device", "cuda", "--precision", args.precision]
    command += ["--steps", str(steps), "--warmup", "10" if steps > 1 else "0"]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout) | {"wall_seconds": time.perf_counter() - start}


def compare(network, args, matmul):
    peer = [sys.executable, os.path.join(HERE, "torch_step.py")]
    sides = {"ours": [args.ours], "eager": peer, "compile": [*peer, "--compile"]}
    runs = {side: [] for side in sides}
    for _ in range(args.rounds):
        for side, command in sides.items():
            runs[side].append(measure(command, network, args, args.steps))
    ms = {s: 1e3 * statistics.median(r["step_seconds"] for r in runs[s]) for s in sides}
    first = measure([args.ours], network, args, 1)["wall_seconds"]
    operations = 3 * 2 * runs["ours"][0]["macs"] * BATCH
    cells = [network, *(f"{ms[s]:.2f}" for s in sides)]
    cells += [f"**{ms[s] / ms['ours']:.2f}**" for s in ("eager", "compile")]
    cells += [f"{BATCH / ms['ours'] * 1e3:.0f}", f"{operations / ms['ours'] * 1e3 / matmul:.0%}"]
    cells += [f"{runs['ours'][0]['planned_bytes'] / 2**30:.2f}"]
    cells += [f"{runs[s][0]['peak_device_bytes'] / 2**30:.2f}" for s in ("eager", "compile")]
    cells += [f"{first:.2f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ours")
    parser.add_argument("networks", nargs="*", default=list(PAIRS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    command = [sys.executable, "-c", MATMUL, args.precision]
    matmul = float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"{args.precision}, batch {BATCH}, ms per step of four experts, median of {args.rounds}"
        f" rounds of {args.steps} steps; matmul {matmul / 1e12:.0f} TFLOP/s\n\n"
        "| network | ours | eager | compile | eager / ours | compile / ours | images/s | of matmul |"
        " GiB | eager, GiB | compile, GiB | exec to first step, s |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    for network in args.networks:
        compare(network, args, matmul)


if __name__ == "__main__":
    main()
