"""How long the tools take before they work: help, the first training step, the data set.

    bench/start.py BIN [ARCHIVE]    ARCHIVE: cifar-100-python.tar.gz; else a small made one

Prints a Markdown table.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def seconds(*command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def peak_mib(*command):
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{command[0]} failed")
    return usage.ru_maxrss / 1024


def first_steps(bin_dir, experts, data, run_dir):
    """Seconds from exec to the first step event, and of the second step."""
    start = time.perf_counter()
    train = subprocess.Popen(
        [
            *(os.path.join(bin_dir, "fusion-train"), "--fusion", "multiplicativeAddition"),
            *("--experts", experts, "--data", data, "--checkpoint-dir", run_dir, "--quiet"),
            *("--batch", "8", "--steps", "2", "--val-limit", "1", "--log-steps"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    times = []
    for line in train.stdout:
        if json.loads(line)["event"] == "step":
            times.append(time.perf_counter() - start)
    if train.wait() != 0 or len(times) != 2:
        raise SystemExit("fusion-train failed")
    return times[0], times[1] - times[0]


def main(bin_dir, archive=None):
    def tool(name):
        return os.path.join(bin_dir, name)

    print("| what | result |\n|---|---|")
    help_ms = 1000 * statistics.median(seconds(tool("fusion-train"), "--help") for _ in range(20))
    print(f"| `fusion-train --help`, median of 20 | {help_ms:.1f} ms |")
    with tempfile.TemporaryDirectory() as folder:
        if archive is None:
            archive = os.path.join(folder, "made.tar.gz")
            made = os.path.join(HERE, "..", "tests", "torch", "made_archive.py")
            subprocess.run([sys.executable, made, archive, "200", "100"], check=True)
        data, experts = (os.path.join(folder, x) for x in ("data", "experts"))
        prep = [tool("cifar-prep"), "-o", data, archive]
        took = statistics.median(seconds(*prep) for _ in range(3))
        size = os.path.getsize(data) / 2**20
        print(
            f"| `cifar-prep {os.path.basename(archive)}` | {took:.1f} s,"
            f" peak {peak_mib(*prep):.0f} MiB (data set {size:.0f} MiB) |"
        )
        load = [tool("expert-load"), "--arch", "resnet18", "--init", "1", "-o", experts]
        print(f"| `expert-load --arch resnet18 --init 1` | {seconds(*load):.2f} s |")
        runs = [first_steps(bin_dir, experts, data, os.path.join(folder, str(i))) for i in range(3)]
        first, second = (statistics.median(x) for x in zip(*runs))
        print(f"| resnet18, batch 8: exec to the end of the first step | {first:.2f} s |")
        print(f"| the same, less the time of the second step | {first - second:.2f} s |")


if __name__ == "__main__":
    main(*sys.argv[1:])
