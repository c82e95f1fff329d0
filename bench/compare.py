"""The training step, ours beside PyTorch's: fused images per second and peak memory.

    bench/compare.py OURS [--precision fp32] [--pairs 3] [--steps 4] [NETWORK...]

OURS is the program built from bench/step.c.  Each network runs as pairs, ours then PyTorch's, ours
then PyTorch's, so that other work on the machine meets both; the ratio is the median of the pairs'
ratios.  Prints a Markdown table.
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
        "arch": network,
        "fusion": fusion,
        "batch": batch,
        "steps": args.steps,
        "threads": args.threads,
        "precision": args.precision,
    }
    for name, value in options.items():
        command = [*command, f"--{name}", str(value)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def compare(network, args):
    ours, theirs = [], []
    for _ in range(args.pairs):
        ours.append(measure([args.ours], network, args))
        theirs.append(measure([sys.executable, os.path.join(HERE, "torch_step.py")], network, args))
    rate = "images_per_second"
    ratio = statistics.median(a[rate] / b[rate] for a, b in zip(ours, theirs))
    a, b = (statistics.median(x[rate] for x in side) for side in (ours, theirs))
    memory = [max(x["peak_rss_bytes"] for x in side) / 2**30 for side in (ours, theirs)]
    cells = [network, WORKLOADS[network][1], f"{a:.2f}", f"{b:.2f}", f"**{ratio:.2f}**"]
    cells += [f"{memory[0]:.2f}", f"{memory[1]:.2f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ours")
    parser.add_argument("networks", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    print(
        f"{args.precision}, {args.threads} threads, median of {args.pairs} pairs\n\n"
        "| network | batch | ours, images/s | PyTorch, images/s | ratio"
        " | ours, peak GiB | PyTorch, peak GiB |\n|---|---|---|---|---|---|---|"
    )
    for network in args.networks:
        compare(network, args)


if __name__ == "__main__":
    main()
