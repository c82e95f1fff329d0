"""cuts.py INPUTS LIMIT SCENARIO: the power goes at every point of what a tool or a pipeline does; what the
disk may hold then (disk.py) is looked at, and the same command is given again.

- Under a final name lies the old file or the new one, whole; after the end the new one.
- A file that says "finished" stands for a run of which everything is there, whole.
- The command goes on to the bytes of a run that was never cut, and never behind a checkpoint that was durable.

INPUTS is the folder that attack_inputs makes; at most LIMIT states are tried, spread evenly, or all with 0."""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import disk
from subjects import TOOLS, content, timeless, words_of

MAKE = (
    "make --no-print-directory -f $ROOT/pipelines/fusions.mk DATA=D/cifar.tar.gz OUT=made/out EXPERTS=made/ex"
    " CLASSES=5 BATCH=8 THREADS=1 DEVICE=ref ARCH_resnet=resnet18:width=2,blocks=1-1-1-1"
    " TRAIN_FLAGS='--augment none --checkpoint-minutes 0' EXPERT_FLAGS='--batch 32 --checkpoint-minutes 0'"
)
FUSION = MAKE + " INIT=1 EPOCHS=2"
STOP = "--signal"  # the first command is told to stop, early
LIVE = "metrics-csv -q --live -o made/table.csv D/run.jsonl"

# What is done one after the other, and the last command is what is given again after a cut.
TRAININGS = {
    "expert-train": [TOOLS["expert-train"]],
    "expert-train stopped": [STOP, TOOLS["expert-train"], TOOLS["expert-train"]],
    "fusion-train": [TOOLS["fusion-train"]],
    "fusion-train stopped": [STOP, TOOLS["fusion-train"], TOOLS["fusion-train"]],
    "make expert": [MAKE + " EXPERT_EPOCHS=1 resnet-expert-1"],
    "make fusion": [FUSION + " resnet-concatenation"],
    "make longer": [FUSION + " STEPS=3 resnet-concatenation", FUSION + " resnet-concatenation"],
}
WRITERS = ["cifar-prep", "cifar-view", "expert-load", "fusion-eval", "ckpt-split", "ckpt-join"]
WRITERS += ["ckpt-export", "metrics-csv"]
WRITERS.append("runs-report")
FINAL = re.compile(r"(^|/)finished$|^((?!(^|/)runs?/).)*\.(pth|json|safetensors|onnx)$|^metrics\.jsonl$")
PASSING = re.compile(r"(^|/)(clock|lock|[^/]*\.previous\.safetensors|[^/]*\.tmp)$")


def digests(tree):
    """Of the files that stay, without what the clock decides."""
    return {
        path: timeless(path, content)
        for path, content in tree.items()
        if content is not None and not PASSING.search(path)
    }


def different(one, other):
    return sorted(path for path in {**one, **other} if one.get(path, path) != other.get(path, path))


def begin(tree):
    shutil.rmtree("made", ignore_errors=True)
    os.mkdir("made")
    disk.write_tree("made", tree)


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    return done.returncode, done.stderr.decode(errors="replace")


def durable_step(tree):
    """That of the last checkpoint; -1 where there is none."""
    for path, content in tree.items():
        if path.endswith("last.safetensors") and content:
            header = content[8 : 8 + int.from_bytes(content[:8], "little")]
            return int(json.loads(header)["__metadata__"]["step"])
    return -1


def step_of(said):
    """The last step that the run had done when it was given again; -1 for one that began anew."""
    resumed = re.search(r"resuming at epoch \d+, step (\d+)", said)
    finished = re.search(r"finished: \d+ epochs, (\d+) steps", said)
    return int(resumed[1]) - 1 if resumed else int(finished[1]) if finished else -1


def sample(things, limit):
    n = len(things)
    return [things[(2 * i + 1) * n // (2 * limit)] for i in range(limit)] if 0 < limit < n else things


class Cuts:
    def __init__(self, name, commands, old):
        self.name, self.old, self.wrong = name, old, []
        self.commands = commands
        self.wholes = [digests(old)]  # what there was before, and after each command that ended well
        self.states = {}  # digest to (where, tree, wholes that may be there, step that is durable)

    def record(self):
        begin(self.old)
        self.model = disk.Disk(os.path.abspath("made"), self.old)
        stop = False
        for command in self.commands:
            if command == STOP:
                stop = True
                continue
            if os.path.exists("trace"):
                os.remove("trace")
            more = ["-e", "inject=fdatasync:signal=TERM:when=2"] if stop else []
            done = disk.trace(command, "trace", *more, stdin=subprocess.DEVNULL, capture_output=True)
            assert done.returncode == (75 if stop else 0), (done.returncode, done.stderr)
            after = digests(disk.read_tree("made"))
            before = self.wholes[-1]
            for where in disk.replay("trace", self.model):
                self.cut(where, [before, after] if where != "the end" or stop else [after])
            tree, _ = self.model.tree(self.model.live, "all")
            wrong = different(tree, disk.read_tree("made"))
            assert not wrong, f"the model is not what happened: {wrong}"
            if not stop:
                self.wholes.append(after)
            stop = False
        begin(self.old)
        assert run(self.commands[-1])[0] == 0
        self.fresh = digests(disk.read_tree("made"))

    def cut(self, where, wholes):
        least = None
        for digest, what, tree in self.model.cuts():
            least = durable_step(tree) if least is None else least
            if digest not in self.states or self.states[digest][3] < least or len(wholes) == 1:
                self.states[digest] = (f"{where}: {what}", tree, wholes, least)

    def lost(self, where, files, whole):
        self.complain(where, "exit status 0, and then not there:", different(files, whole))

    def complain(self, where, *what):
        self.wrong.append(f"{self.name}: {where}: " + " ".join(str(word) for word in what))


class Writing(Cuts):
    """A tool that writes files."""

    def judge(self, where, tree, wholes, _):
        files = digests(tree)
        for path, digest in files.items():
            if digest not in [whole.get(path) for whole in wholes]:
                self.complain(where, path, "is not whole")
        if len(wholes) == 1 and files != wholes[0]:
            self.lost(where, files, wholes[0])


class Live(Cuts):
    """A table that grows line by line."""

    def judge(self, where, tree, wholes, _):
        begin(tree)
        status, said = run(self.commands[-1])
        if status != 0 or digests(disk.read_tree("made")) != self.wholes[-1]:
            self.complain(where, "again:", status, said)
        if len(wholes) == 1 and digests(tree) != wholes[0]:
            self.lost(where, digests(tree), wholes[0])


class Training(Cuts):
    def judge(self, where, tree, wholes, least):
        files = digests(tree)
        for path in filter(FINAL.search, files):
            for whole in wholes:
                if path in whole and self.stands_for(path, whole).items() <= files.items():
                    break
            else:
                self.complain(where, path, "is there, and not what it stands for")
        if len(wholes) == 1 and files != wholes[0]:
            self.lost(where, files, wholes[0])
        begin(tree)
        status, said = run(self.commands[-1])
        after = digests(disk.read_tree("made"))
        if status != 0 or after not in (self.wholes[-1], self.fresh):
            self.complain(where, "again:", status, different(after, self.wholes[-1]), said[-400:])
        elif step_of(said) < least:
            self.complain(where, "goes on from step", step_of(said), "and not from", least)

    @staticmethod
    def stands_for(path, whole):
        """The files that a file says are there: itself, or for "finished" all of the folder made."""
        return whole if path.endswith("finished") else {path: whole[path]}


def scenario(name, inputs):
    if name in TRAININGS:
        commands = [command if command == STOP else words_of(command.replace(" -q ", " "), inputs) for command in TRAININGS[name]]
        return Training(name, commands, {})
    if name == "metrics-csv --live":
        return Live(name, [words_of(LIVE, inputs)], {})
    tool, _, over = name.partition(" over ")
    old = {}
    command = words_of(TOOLS[tool], inputs)
    if over:
        begin({})
        subprocess.run(command, check=True)
        old = {path: content and b"old" for path, content in disk.read_tree("made").items()}
    return Writing(name, [command], old)


def in_own_folder():
    os.chdir(tempfile.mkdtemp(dir="."))


def judge(i):
    cuts.wrong = []
    cuts.judge(*tried[i])
    return cuts.wrong


def main():
    global cuts, tried  # workers have them from this process: trees are large
    inputs, limit, *names = sys.argv[1:]
    wrong = []
    # A sample is part of a check whose suites run side by side already.
    n_workers = 1 if int(limit) else os.cpu_count()
    for name in names:
        cuts = scenario(name, inputs)
        cuts.record()
        states = sorted(cuts.states.values(), key=lambda state: len(state[2]))  # first what is there at the end
        tried = sample(states, int(limit))
        with concurrent.futures.ProcessPoolExecutor(n_workers, initializer=in_own_folder) as workers:
            wrong += [line for judged in workers.map(judge, range(len(tried))) for line in judged]
        print(f"{name}: {len(tried)} of {len(cuts.states)} disks after a power cut", flush=True)
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
