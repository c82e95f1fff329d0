"""faults.py INPUTS SHIM LIMIT TOOL: the calls of a tool to the system fail, one at a time, and its
allocations; after each there is nothing under a final name but whole files, one line says why, the
exit status is right, and a run goes on to the same bytes.

Of those that come from the same place, by the same way through the program, the first fails (of 140,000
allocations of a tiny run some 900), of calls to the system the last one, too.

INPUTS is the folder that faults.bats makes, SHIM failing_malloc.c compiled; at most LIMIT calls and as
many allocations are tried, spread evenly, or all with 0.  System calls are made to fail by
strace(1)."""

import os
import shutil
import subprocess
import sys

from subjects import TOOLS, content, words_of

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
}
RESUMES = ("expert-train", "fusion-train")
# libarchive writes through the NULL that two of its allocations give, and may end the process.
CRASHES = ("cifar-prep",)
STREAMS = ("metrics-wandb", "metrics-tensorboard")  # written record by record, for those who watch
def run(command, *before, **environment):
    """Exit status, lines on stderr, and what is there then."""
    done = subprocess.run(
        [*before, *command],
        stdin=subprocess.DEVNULL,
        stdout=open("out", "wb"),
        stderr=subprocess.PIPE,
        timeout=120,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stderr.decode(errors="replace").splitlines(), content()


def begin():
    shutil.rmtree("made", ignore_errors=True)
    os.mkdir("made")


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


def sample(things, limit):
    n = len(things)
    return [things[(2 * i + 1) * n // (2 * limit)] for i in range(limit)] if 0 < limit < n else things


class Attack:
    def __init__(self, tool, inputs):
        self.tool = tool
        self.command = words_of(TOOLS[tool], inputs)
        self.n, self.wrong = 0, []
        begin()
        status, said, self.whole = run(self.command)
        assert status == 0 and not said, said

    def complain(self, fault, *what):
        self.wrong.append(f"{self.tool}: {fault}: " + " ".join(str(word) for word in what))

    def judge(self, fault, status, said, files):
        self.n += 1
        if fault.startswith("unlink"):  # what could not be removed is there still
            files = {name: files[name] for name in files if name in self.whole}
        if status == 0:
            if files != self.whole and self.tool not in STREAMS:
                self.complain(fault, "exit status 0, but", self.difference(files))
            return
        if status == -11 and self.tool in CRASHES and fault.startswith("malloc") and not files:
            return
        if status not in (1, 3):
            self.complain(fault, "exit status", status, said[-3:])
        if len([line for line in said if ": warning: " not in line]) != 1:
            self.complain(fault, "lines:", said[:5])
        if self.tool in RESUMES:
            again, more, files = run(self.command)
            if again != 0 or files != self.whole:
                self.complain(fault, "resumed:", again, more[:2], self.difference(files))
        elif self.tool not in STREAMS and set(files.items()) - set(self.whole.items()):
            self.complain(fault, "left", self.difference(files))

    def difference(self, files):
        names = set(files) | set(self.whole)
        return sorted(name for name in names if files.get(name) != self.whole.get(name))

    def system(self, limit):
        for name, n in sample(calls(self.command), limit):
            begin()
            inject = f"inject={name}:error={ERRORS[name]}:when={n}"
            command = ["strace", "-o", "trace", "-e", f"trace={name}", "-e", inject]
            self.judge(f"{name} {n}", *run(self.command, *command))

    def memory(self, shim, limit):
        begin()
        run(self.command, LD_PRELOAD=shim, FAIL_STACKS=os.path.abspath("stacks"))
        first = {}
        with open("stacks") as stacks:
            for n, stack in enumerate(stacks, 1):
                first.setdefault(stack, n)
        for n in sample(list(first.values()), limit):
            begin()
            self.judge(f"malloc {n}", *run(self.command, LD_PRELOAD=shim, FAIL_AT=str(n)))


def main():
    inputs, shim, limit, tool = sys.argv[1:]
    attack = Attack(tool, inputs)
    attack.system(int(limit))
    n_calls = attack.n
    attack.memory(shim, int(limit))
    print(f"{tool}: {n_calls} calls and {attack.n - n_calls} allocations failed")
    for line in attack.wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if attack.wrong else 0)


main()
