"""load() of python/fusion_models.py: from a checkpoint, from folders of both formats, with and
without what ckpt-split writes beside a .pth, and one component alone.

A model with random values goes to a checkpoint and from there to every other form; all must come
back with its tensors, bit for bit, and answer as it does.
"""

import argparse
import glob
import os
import shutil

import torch

import models
from bridge import MEAN, STD, Data, Verdict, join, relative_error, run

LIMIT = 1e-5  # the same arithmetic, but for the place of the normalisation
N_CLASSES = {"TransformerBase": 10, "multiplicative": 10}  # others have 100
N_EXPERTS = {"concatenation": 2, "gated": 8}  # others have 4


def answers(model, images):
    with torch.no_grad():
        fused, experts = model(images)
    return [fused, *experts]


def compare(verdict, what, loaded, model, images, data):
    """images: as bytes, which the loaded model normalises."""
    verdict.equal(f"{what} evaluation mode", loaded.training, False)
    found, expected = loaded.state_dict(), model.state_dict()
    verdict.equal(f"{what} names", sorted(found), sorted(expected))
    verdict.equal(f"{what} values", [k for k in found if not found[k].equal(expected[k])], [])
    pairs = zip(answers(loaded, images), answers(model, data))
    verdict.check(what, max(relative_error(a, b) for a, b in pairs), LIMIT)


def forms(verdict, what, model, args, images, data):
    whole, parts = (os.path.join(args.dir, name) for name in ("whole.safetensors", "parts"))
    options = {"normalise": True, "mean": MEAN, "std": STD}
    join(model, model.arch, model.fusion, whole)
    compare(verdict, f"{what}: checkpoint", models.load(whole, **options), model, images, data)
    for suffix in ("pth", "safetensors"):
        run("ckpt-split", "-q", "--format", suffix, "-d", parts, whole)
        loaded = models.load(parts, **options)
        compare(verdict, f"{what}: folder of .{suffix}", loaded, model, images, data)
        compare_expert(verdict, f"{what}: one .{suffix}", parts, suffix, model, data)
        if suffix == "pth":
            for path in glob.glob(os.path.join(parts, "*", "*.json")):
                os.remove(path)
            said = {"arch": model.arch, "fusion": model.fusion, "fused": model.fused}
            loaded = models.load(parts, **said, **options)
            compare(verdict, f"{what}: bare .pth", loaded, model, images, data)
        shutil.rmtree(parts)


def compare_expert(verdict, what, parts, suffix, model, data):
    (path,) = glob.glob(os.path.join(parts, "experts", f"*_expert_1_best.{suffix}"))
    with torch.no_grad():
        _, found = models.load(path)(data)
        _, expected = model.expert_backbones[1](data)
    verdict.check(what, relative_error(found, expected), LIMIT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dir", required=True, help="folder for the files between")
    parser.add_argument("--fusion", choices=models.FUSIONS, help="one instead of all")
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.manual_seed(1)
    verdict, data = Verdict(), Data(args.data)
    images, normalised = data.tensors["test.images"][:2], data.images("test", slice(2))
    for i, fusion in enumerate([args.fusion] if args.fusion else models.FUSIONS):
        model = models.FusionModel(
            args.arch,
            fusion,
            N_CLASSES.get(fusion, 100),
            N_EXPERTS.get(fusion, 4),
            fused="residual" if i % 2 else "head",
        ).eval()
        models.randomise(model, 11)
        forms(verdict, fusion, model, args, images, normalised)
    verdict.leave()


if __name__ == "__main__":
    main()
