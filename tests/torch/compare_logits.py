"""Logits and evaluation metrics of one architecture with each fusion: PyTorch against fusion-eval.
And load() of python/fusion_models.py: what it makes of the checkpoint and the images' bytes.

Everything that starts as a constant is made random first (models.randomise).  The whole model goes
to a .pth in one of the forms that PyTorch users have, through ckpt-join, to fusion-eval --logits.
"""

import argparse
import os

import torch

import models
from bridge import MEAN, STD, Data, Verdict, join, read_safetensors, relative_error, run_events
from train_reference import measure

LIMIT = 1e-4


def save_bare(state, path):
    torch.save(state, path)


def save_legacy(state, path):
    torch.save({"net": state, "acc": 1.5}, path, _use_new_zipfile_serialization=False)


def save_wrapped(state, path):
    torch.save({"epoch": 3, "model_state_dict": state}, path)


def save_data_parallel(state, path):
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)


def save_channels_last(state, path):
    def strided(t):
        return t.to(memory_format=torch.channels_last) if t.dim() == 4 else t

    torch.save({k: strided(v) for k, v in state.items()}, path)


def save_parameters(state, path):
    torch.save({k: torch.nn.Parameter(v, v.is_floating_point()) for k, v in state.items()}, path)


FORMS = [
    save_bare,
    save_legacy,
    save_wrapped,
    save_data_parallel,
    save_channels_last,
    save_parameters,
]


class Answers:
    """What PyTorch says about the first images of the test set; the experts run once for all
    fusions."""

    def __init__(self, model, data, limit):
        self.model = model.eval()
        first = slice(limit)
        self.images, self.labels = data.images("test", first), data.labels("test", first)
        self.bytes = data.tensors["test.images"][first]
        with torch.no_grad():
            answers = [expert(self.images) for expert in model.expert_backbones]
        self.features, self.experts = ([a[i] for a in answers] for i in (0, 1))

    def fused(self):
        self.model.eval()
        with torch.no_grad():
            return self.model.fuse(self.features, self.experts)


def compare(verdict, what, answers, args, device, checkpoint):
    out = os.path.join(args.dir, "logits.safetensors")
    events = run_events(
        *("fusion-eval", "--device", device, "--data", args.data, "--split", "test"),
        *("--limit", args.limit, "--logits", out, checkpoint),
    )
    found, _ = read_safetensors(out)
    os.remove(out)
    fused, experts = answers.fused(), answers.experts
    names = ["global"] + [f"expert.{k}" for k in range(len(experts))]
    verdict.equal(f"{what} names", sorted(found), sorted(names))
    for name, expected in zip(names, [fused, *experts]):
        verdict.check(f"{what} {name}", relative_error(found[name], expected), LIMIT)

    (event,) = [e for e in events if e["event"] == "eval"]
    expected = measure(fused, experts, answers.labels, alpha=1.0)
    verdict.equal(f"{what} images", event["images"], len(answers.labels))
    verdict.equal(f"{what} accuracy", event["accuracy"], expected["val_accuracy"])
    for key in ("expert_accuracy", "ensemble_accuracy"):
        verdict.equal(f"{what} {key}", event[key], expected[key])
    verdict.check(f"{what} loss", abs(event["loss"] / expected["val_loss_global"] - 1), LIMIT)


def compare_loaded(verdict, what, answers, checkpoint):
    model = models.load(checkpoint, normalise=True, mean=MEAN, std=STD)
    with torch.no_grad():
        fused, experts = model(answers.bytes)
    for name, found, expected in zip(
        ["global", *range(len(experts))], [fused, *experts], [answers.fused(), *answers.experts]
    ):
        verdict.check(f"{what} loaded {name}", relative_error(found, expected), LIMIT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--dir", required=True, help="folder for the files between")
    parser.add_argument("--device", default="ref,cpu")
    parser.add_argument("--limit", type=int, default=8, help="images")
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--load-once", action="store_true", help="the loader: one fusion only")
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.manual_seed(1)
    data = Data(args.data)
    verdict = Verdict()
    model = models.FusionModel(args.arch, "multiplicative", n_experts=args.experts)
    models.randomise(model, 11)
    answers = Answers(model, data, args.limit)
    for i, fusion in enumerate(models.FUSIONS):
        model.set_fusion(fusion)
        models.randomise(model, 11)
        model.fused = "residual" if i % 2 else "head"
        checkpoint = os.path.join(args.dir, "whole.safetensors")
        join(model, args.arch, fusion, checkpoint, FORMS[i % len(FORMS)])
        for device in args.device.split(","):
            compare(verdict, f"{fusion} on {device}:", answers, args, device, checkpoint)
        if i == 0 or not args.load_once:
            compare_loaded(verdict, f"{fusion}:", answers, checkpoint)
        os.remove(checkpoint)
    verdict.leave()


if __name__ == "__main__":
    main()
