"""Write a small CIFAR-100 python archive: made_archive.py OUT.tar.gz [N_TRAIN [N_TEST]].

Each class has a colour pattern of its own, so that a few steps of training visibly lower the loss.
"""

import io
import pickle
import sys
import tarfile

import numpy as np


def make_part(rng, patterns, n):
    fine = rng.permutation(np.arange(n) % 100)
    images = patterns[fine] + rng.normal(0, 20, (n, 3, 32, 32))
    return {
        b"filenames": [b"made_%05d.png" % i for i in range(n)],
        b"batch_label": b"made",
        b"fine_labels": [int(label) for label in fine],
        b"coarse_labels": [int(label) // 5 for label in fine],
        b"data": np.clip(images, 0, 255).astype(np.uint8).reshape(n, 3072),
    }


def main(path, n_train=100, n_test=40):
    rng = np.random.default_rng(7)
    coarse = rng.uniform(40, 215, (100, 3, 4, 4))
    patterns = coarse.repeat(8, axis=2).repeat(8, axis=3)
    members = {
        "meta": {
            b"fine_label_names": [b"fine_%d" % i for i in range(100)],
            b"coarse_label_names": [b"coarse_%d" % i for i in range(20)],
        },
        "test": make_part(rng, patterns, n_test),
        "train": make_part(rng, patterns, n_train),
    }
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
