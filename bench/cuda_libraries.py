"""Where CUDA's libraries are on a machine: in Python's nvidia packages (one folder for each library,
as for CUDA 12, or nvidia/cu13 for most of them), in a toolkit, in the system's folders, where newer
packages of cuDNN have one for each major version of CUDA, or where LD_LIBRARY_PATH says."""

import glob
import os
import re
import site
import subprocess
import sys

SYSTEM = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
# Prints the version of a library and, of cuDNN, the CUDA that it was built for, 13000 for 13.0.
PROBE = """
import ctypes, sys
path, version, runtime = sys.argv[1:]
library = ctypes.CDLL(path)
for name in (version, runtime):
    value = ctypes.c_int(0)
    if not name:
        print(0)
    elif name == "cudaRuntimeGetVersion":
        library.cudaRuntimeGetVersion(ctypes.byref(value))
        print(value.value)
    else:
        call = getattr(library, name)
        call.restype = ctypes.c_size_t
        print(call())
"""
PROBE_SECONDS = 20


def wanted(program):
    """{library: (function for its version, for the CUDA it is for)} that a program of the build
    loads, and the major version of CUDA; nothing for the simulator's."""
    with open(program, "rb") as f:
        found = re.search(rb"libcublasLt\.so\.(\d+)", f.read())
    if found is None:
        return {}, 0
    major = int(found[1])
    return {
        "libcudnn.so.9": ("cudnnGetVersion", "cudnnGetCudartVersion"),
        f"libcublasLt.so.{major}": ("cublasLtGetVersion", ""),
        f"libcudart.so.{major}": ("cudaRuntimeGetVersion", ""),
    }, major


def site_folders():
    """Folders that hold Python packages, those of virtual environments among them."""
    folders = [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages")]
    folders += site.getsitepackages() + [site.getusersitepackages()]
    return list(dict.fromkeys(folders))


def folders(root=""):
    """Every folder that may hold one of them, in the order of preference between equal versions.
    root: of the system's folders, for tests."""
    found = [p for p in os.environ.get("LD_LIBRARY_PATH", "").split(":") if p]
    for packages in site_folders():
        found += sorted(glob.glob(f"{packages}/nvidia/*/lib"))
        found += sorted(glob.glob(f"{packages}/nvidia/*/lib/*/"))
        found += [f"{packages}/torch/lib"]
    homes = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX")]
    homes += sorted(glob.glob(f"{root}/usr/local/cuda*"), reverse=True) + [f"{root}/opt/cuda"]
    for home in filter(None, homes):
        found += [f"{home}/lib64", f"{home}/lib", *sorted(glob.glob(f"{home}/targets/*/lib"))]
    for system in SYSTEM:
        found += [root + system, *sorted(glob.glob(f"{root}{system}/libcudnn/*"), reverse=True)]
    found += [f"{root}/usr/local/lib"]
    return [p for p in dict.fromkeys(os.path.abspath(p) for p in found) if os.path.isdir(p)]


def probe(path, functions):
    """(version, CUDA it is for), or None where it cannot be loaded."""
    environment = os.environ | {"LD_LIBRARY_PATH": os.path.dirname(path)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROBE, path, *functions],
            env=environment,
            capture_output=True,
            timeout=PROBE_SECONDS,
        )
        version, runtime = map(int, done.stdout.split())
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return version, runtime


def readable(library, version):
    """91002 of cuDNN is 9.10.2, 130101 of cuBLASLt 13.1.1, 13000 of the runtime 13.0."""
    if library.startswith("libcudart"):
        return f"{version // 1000}.{version % 1000 // 10}"
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def candidates(library, functions, major, root=""):
    """[(version, path)] of all that there are and that can be loaded; cuDNN for this CUDA only."""
    paths, found = set(), []
    for folder in folders(root):
        path = os.path.join(folder, library)
        if not os.path.exists(path) or os.path.realpath(path) in paths:
            continue
        paths.add(os.path.realpath(path))
        facts = probe(path, functions)
        if facts and (not facts[1] or facts[1] // 1000 == major):
            found.append((facts[0], path))
    return found


def others(library, root=""):
    """What there is of it that will not do: of another CUDA, or broken; in words."""
    stem = library[: library.rindex(".")]
    paths = [p for folder in folders(root) for p in sorted(glob.glob(f"{folder}/{stem}.[0-9]*"))]
    return f"; passed over: {' '.join(paths[:3])}" if paths else ""


def find(program, root=""):
    """([folder, ...] for LD_LIBRARY_PATH, [line about each library, ...]): of each library that the
    program needs the newest one."""
    needs, major = wanted(program)
    chosen, lines = [], []
    for library, functions in needs.items():
        found = candidates(library, functions, major, root)
        if not found:
            lines.append(f"{library}: not found for CUDA {major}{others(library, root)}")
            continue
        version, path = max(found, key=lambda item: item[0])
        chosen.append(os.path.dirname(path))
        lines.append(f"{library}: {readable(library, version)}, {path}")
        lines += [f"  also {readable(library, v)}, {p}" for v, p in found if p != path]
    return list(dict.fromkeys(chosen)), lines
