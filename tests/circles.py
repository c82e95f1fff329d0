"""circles.py BUILD, at the root of the tree: print the files of lib/ and kernels/ that call each other in
a circle, with the names that tie them; print nothing when there is none.  Who calls whom is read from
the object files of a build."""

import pathlib
import subprocess
import sys

build = pathlib.Path(sys.argv[1])
sources = {str(path): path for ext in ("c", "cu") for path in pathlib.Path().glob(f"[lk]*/**/*.{ext}")}
objects = {str((build / path).with_suffix(".o")): name for name, path in sources.items()}
objects = {path: name for path, name in objects.items() if pathlib.Path(path).exists()}
assert objects, f"{build}: no object files"
home, wanted = {}, {name: set() for name in objects.values()}
table = subprocess.run(["nm", "-gA", *objects], check=True, capture_output=True, text=True).stdout
for line in table.splitlines():
    path, rest = line.split(":", 1)
    kind, symbol = rest.split()[-2:]
    if kind == "U":
        wanted[objects[path]].add(symbol)
    elif kind.isupper() and kind != "W":
        home[symbol] = objects[path]
ties = {
    name: {home[s] for s in symbols if home.get(s, name) != name} for name, symbols in wanted.items()
}


def reached(start):
    seen, waiting = set(), [start]
    while waiting:
        for name in ties[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen


reach = {name: reached(name) for name in ties}
for name in ties:
    for other in sorted(ties[name]):
        if name in reach[other]:
            used = sorted(s for s in wanted[name] if home.get(s) == other)
            print(f"{name} -> {other}: {', '.join(used)}")
