"""A checkpoint of ours in PyTorch: as one state_dict, as the .pth files of ckpt-split, and by load()
with nothing but what the files say.

Every load is strict, every .pth is also loaded with weights_only=True, and each way the logits are
those of fusion-eval.
"""

import argparse
import json
import os
from pathlib import Path

import torch

import models
from bridge import Data, Verdict, read_safetensors, read_state, relative_error, run

LIMIT = 1e-4


def load_pth(verdict, path):
    """A bare state_dict of tensors, the same with both ways to load."""
    state = torch.load(path)
    safe = torch.load(path, weights_only=True)
    verdict.equal(f"{path.name}: names with weights_only", list(safe), list(state))
    same = all(torch.equal(safe[k], v) for k, v in state.items())
    verdict.equal(f"{path.name}: values with weights_only", same, True)
    return state


def expected_files(family, fusion, n_experts):
    names = [f"experts/{family}_expert_{k}_best" for k in range(n_experts)]
    names.append(f"fusion/{family}_{fusion}_fusion_best")
    names.append(f"global/{family}_{fusion}_global_head_best")
    return names


def load_parts(verdict, model, family, folder):
    names = expected_files(family, model.fusion, len(model.expert_backbones))
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.pth"))
    verdict.equal("files of ckpt-split", found, sorted(f"{name}.pth" for name in names))
    modules = [*model.expert_backbones, model.fusion_module, model.global_head]
    for name, module in zip(names, modules):
        state = load_pth(verdict, folder / f"{name}.pth")
        module.load_state_dict(state, strict=True)
        verdict.equal(f"{name}: order", list(state), list(module.state_dict()))
        with open(folder / f"{name}.json", encoding="utf-8") as f:
            verdict.equal(f"{name}.json is an object", isinstance(json.load(f), dict), True)


def compare_logits(verdict, what, model, data, logits):
    model.eval()
    with torch.no_grad():
        fused, experts = model(data.images("test", slice(len(logits["global"]))))
    verdict.check(f"{what}: fused logits", relative_error(logits["global"], fused), LIMIT)
    for k, e in enumerate(experts):
        error = relative_error(logits[f"expert.{k}"], e)
        verdict.check(f"{what}: logits of expert {k}", error, LIMIT)


def compare_loaded(verdict, path, data, logits):
    """What the file says of images is the data set's: bytes in, the same logits out."""
    model = models.load(path, normalise=True)
    verdict.equal(f"load({path}): names", model.labels, json.loads(data.metadata["fine_labels"]))
    with torch.no_grad():
        fused, _ = model(data.tensors["test.images"][: len(logits["global"])])
    verdict.check(f"load({path})", relative_error(logits["global"], fused), LIMIT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--family", required=True, help="first part of the file names")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dir", required=True, type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, default=8, help="images")
    args = parser.parse_args()

    data = Data(args.data)
    verdict = Verdict()
    out = args.dir / "logits.safetensors"
    run(
        *("fusion-eval", "--device", args.device, "--data", args.data, "--split", "test"),
        *("--limit", args.limit, "--logits", out, args.checkpoint),
    )
    logits, _ = read_safetensors(out)

    state, metadata = read_state(args.checkpoint)
    kind = {"arch": metadata["arch"], "fusion": metadata["fusion"]}
    kind["fused"] = metadata.get("fused", "head")
    whole = models.FusionModel(**kind)
    whole.load_state_dict(state, strict=True)
    compare_logits(verdict, "whole", whole, data, logits)

    folder = args.dir / "parts"
    run("ckpt-split", "-d", folder, args.checkpoint)
    parts = models.FusionModel(**kind)
    load_parts(verdict, parts, args.family, folder)
    compare_logits(verdict, "parts", parts, data, logits)

    for path in (args.checkpoint, folder):
        compare_loaded(verdict, path, data, logits)

    # And home again, from files that PyTorch has rewritten.
    files = []
    for path in sorted(folder.rglob("*.pth")):
        torch.save(torch.load(path), path)
        files.append(path)
    joined = args.dir / "joined.safetensors"
    run(
        *("ckpt-join", "--arch", kind["arch"], "--fusion", kind["fusion"]),
        *("--fused", kind["fused"]),
        *("-o", joined, *files),
    )
    again, _ = read_state(joined)
    verdict.equal("names after the way back", sorted(again), sorted(state))
    changed = [k for k, v in state.items() if not torch.equal(again[k], v)]
    verdict.equal("tensors changed on the way back", changed, [])
    os.remove(joined)
    verdict.leave()


if __name__ == "__main__":
    main()
