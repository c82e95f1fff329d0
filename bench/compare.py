"""The training step, ours beside PyTorch's: fused images per second and peak memory.

    bench/compare.py OURS [--precision fp32] [--pairs 3] [--steps 4] [NETWORK...]

OURS is the program built from bench/step.c.  Each network runs as pairs, ours then PyTorch's, ours
then PyTorch's, so that other work on the machine meets both; the ratio is the median of the pairs'
ratios.  Prints a Markdown table.

On a machine that is busy with other things two threads wait for each other, and elapsed time says
little: --busy gives each side one thread and compares processor time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

WORKLOADS = {  # network: (fusion of the mission's four runs, batch that fits a small machine)
    "resnet18": ("multiplicativeAddition", 32),
    "densenet121": ("multiplicative", 16),
    "improved_wideresnet28_10": ("TransformerBase", 8),
    "preact_resnext29_8x64d": ("concatenation", 8),
}


def measure(command, network, args):
    fusion, batch = WORKLOADS[network]
    options = {
        "device": "cpu",
        "arch": network,
        "fusion": fusion,
        "batch": batch,
        "steps": args.steps,
        "threads": 1 if args.busy else args.threads,
        "precision": args.precision,
    }
    for name, value in options.items():
        command = [*command, f"--{name}", str(value)]
    if args.warmup is not None:
        command = [*command, "--warmup", str(args.warmup)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    seconds = result["step_cpu_seconds" if args.busy else "step_seconds"]
    return {"rate": batch / seconds, "memory": result["peak_rss_bytes"] / 2**30}


def compare(network, args):
    ours, theirs = [], []
    for _ in range(args.pairs):
        ours.append(measure([args.ours], network, args))
        theirs.append(measure([sys.executable, os.path.join(HERE, "torch_step.py")], network, args))
    ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(ours, theirs))
    rates = [statistics.median(x["rate"] for x in side) for side in (ours, theirs)]
    memory = [max(x["memory"] for x in side) for side in (ours, theirs)]
    cells = [network, str(WORKLOADS[network][1])]
    cells += [f"{rates[0]:.2f}", f"{rates[1]:.2f}", f"**{ratio:.2f}**"]
    cells += [f"{x:.2f}" for x in memory]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ours")
    parser.add_argument("networks", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--warmup", type=int, help="steps before the clock (default: 2)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", action="store_true", help="one thread, processor time")
    args = parser.parse_intermixed_args()
    unit = "images per second of processor time" if args.busy else "images/s"
    print(
        f"{args.precision}, {1 if args.busy else args.threads} threads, {unit}, median of"
        f" {args.pairs} pairs of {args.steps} steps\n\n"
        "| network | batch | ours | PyTorch | ratio | ours, peak GiB | PyTorch, peak GiB |\n"
        "|---|---|---|---|---|---|---|",
        flush=True,
    )
    for network in args.networks:
        compare(network, args)


if __name__ == "__main__":
    main()
