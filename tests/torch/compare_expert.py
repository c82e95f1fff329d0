"""Optimiser steps of one expert on its share: torch.optim.SGD against expert-train.

Both start from the initial values that expert-load --init makes of the expert's key.  PyTorch computes
in float64.  Compared: losses, gradient norm and rate of each step, losses and rates of the epochs, then
the way of each weight from its start, momenta, running statistics and counters in the last checkpoint,
each tensor in the 2-norm.
"""

import argparse
import os
import tempfile

import torch
import torch.nn.functional as F

from bridge import Data, Verdict, read_safetensors, read_state, run, run_events
from compare_steps import off, of_kind
from models import make_expert

PREFIX = "expert_backbones.0."
SEED, EXPERT, EPOCHS = 7, 1, 3
# What rounding explains; at larger rates values of maps pass the kinks of ReLUs, and gradients differ.
LIMITS = {"loss_total": 1e-5, "val_loss": 1e-5, "grad_norm": 5e-3, "lr_experts": 1e-9}
OF_TENSORS = 3e-2


def bare(tensors, prefix=PREFIX):
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def initial(args, folder):
    start = os.path.join(folder, "start.safetensors")
    key = SEED + (EXPERT + 1) * 2**32
    run("expert-load", "--arch", args.arch, "--count", 1, "--init", key, "-o", start)
    return bare(read_state(start)[0])


def train_ours(args, folder):
    return run_events(
        *("expert-train", "--arch", args.arch, "--expert", EXPERT, "--data", args.data),
        *("--checkpoint-dir", folder, "--device", args.device, "--threads", 1, "--seed", SEED),
        *("--augment", "none", "--mix", "none", "--expert-dropout", 0, "--no-shuffle"),
        *("--epochs", EPOCHS, "--patience", 0, "--log-steps", "--batch", args.batch),
        *("--accumulate", args.accumulate, "--lr-experts", args.lr, "--clip", args.clip),
        *("--weight-decay", args.weight_decay, "--label-smoothing", args.label_smoothing),
    )


def train_step(net, optimizer, data, batches, args):
    """The mean gradient of the batches, clipped: (loss, norm) of the step."""
    optimizer.zero_grad()
    n_images = sum(len(batch) for batch in batches)
    total = 0.0
    for rows in batches:
        logits = net(data.images("train", rows))[1]
        loss = F.cross_entropy(
            logits, data.labels("train", rows), label_smoothing=args.label_smoothing
        )
        (loss / len(batches)).backward()
        total += loss.item() * len(rows) / n_images
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), args.clip or float("inf"))
    optimizer.step()
    return total, norm.item()


def train_theirs(net, optimizer, data, args):
    """(steps, epochs): (loss, norm, rate) of each step; (validation loss, next rate) of each epoch."""
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    rows, val = (data.tensors[f"split.{part}"].sort()[0] for part in (f"expert.{EXPERT}", "val"))
    steps, epochs = [], []
    for _ in range(EPOCHS):
        net.train()
        for group in rows.split(args.batch * args.accumulate):
            rate = optimizer.param_groups[0]["lr"]
            steps.append((*train_step(net, optimizer, data, group.split(args.batch), args), rate))
        net.eval()
        with torch.no_grad():
            loss = F.cross_entropy(net(data.images("train", val))[1], data.labels("train", val))
        schedule.step()
        epochs.append((loss.item(), optimizer.param_groups[0]["lr"]))
    return steps, epochs


def compare_values(verdict, what, event, values):
    for key, expected in values.items():
        error = off(event[key], expected) if expected else abs(event[key])
        verdict.check(f"{what} {key}", error, LIMITS[key])


def compare_events(verdict, events, steps, epochs):
    ours = of_kind(events, "step")
    verdict.equal("number of steps", len(ours), len(steps))
    for a, b in zip(ours, steps):
        values = dict(zip(("loss_total", "grad_norm", "lr_experts"), b))
        compare_values(verdict, f"step {a['step']}", a, values)
    ours = [e for e in of_kind(events, "epoch") if e["epoch"] > 0]
    verdict.equal("number of epochs", len(ours), len(epochs))
    for a, b in zip(ours, epochs):
        compare_values(verdict, f"epoch {a['epoch']}", a, dict(zip(("val_loss", "lr_experts"), b)))


def compare_tensors(verdict, what, found, expected):
    """The worst of them, of each its difference beside its size."""
    verdict.equal(f"names of {what}", sorted(found), sorted(expected))
    pairs = {n: (found[n].double(), t.double()) for n, t in expected.items()}
    errors = {n: ((a - b).norm() / b.norm()).item() for n, (a, b) in pairs.items()}
    worst = max(errors, key=errors.get)
    verdict.check(f"{what}, the worst of {len(errors)}: {worst}", errors[worst], OF_TENSORS)


def compare(verdict, args, folder):
    data, run_dir = Data(args.data, torch.float64), os.path.join(folder, "run")
    net = make_expert(args.arch, dropout=0.0)
    start = initial(args, folder)
    net.load_state_dict(start)
    net.double()
    optimizer = torch.optim.SGD(
        net.parameters(), args.lr, momentum=0.9, nesterov=True, weight_decay=args.weight_decay
    )
    events = train_ours(args, run_dir)
    compare_events(verdict, events, *train_theirs(net, optimizer, data, args))
    tensors, _ = read_safetensors(os.path.join(run_dir, "last.safetensors"))
    found, expected = bare(tensors), net.state_dict()
    trained = dict(net.named_parameters())
    compare_tensors(
        verdict,
        "ways of the weights",
        {n: found.pop(n).double() - start[n] for n in trained},
        {n: expected.pop(n) - start[n] for n in trained},
    )
    compare_tensors(verdict, "statistics and counters", found, expected)
    momenta = {n: optimizer.state[p]["momentum_buffer"] for n, p in trained.items()}
    compare_tensors(verdict, "momenta", bare(tensors, "optimizer.exp_avg." + PREFIX), momenta)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("arch", "data", "dir", "device"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--accumulate", type=int, default=1)
    for name, value in (("lr", 5e-4), ("clip", 1.0), ("weight-decay", 0.1), ("label-smoothing", 0.1)):
        parser.add_argument(f"--{name}", type=float, default=value)
    args = parser.parse_args()
    torch.set_num_threads(1)
    verdict = Verdict()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        compare(verdict, args, folder)
    verdict.leave()


if __name__ == "__main__":
    main()
