"""cuts.py INPUTS LIMIT SCENARIO: the power goes at every point of what a tool or a pipeline does; what the
disk may hold then (disk.py) is looked at, and the same command is given again.

- Under a final name lies the old file or the new one, whole; after the end the new one.
- A file that says "finished" stands for a run of which everything is there, whole.
- The command goes on to the bytes of a run that was never cut, and never behind a checkpoint that was durable.

INPUTS is the folder that attack_inputs makes; at most LIMIT states are tried, spread evenly, or all with 0."""

import concurrent.futures
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import disk
from subjects import TOOLS, content, sample, timeless, words_of

MAKE = (
    "make --no-print-directory -f $ROOT/pipelines/fusions.mk DATA=D/cifar.tar.gz OUT=made/out EXPERTS=made/ex"
    " CLASSES=5 BATCH=16 THREADS=1 DEVICE=ref ARCH_resnet=resnet18:width=2,blocks=1-1-1-1"
    " TRAIN_FLAGS='--augment none --checkpoint-minutes 0' EXPERT_FLAGS='--batch 32 --checkpoint-minutes 0'"
)
FUSION = MAKE + " INIT=1 EPOCHS=2"
EXPERT = MAKE + " EXPERT_EPOCHS=1 resnet-expert-1"
SHARES = FUSION + " SHARES=D/shares.txt HOLDOUT=D/splits/fusion_holdout_indices.npy"
LIVE = "metrics-csv -q --live -o made/table.csv D/run.jsonl"

# How a command is run: told to stop, early; where there are no hard links; after last.safetensors
# was torn by something else; only after the cuts.
STOPPED, NO_LINKS, DAMAGED, AFTER = "stopped", "without links", "damaged", "after"
STRACE = {
    STOPPED: ["-e", "inject=fdatasync:signal=TERM:when=2"],
    NO_LINKS: ["-e", "inject=link:error=EPERM"],
}

# What is done one after the other, and the last command is what is given again after a cut.
TRAININGS = {
    "make expert": [EXPERT],
    "make expert longer": [EXPERT + " EXPERT_FLAGS='--batch 32 --steps 1'", EXPERT],
    "make fusion": [FUSION + " resnet-concatenation"],
    "make longer": [FUSION + " STEPS=2 resnet-concatenation", FUSION + " resnet-concatenation"],
    "make slim": [FUSION + " STEPS=1 resnet-concatenation", MAKE + " slim", FUSION + " STEPS=1 resnet-concatenation"],
    "make shares": [SHARES + " made/out/data.safetensors", (AFTER, SHARES + " STEPS=1 resnet-concatenation")],
}
for tool in ("expert-train", "fusion-train"):
    TRAININGS[tool] = [TOOLS[tool]]
    TRAININGS[tool + " stopped"] = [(STOPPED, TOOLS[tool]), TOOLS[tool]]
    TRAININGS[tool + " damaged"] = [(STOPPED, TOOLS[tool]), (DAMAGED, TOOLS[tool])]
TRAININGS["fusion-train without links"] = [(NO_LINKS, TOOLS["fusion-train"])]
TRAININGS["fusion-train cut again"] = [TOOLS["fusion-train"]]
FINAL = re.compile(r"(^|/)finished$|^((?!(^|/)runs?/).)*\.(pth|json|safetensors|onnx)$|^metrics\.jsonl$")
PASSING = re.compile(r"(^|/)(clock|lock|[^/]*\.previous\.safetensors|[^/]*\.tmp)$")
LEFTOVER = re.compile(r"(^|/)runs?/.*(\.previous\.safetensors|\.tmp)$")  # those of other folders nobody knows


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


@functools.lru_cache
def step_in(header):
    return int(json.loads(header)["__metadata__"]["step"])


def durable_step(tree):
    """That of the last checkpoint that is whole; -1 where there is none."""
    for end in ("last.safetensors", "last.previous.safetensors"):
        for path, content in tree.items():
            if path.endswith(end) and content and any(content):
                return step_in(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return -1


def step_of(said):
    """The last step that the run had done when it was given again; -1 for one that began anew."""
    resumed = re.search(r"resuming at epoch \d+, step (\d+)", said)
    finished = re.search(r"finished: \d+ epochs, (\d+) steps", said)
    return int(resumed[1]) - 1 if resumed else int(finished[1]) if finished else -1


class Cuts:
    def __init__(self, name, commands, old):
        self.name, self.old, self.wrong = name, old, []
        self.commands = [command if isinstance(command, tuple) else (None, command) for command in commands]
        self.states = {}  # digest to (where, tree, wholes that may be there, step that is durable)

    def record(self):
        begin(self.old)
        self.model = disk.Disk(os.path.abspath("made"), self.old)
        self.wholes = [digests(self.old)]  # what there was before, and after each command that ended well
        for how, command in self.commands:
            if how == DAMAGED:
                self.damage()
            self.trace(how, command)
        begin(self.old)
        status, said = self.again()
        assert status == 0, said
        self.fresh = digests(disk.read_tree("made"))

    def trace(self, how, command):
        if os.path.exists("trace"):
            os.remove("trace")
        done = disk.trace(command, "trace", *STRACE.get(how, []), stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == (75 if how == STOPPED else 0), (done.returncode, done.stderr)
        before, after = self.wholes[-1], digests(disk.read_tree("made"))
        for where in disk.replay("trace", self.model):
            if how != AFTER:
                self.cut(where, [before, after] if where != "the end" or how == STOPPED else [after])
        tree, _ = self.model.tree(self.model.live, "all")
        wrong = different(tree, disk.read_tree("made"))
        assert not wrong, f"the model is not what happened: {wrong}"
        if how != STOPPED:
            self.wholes.append(after)

    def damage(self):
        for path, node in self.model.live.items():
            if path.endswith("last.safetensors"):
                node.change((0, bytes(len(node.live))))
                node.sync()
                with open(os.path.join("made", path), "r+b") as file:
                    file.write(node.live)

    def again(self):
        return run(self.commands[-1][1])

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
        status, said = self.again()
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
        status, said = self.again()
        tree = disk.read_tree("made")
        after, left = digests(tree), sorted(filter(LEFTOVER.search, tree))
        if status != 0 or after not in (self.wholes[-1], self.fresh):
            self.complain(where, "again:", status, different(after, self.wholes[-1]), said[-400:])
        elif left:
            self.complain(where, "again, and left over:", *left)
        elif step_of(said) < least:
            self.complain(where, "goes on from step", step_of(said), "and not from", least)

    @staticmethod
    def stands_for(path, whole):
        """The files that a file says are there: itself, or for "finished" all of the folder made."""
        return whole if path.endswith("finished") else {path: whole[path]}


class CutAgain(Training):
    """The power goes while a run goes on after a power cut; so many disks are where it goes on from."""

    def __init__(self, name, commands, n_first):
        super().__init__(name, commands, {})
        self.n_first = n_first

    def record(self):
        super().record()
        first, self.states = list(self.states.values()), {}
        for _, tree, _, _ in sample(first, self.n_first):
            self.old = tree
            super().record()


def worded(command, inputs):
    how, command = command if isinstance(command, tuple) else (None, command)
    return how, words_of(command.replace(" -q ", " "), inputs)


def scenario(name, inputs, limit):
    if name in TRAININGS:
        commands = [worded(command, inputs) for command in TRAININGS[name]]
        return CutAgain(name, commands, 2 if limit else 8) if "again" in name else Training(name, commands, {})
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
        cuts = scenario(name, inputs, int(limit))
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
