"""scripts.py INPUTS SCRIPTS LIMIT NAME: every program that a script of pipelines/ starts fails: before its
work, after it, or by a signal.  The script then fails, too, and leaves nothing but whole files, or it does
and prints what it always does.

INPUTS is the folder that scripts.bats makes, SCRIPTS is where the scripts are; at most LIMIT failures are
tried, or all with 0."""

import os
import re
import shutil
import subprocess
import sys

import disk
from subjects import ARCH, sample, words_of

LOOK = f"--arch {ARCH} --data D/data.safetensors --epochs 2 --batch 16"
SCRIPTS = {
    "slim-runs": "slim-runs made/run",
    "fusion-table": "fusion-table made/run",
    "fusion-spread": "fusion-spread made/run",
    "plot-curves": "plot-curves -d made/curves D/training_log.csv",
    "wider-arch": f"wider-arch {ARCH} 4",
    "equal-epochs": f"equal-epochs 'expert-train {LOOK} --expert all' 'expert-train {LOOK} --expert 0'",
    "check-inputs": "check-inputs -d D/cifar.tar.gz -N 4 -S classes -o made -e D/expert.pth -x D -g ref"
    " -t fusion-train -b D -M D/words",
    "submit-all-fusions": "slurm/submit-all-fusions -n --no-gpu DATA=D/data.safetensors INIT=1 OUT=made/out"
    " ARCH_resnet=" + ARCH + " resnet-concatenation",
}
SCRATCH = ("mktemp", "rm")  # make and remove a folder that then stays
# FAILING is "NAME N HOW"; each program has a file of its starts, a byte each.
STAND_IN = """#!/bin/bash
name=${0##*/}
PATH=${PATH#*:}
exec 8>>"$STARTS/$name"
flock 8
printf . >&8
n=$(($(wc -c <"$STARTS/$name")))
exec 8>&-
case $FAILING in
"$name $n before") echo "$name: made to fail" >&2; exit 4 ;;
"$name $n after") "$name" "$@"; exit 4 ;;
"$name $n killed") kill -9 $$ ;;
esac
exec "$name" "$@"
"""


class Script:
    def __init__(self, name, inputs, folder):
        self.name = name
        self.command = words_of(SCRIPTS[name], inputs)
        self.command[0] = os.path.join(folder, self.command[0])
        run = disk.read_tree(os.path.join(inputs, "run"))
        self.before = {"run": None, **{f"run/{path}": content for path, content in run.items()}}
        self.before["run/last.previous.safetensors"] = b"previous"

    def run(self, *strace, failing=""):
        """Exit status, standard output, lines on standard error, and what is there then."""
        for name in ("made", "starts"):
            shutil.rmtree(name, ignore_errors=True)
            os.mkdir(name)
        disk.write_tree("made", self.before)
        environment = {
            **os.environ,
            "PATH": os.path.abspath("bin") + ":" + os.environ["PATH"],
            "STARTS": os.path.abspath("starts"),
            "FAILING": failing,
        }
        done = subprocess.run([*strace, *self.command], stdin=subprocess.DEVNULL, capture_output=True, env=environment)
        files = disk.read_tree("made")
        files.pop("run/lock", None)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace").splitlines(), files

    def programs(self):
        """Name to how often it is started, each with a stand-in from now on."""
        status, _, said, _ = self.run("strace", "-f", "-qq", "-e", "trace=execve", "-o", "trace")
        assert status == 0 and not said, said
        with open("trace", errors="replace") as trace:
            names = set(filter(shutil.which, re.findall(r'execve\("[^"]*/([^"/]+)"', trace.read())))
        for name in names - {"bash", "sh", "env", os.path.basename(self.command[0])}:
            with open(f"bin/{name}", "w") as stand_in:
                stand_in.write(STAND_IN)
            os.chmod(f"bin/{name}", 0o755)
        self.whole = self.run()
        assert self.whole[0] == 0, self.whole
        return {name: os.path.getsize(f"starts/{name}") for name in os.listdir("starts")}

    def wrong(self, failing):
        """What is wrong where that program fails."""
        status, out, said, files = self.run(failing=failing)
        if status == 0 and (out, files) != (self.whole[1], self.whole[3]):
            return ["exit status 0, but", out[-100:], said[:2], difference(files, self.whole[3])]
        if failing.split()[0] in SCRATCH:
            return []
        left = set(files.items()) - set(self.before.items()) - set(self.whole[3].items())
        return ["left", sorted(path for path, _ in left)] if left else []


def difference(one, other):
    return sorted(path for path in set(one) | set(other) if one.get(path, b"") != other.get(path, b""))


def main():
    inputs, folder, limit, name = sys.argv[1:]
    os.mkdir("bin")
    script = Script(name, inputs, folder)
    counts = script.programs()
    starts = [(program, n + 1) for program in sorted(counts) for n in range(counts[program])]
    faults = [f"{program} {n} {how}" for program, n in starts for how in ("before", "after", "killed")]
    faults = sample(faults, int(limit))
    complaints = [(fault, wrong) for fault in faults if (wrong := script.wrong(fault))]
    print(f"{name}: {len(faults)} failures of {len(counts)} programs")
    for fault, wrong in complaints:
        print(f"{name}: {fault}:", *wrong, file=sys.stderr)
    sys.exit(1 if complaints else 0)


main()
