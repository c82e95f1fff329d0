#!/usr/bin/env python3
"""repickle.py IN.tar.gz OUT.tar.gz PROTOCOL [KIND...]: the members of a python-layout CIFAR archive
loaded and pickled again by this Python, as people do.  Kinds: bytes (keys and names stay bytes),
reversed (the order of every dict), fortran (pixels in column order), arrays (labels as NumPy
arrays), small (only labels and data)."""
import io
import pickle
import sys
import tarfile

import numpy as np


def again(value, kinds):
    if isinstance(value, dict):
        items = list(value.items())
        if "small" in kinds:
            items = [(k, v) for k, v in items if k not in ("filenames", "batch_label")]
        if "reversed" in kinds:
            items.reverse()
        return {k: again(v, kinds) for k, v in items}
    if isinstance(value, np.ndarray) and "fortran" in kinds:
        return np.asfortranarray(value)
    if isinstance(value, list) and "arrays" in kinds and isinstance(value[0], int):
        return np.array(value)
    return value


def main(source, target, protocol, *kinds):
    encoding = "bytes" if "bytes" in kinds else "latin1"
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            value = pickle.load(old.extractfile(member), encoding=encoding)
            content = pickle.dumps(again(value, kinds), int(protocol))
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))


main(*sys.argv[1:])
