"""faults.py INPUTS SHIM LIMIT TOOL: the calls of a tool to the system fail, one at a time, and its
allocations; after each there is nothing under a final name but whole files, one line says why, the
exit status is right, and a run goes on to the same bytes.

Of those that come from the same place, by the same way through the program, the first fails (of 140,000
allocations of a tiny run some 900), of calls to the system the last one, too.

"TOOL finished": its work was done before, and it is given the same command again.

INPUTS is the folder that faults.bats makes, SHIM failing_malloc.c compiled; at most LIMIT calls and as
many allocations are tried, spread evenly, or all with 0.  System calls are made to fail by
strace(1)."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

import disk
from subjects import TOOLS, content, sample, words_of

ERRORS = {
    "write": "ENOSPC",
    "fsync": "EIO",
    "fdatasync": "EIO",
    "ftruncate": "EIO",
    "rename": "EIO",
    "link": "EPERM",
    "unlink": "EACCES",
    "mkdir": "ENOSPC",
    "openat": "EMFILE",
    "read": "EIO",
    "mmap": "ENOMEM",
    "newfstatat": "EIO",
    "lseek": "EIO",
    "getdents64": "EIO",
    "close": "EIO",
    "flock": "ENOLCK",
    "symlink": "EPERM",
    "fchmod": "EPERM",
    "clone3": "EAGAIN",
}
RESUMES = ("expert-train", "fusion-train")
# libarchive writes through the NULL that two of its allocations give, and may end the process.
CRASHES = ("cifar-prep",)
resumed = set()  # what failed runs left that was gone on from
STREAMS = ("metrics-wandb", "metrics-tensorboard")  # written record by record, for those who watch


def run(command, *before, **environment):
    """Exit status (None: it did not end), lines on stderr, and what is there then."""
    try:
        done = subprocess.run(
            [*before, *command],
            stdin=subprocess.DEVNULL,
            stdout=open("out", "wb"),
            stderr=subprocess.PIPE,
            timeout=120,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        return None, [], content()
    return done.returncode, done.stderr.decode(errors="replace").splitlines(), content()


before = {}  # path to bytes, of what is there when the tool is started


def begin():
    shutil.rmtree("made", ignore_errors=True)
    os.mkdir("made")
    disk.write_tree("made", before)


def calls(command):
    """Name and number of the calls that come after those of the loader: the first and the last by every way."""
    begin()
    stacks = [] if subprocess.run(["strace", "-k", "true"], capture_output=True).returncode else ["-k"]
    run(command, "strace", *stacks, "-o", "trace", "-e", "trace=munmap," + ",".join(ERRORS))
    counts, ways, way = dict.fromkeys(ERRORS, 0), {}, None
    is_loaded = False
    with open("trace", errors="replace") as trace:
        for line in trace:
            name = line.split("(")[0]
            if line.startswith(" > ") and way:
                way[2].append(line)
                continue
            if way and is_loaded:
                ways.setdefault((way[0], *way[2]), []).append(way[:2])
            way = None
            if name == "munmap":  # of ld.so.cache: everything is loaded
                is_loaded = True
            elif name in counts:
                counts[name] += 1
                way = (name, counts[name], [])
    return sorted({end for same in ways.values() for end in (same[0], same[-1])})


class Attack:
    def __init__(self, tool, inputs, is_finished):
        self.tool = tool
        self.command = words_of(TOOLS[tool], inputs)
        self.wrong = []
        begin()
        status, said, self.whole = run(self.command)
        assert status == 0 and not said, said
        if is_finished:
            before.update(disk.read_tree("made"))

    def complain(self, fault, *what):
        self.wrong.append(f"{self.tool}: {fault}: " + " ".join(str(word) for word in what))

    def judge(self, fault, status, said, files):
        if fault.startswith("unlink"):  # what could not be removed is there still
            files = {name: files[name] for name in files if name in self.whole}
        if status == 0:
            if files != self.whole and self.tool not in STREAMS:
                self.complain(fault, "exit status 0, but", self.difference(files))
            return
        if status == -11 and self.tool in CRASHES and fault.startswith("malloc") and not files:
            return
        if status not in (1, 3) or (status == 3 and fault.startswith("malloc")):
            self.complain(fault, "exit status", status, said[-3:])
        if len([line for line in said if ": warning: " not in line]) != 1:
            self.complain(fault, "lines:", said[:5])
        if self.tool in RESUMES:
            left = frozenset(files.items())
            if left in resumed:  # the same is done from the same
                return
            resumed.add(left)
            again, more, files = run(self.command)
            if again != 0 or files != self.whole:
                self.complain(fault, "resumed:", again, more[:2], self.difference(files))
        elif self.tool not in STREAMS and set(files.items()) - set(self.whole.items()):
            self.complain(fault, "left", self.difference(files))

    def difference(self, files):
        names = set(files) | set(self.whole)
        return sorted(name for name in names if files.get(name) != self.whole.get(name))

    def fail_call(self, name, n):
        begin()
        inject = f"inject={name}:error={ERRORS[name]}:when={n}"
        command = ["strace", "-o", "trace", "-e", f"trace={name}", "-e", inject]
        self.judge(f"{name} {n}", *run(self.command, *command))

    def fail_allocation(self, shim, n):
        begin()
        self.judge(f"malloc {n}", *run(self.command, LD_PRELOAD=shim, FAIL_AT=str(n)))

    def allocations(self, shim):
        """Of each way to one the first."""
        begin()
        run(self.command, LD_PRELOAD=shim, FAIL_STACKS=os.path.abspath("stacks"))
        first = {}
        with open("stacks") as stacks:
            for n, stack in enumerate(stacks, 1):
                first.setdefault(stack, n)
        return list(first.values())


def in_own_folder():
    os.chdir(tempfile.mkdtemp(dir="."))


def one(attack, how, *fault):
    attack.wrong = []
    getattr(attack, how)(*fault)
    return attack.wrong


def main():
    inputs, shim, limit, subject = sys.argv[1:]
    limit = int(limit)
    tool, *finished = subject.split()
    attack = Attack(tool, inputs, bool(finished))
    faults = [("fail_call", *call) for call in sample(calls(attack.command), limit)]
    n_calls = len(faults)
    faults += [("fail_allocation", shim, n) for n in sample(attack.allocations(shim), limit)]
    # The sample is part of a check whose suites run side by side already.
    n_workers = 1 if limit else os.cpu_count()
    with concurrent.futures.ProcessPoolExecutor(n_workers, initializer=in_own_folder) as workers:
        done = [workers.submit(one, attack, *fault) for fault in faults]
        wrong = [line for judged in done for line in judged.result()]
    print(f"{subject}: {n_calls} calls and {len(faults) - n_calls} allocations failed")
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
