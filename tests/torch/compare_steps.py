"""Optimiser steps of one architecture and some fusions: train_reference.py against fusion-train.

Both start from one checkpoint.  Compared: losses, gradient norm and rates of each step, the
gradient of every tensor (as Adam's first moment, a weighted sum over the steps), then the trained
model: weights, running statistics, counters.

Rounding moves a few activations across the kink of a ReLU, and on a small batch one of them is a
visible part of a gradient.  With --double PyTorch computes in float64, and only our own rounding
does so; --slack widens the limits of the gradients for large networks on few images.

With --precision bf16 it is ours alone that computes in it, and every map rounds: the limits are
those of bf16, the losses still PyTorch's to half a percent.
"""

import argparse
import os
import tempfile
from types import SimpleNamespace

import torch

import models
import train_reference
from bridge import Data, Verdict, join, read_safetensors, read_state, run_events

LOSSES = ("loss_total", "loss_global", "loss_individual")
# Relative errors that rounding explains: of losses, of the gradients' norm in the first step and
# later, of the gradient as a whole and of the worst tensor, of running statistics; and by how many
# rates a weight may be off after a step.
LIMITS = {
    "fp32": SimpleNamespace(
        losses=1e-3, first=1e-3, norm=5e-3, gradient=1e-2, worst=5e-2, statistics=1e-3, rates=0.005
    ),
    "bf16": SimpleNamespace(
        losses=5e-3, first=5e-2, norm=5e-2, gradient=0.3, worst=0.9, statistics=1e-2, rates=1
    ),
}


def train_ours(args, s, start, folder, *more):
    options = []
    for key, value in vars(s).items():
        no_limit = key.startswith("clip_") and value == 0  # which the option cannot say
        no_teacher = key == "kd_temperature" and not (s.kd or s.kd_experts)  # of which it is
        if not (no_limit or no_teacher):
            options += ["--" + key.replace("_", "-"), value]
    return run_events(
        *("fusion-train", "--experts", start, "--data", args.data, "--checkpoint-dir", folder),
        *("--fusion", args.fusion, "--device", args.device, "--val", "test", "--no-shuffle"),
        *("--augment", "none", "--mix", "none", "--dropout", 0, "--expert-dropout", 0),
        *("--threads", args.threads, "--experts-lr-scale", 1, "--log-steps", *options, *more),
    )


def off(found, expected):
    return abs(found / expected - 1)


def of_kind(events, kind):
    return [e for e in events if e["event"] == kind]


def compare_steps(verdict, ours, theirs, limits):
    ours, theirs = of_kind(ours, "step"), of_kind(theirs, "step")
    verdict.equal("number of steps", len(ours), len(theirs))
    for a, b in zip(ours, theirs):
        name = f"step {b['step']}"
        verdict.equal(f"{name} epoch", a["epoch"], b["epoch"])
        verdict.check(f"{name} losses", max(off(a[k], b[k]) for k in LOSSES), limits.losses)
        limit = limits.first if b["step"] == 1 else limits.norm
        verdict.check(f"{name} grad_norm", off(a["grad_norm"], b["grad_norm"]), limit)
        rates = max(off(a[k], b[k]) for k in ("lr_experts", "lr_fusion"))
        verdict.check(f"{name} rates", rates, 1e-6)


def compare_epochs(verdict, ours, theirs, limits):
    ours, theirs = of_kind(ours, "epoch"), of_kind(theirs, "epoch")
    verdict.equal("number of epochs", len(ours), len(theirs))
    for a, b in zip(ours, theirs):
        name = f"epoch {b['epoch']}"
        keys = ("train_loss", *LOSSES, "val_loss", "val_loss_global")
        verdict.check(f"{name} losses", max(off(a[k], b[k]) for k in keys), limits.losses)
        errors = [off(x, y) for x, y in zip(a["expert_loss"], b["expert_loss"])]
        verdict.check(f"{name} experts' losses", max(errors), limits.losses)


def moments(folder, optimizer, model, which):
    """({name: ours}, {name: PyTorch's}), which: exp_avg or exp_avg_sq."""
    tensors, _ = read_safetensors(os.path.join(folder, "last.safetensors"))
    prefix = f"optimizer.{which}."
    ours = {k[len(prefix) :]: v.double() for k, v in tensors.items() if k.startswith(prefix)}
    theirs = {n: optimizer.state[p][which].double() for n, p in model.named_parameters()}
    return ours, theirs


def compare_gradients(verdict, folder, optimizer, model, limits, slack):
    """All gradients as one vector, and each tensor's: relative differences in the 2-norm.  A tensor
    that is much smaller than the rest (a bias in front of a normalisation has no gradient at all)
    is measured against a thousandth of the average size."""
    found, expected = moments(folder, optimizer, model, "exp_avg")
    verdict.equal("names of the moments", sorted(found), sorted(expected))
    squares = {n: ((found[n] - g) ** 2).sum() for n, g in expected.items()}
    total = sum((g**2).sum() for g in expected.values())
    error = (sum(squares.values()) / total).sqrt().item()
    verdict.check("gradient as a whole", error, slack * limits.gradient)
    floor = 1e-6 * total / sum(g.numel() for g in expected.values())
    errors = {
        n: (squares[n] / max((g**2).sum(), floor * g.numel())).sqrt().item()
        for n, g in expected.items()
    }
    worst = max(errors, key=errors.get)
    what = f"gradient of {worst}, the worst of {len(errors)}"
    verdict.check(what, errors[worst], slack * limits.worst)

    found, expected = moments(folder, optimizer, model, "exp_avg_sq")
    error = sum((found[n] - v).abs().sum() for n, v in expected.items())
    error /= sum(v.sum() for v in expected.values())
    verdict.check("second moments as a whole", error.item(), slack * limits.gradient)


def counters(state):
    return {k: v for k, v in state.items() if k.endswith("num_batches_tracked")}


def compare_averages(verdict, folder, state, averaged, model, s, limits, slack):
    """The averages beside the weights of a checkpoint.  Counters have none."""
    tensors, _ = read_safetensors(os.path.join(folder, "last.safetensors"))
    prefix = "optimizer.average."
    found = {k[len(prefix) :]: v.double() for k, v in tensors.items() if k.startswith(prefix)}
    averaged.module.load_state_dict(counters(model.state_dict()), strict=False)
    print("averages")
    compare_models(verdict, {**found, **counters(state)}, averaged.module, s, limits, slack)


def compare_models(verdict, state, model, s, limits, slack):
    """A step moves a weight by its rate at most (and by weight decay); where a gradient is nearly
    zero its sign is rounding, so a weight may be off by twice the rate each step, but few are."""
    expected = model.state_dict()
    verdict.equal("names of the checkpoint", sorted(state), sorted(expected))
    trained = {name for name, _ in model.named_parameters()}
    far, statistics = {}, 0.0
    for name, t in expected.items():
        if name.endswith("num_batches_tracked"):
            verdict.equal(name, state[name].item(), t.item())
        elif name in trained:
            component = name.split(".")[0]
            rate = s.lr_experts if component == "expert_backbones" else s.lr_fusion
            reach = s.steps * (limits.rates * rate + 1.2e-7 * t.abs())  # and the rounding of float32
            far.setdefault(component, []).append(((state[name] - t).abs() > reach).flatten())
        else:
            statistics = max(statistics, ((state[name] - t).norm() / t.norm()).item())
    for component, parts in far.items():
        part = torch.cat(parts).double().mean().item()
        verdict.check(f"weights of {component} that are somewhere else", part, slack * 0.05)
    verdict.check("running statistics", statistics, limits.statistics)


def compare(verdict, args, s):
    limits = LIMITS[args.precision]
    torch.manual_seed(2)
    model = models.FusionModel(
        args.arch,
        args.fusion,
        n_experts=args.experts,
        expert_dropout=0.0,
        fusion_dropout=0.0,
        fused=s.fused,
    )
    models.randomise(model, 12, strong_fusion=False)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        start, run_dir = (os.path.join(folder, x) for x in ("start.safetensors", "run"))
        join(model, args.arch, args.fusion, start)
        ours = train_ours(args, s, start, run_dir, "--precision", args.precision)

        dtype = torch.float64 if args.double else torch.float32
        model.to(dtype)
        optimizer = train_reference.make_optimizer(model, s)
        averaged = train_reference.moving_average(model, s)
        theirs = train_reference.train(model, Data(args.data, dtype), s, optimizer, averaged)

        compare_steps(verdict, ours, theirs, limits)
        compare_epochs(verdict, ours, theirs, limits)
        compare_gradients(verdict, run_dir, optimizer, model, limits, args.slack)
        state, _ = read_state(os.path.join(run_dir, "last.safetensors"))
        compare_models(verdict, state, model, s, limits, args.slack)
        if s.ema:
            compare_averages(verdict, run_dir, state, averaged, model, s, limits, args.slack)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fusion", required=True, action="append", help="one or more")
    for name in ("arch", "data", "dir"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="fp32", choices=LIMITS)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--slack", type=float, default=1.0)
    for name, value in train_reference.DEFAULTS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    args = parser.parse_args()
    s = train_reference.settings(
        **{k: v for k, v in vars(args).items() if k in train_reference.DEFAULTS}
    )
    torch.set_num_threads(args.threads)
    verdict = Verdict()
    for fusion in args.fusion:
        print(f"{args.arch} {fusion}")
        args.fusion = fusion
        compare(verdict, args, s)
    verdict.leave()


if __name__ == "__main__":
    main()
