"""What a disk may hold after a power cut, from the calls that programs made (strace).

The model is POSIX's: fsync of a file makes its bytes durable and fsync of a directory its entries, and
nothing else is.  The rest may have reached the disk or not: of the entries each by itself, in any order (a
rename is one step); of the bytes none, all, the first half, or only the new length, as zeros.

A tree is a dictionary from path to bytes, or to None for a directory."""

import collections
import hashlib
import itertools
import os
import re
import subprocess

OF_FILES = ("write", "lseek", "ftruncate", "fsync", "fdatasync", "copy_file_range", "ioctl")
OF_NAMES = (
    "open openat creat truncate rename renameat renameat2 link linkat unlink unlinkat mkdir mkdirat rmdir chdir fchdir"
).split()
LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (\d+)")
WORD = re.compile(r'\w+<(?P<file>[^>]*)>|"(?P<text>[^"]*)"|[^,\s]+')
SUBSETS_OF = 3  # of so many entries that are not durable, every choice is tried
VARIANTS = ("lost", "all", "torn", "zeros")
# What a pipeline writes line by line, and anew when it goes on: it matters in the end only.
LIVE = re.compile(r"/csv_logs(/|$)|/runs/.*/(metrics\.jsonl|training_log\.csv)$")
TEMPORARY = re.compile(r"\.\d+-[0-9a-f]+\.tmp$")
FOLDER = object()

# paths: absolute.  text: what is written.  rest: the other words.
Call = collections.namedtuple("Call", "name paths text rest result")


# ---- the calls that were made --------------------------------------------------------------------


def trace(command, path, *more, **how):
    """Runs a command, with its calls in the file."""
    strace = ["strace", "-f", "-y", "-xx", "-s", str(100 << 20), "-o", path]
    return subprocess.run([*strace, "-e", "trace=" + ",".join(OF_FILES) + "," + ",".join(OF_NAMES), *more, *command], **how)


def whole_lines(path):
    """A call that others came in between is put together, where it ended."""
    begun = {}
    with open(path, errors="replace") as lines:
        for line in lines:
            pid = line.split()[0]
            if "<unfinished ...>" in line:
                begun[pid] = line.split("<unfinished ...>")[0]
            elif " resumed>" in line:
                yield begun.pop(pid) + line.split(" resumed>", 1)[1]
            else:
                yield line


def unquote(text):
    return bytes.fromhex(text.replace("\\x", ""))


def content(path):
    with open(path, "rb") as file:
        return file.read()


def calls(path):
    """Those that succeeded."""
    here = collections.defaultdict(os.getcwd)  # of each process
    copied = collections.Counter()  # bytes
    for line in whole_lines(path):
        match = LINE.match(line)
        if not match:
            continue
        pid, name, words = match[1], match[2], list(WORD.finditer(match[3]))
        paths, text, folder = [], b"", here[pid]
        for word in words:
            if word["file"] is not None:
                folder = os.fsdecode(unquote(word["file"]))
            elif word["text"] is not None:
                text = unquote(word["text"])
                paths.append(os.path.normpath(os.path.join(folder, os.fsdecode(text))))
                folder = here[pid]
        if name in OF_FILES or name == "fchdir":
            files = [os.fsdecode(unquote(word["file"])) for word in words if word["file"] is not None]
            paths = files[:1] or [""]
        if name == "copy_file_range":  # of cat(1) and cp(1)
            first = copied[pid, files[0]]
            copied[pid, files[0]] = end = first + int(match[4])
            name, paths, text = "copy", files[1:2], content(files[0])[first:end]
        elif name == "ioctl" and "CLONE" in words[1][0]:  # of cp(1)
            name, text = "copy", content(files[1])
        if name in ("chdir", "fchdir"):
            here[pid] = paths[0]
            continue
        yield Call(name, paths, text, [word[0] for word in words], int(match[4]))


# ---- the disk ------------------------------------------------------------------------------------


def applied(content, change):
    """A change is a new length, or (offset, bytes)."""
    if isinstance(change, int):
        return content[:change].ljust(change, b"\0")
    offset, data = change
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


class File:
    def __init__(self, content=b""):
        self.durable = self.live = content
        self.pending = []  # changes
        self.cursor, self.appends = 0, False
        self.cache = {}

    def change(self, change):
        self.live = applied(self.live, change)
        self.pending.append(change)
        self.cache = {}

    def write(self, data):
        offset = len(self.live) if self.appends else self.cursor
        self.change((offset, data))
        self.cursor = offset + len(data)

    def sync(self):
        self.durable, self.pending, self.cache = self.live, [], {}

    def torn(self):
        left = sum(len(change[1]) for change in self.pending if not isinstance(change, int)) // 2
        content = self.durable
        for change in self.pending:
            if not isinstance(change, int):
                change = (change[0], change[1][:left])
                left -= len(change[1])
            content = applied(content, change)
            if left == 0:
                break
        return content

    def zeros(self):
        content = self.durable
        for change in self.pending:
            is_length = isinstance(change, int)
            content = applied(content, change if is_length else (change[0], bytes(len(change[1]))))
        return content

    def content(self, variant):
        """Bytes and their digest."""
        if variant not in self.cache:
            if variant in ("torn", "zeros"):
                content = getattr(self, variant)()
            else:
                content = self.live if variant == "all" else self.durable
            self.cache[variant] = content, hashlib.sha256(content).digest()
        return self.cache[variant]


class Disk:
    """A folder, which is durable itself, as is what the tree says lies in it."""

    def __init__(self, root, tree):
        self.root = root
        self.live = {path: FOLDER if content is None else File(content) for path, content in tree.items()}
        self.durable = dict(self.live)
        self.pending = []  # in order: what became of paths in one step, {path: node, or None for none}

    def place(self, path):
        """Below the folder; "" is the folder itself, None is elsewhere."""
        return path[len(self.root) + 1 :] if (path + "/").startswith(self.root + "/") else None

    def enter(self, changes):
        changes = {path: node for path, node in changes.items() if path}
        self.live.update(changes)
        self.pending.append(changes)

    def sync_folder(self, folder):
        for changes in self.pending:
            for path in [path for path in changes if os.path.dirname(path) == folder]:
                self.durable[path] = changes.pop(path)
        self.pending = [changes for changes in self.pending if changes]

    def open(self, path, flags):
        if self.live.get(path) is None:
            if "O_CREAT" not in flags:
                return
            self.enter({path: File()})
        node = self.live[path]
        if node is not FOLDER and re.search("O_WRONLY|O_RDWR", flags):
            node.cursor, node.appends = 0, "O_APPEND" in flags
            if "O_TRUNC" in flags and node.live:
                node.change(0)

    def do_to_file(self, call, path):
        node = FOLDER if path == "" else self.live.get(path)
        if node is FOLDER and call.name == "fsync":
            self.sync_folder(path)
        elif not isinstance(node, File):
            return
        elif call.name == "write":
            node.write(call.text[: call.result])
        elif call.name == "copy":
            node.write(call.text)
        elif call.name == "lseek":
            node.cursor = call.result
        elif call.name == "ftruncate":
            node.change(int(call.rest[1]))
        elif call.name in ("fsync", "fdatasync"):
            node.sync()

    def do(self, call):
        first, second = ([self.place(path) for path in call.paths] + [None])[:2]
        if call.name in (*OF_FILES, "copy"):
            self.do_to_file(call, first)
        elif call.name.startswith("open"):
            self.open(first, " ".join(call.rest))
        elif call.name.startswith("rename"):
            self.enter({first: None, second: self.live[first]})
        elif call.name.startswith("link"):
            self.enter({second: self.live[first]})
        elif call.name.startswith("mkdir"):
            self.enter({first: FOLDER})
        elif call.name in ("unlink", "unlinkat", "rmdir"):
            self.enter({first: None})
        else:
            raise NotImplementedError(call)

    # ---- what there may be ----

    def tree(self, entries, variant):
        """A tree, and its digest, for which temporary files are only names, and live ones nothing before the end."""
        tree, digest = {}, hashlib.sha256()
        is_finished = any(path.endswith("finished") for path in entries)
        for path in sorted(path for path, node in entries.items() if node):
            folder = path.rpartition("/")[0]
            if folder and tree.get(folder, b"") is not None:
                continue
            content = (None, b"") if entries[path] is FOLDER else entries[path].content(variant)
            tree[path] = content[0]
            name, n_replaced = TEMPORARY.subn("", path)
            if is_finished or not LIVE.search(path):
                digest.update(name.encode() + b"\0" + (b"" if n_replaced else content[1]))
        return tree, digest.digest()

    def choices(self):
        everything = range(len(self.pending))
        if len(self.pending) <= SUBSETS_OF:
            for k in range(len(self.pending) + 1):
                yield from itertools.combinations(everything, k)
            return
        for k in everything:
            yield everything[:k]
            yield [k]
            yield [i for i in everything if i != k]
        yield everything

    def cuts(self):
        """What there may be, as (digest, description, tree); first without all that is not durable."""
        for choice in self.choices():
            entries = dict(self.durable)
            for i in choice:
                entries.update(self.pending[i])
            is_torn = any(node.pending for node in entries.values() if isinstance(node, File))
            for variant in VARIANTS if is_torn else VARIANTS[:1]:
                tree, digest = self.tree(entries, variant)
                yield digest, f"entries {list(choice)} of {len(self.pending)}, bytes {variant}", tree


def replay(path, disk):
    """Does the calls of a trace; before each that is more than a write, and at the end, gives its name."""
    is_new = True  # since what was given last
    for call in calls(path):
        places = [place for place in map(disk.place, call.paths) if place is not None]
        if not places:
            continue
        if is_new and call.name not in ("write", "copy", "lseek", "ftruncate", "ioctl"):
            yield f"before {call.name} of {' and '.join(places)}"
            is_new = False
        disk.do(call)
        only_looks = re.match("open|lseek|ioctl", call.name) and not re.search("O_CREAT|O_TRUNC", " ".join(call.rest))
        is_new = is_new or not only_looks
    yield "the end"


# ---- trees ---------------------------------------------------------------------------------------


def read_tree(root):
    tree = {}
    for folder, folders, files in os.walk(root):
        for name in folders:
            tree[os.path.relpath(os.path.join(folder, name), root)] = None
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                tree[os.path.relpath(path, root)] = file.read()
    return tree


def write_tree(root, tree):
    for path, content in sorted(tree.items()):
        path = os.path.join(root, path)
        if content is None:
            os.mkdir(path)
        else:
            with open(path, "wb") as file:
                file.write(content)
