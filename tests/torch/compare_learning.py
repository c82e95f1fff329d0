"""Some epochs at rates that learn: fusion-train beside train_reference.py.

AdamW turns rounding into steps of full size where gradients are small, so the runs drift apart;
what must stay together are the epochs' losses, and both must fall alike.  The rates must agree
exactly, epoch by epoch.
"""

import argparse
import os

import torch

import models
import train_reference
from bridge import Data, Verdict, join
from compare_steps import of_kind, off, train_ours

TOGETHER = 0.02  # of an epoch's loss; seen: 0.0002 after 32 steps
FALL = 0.1  # of the first epoch's loss, at least


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("arch", "fusion", "data", "dir", "schedule"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=int, required=True)
    args = parser.parse_args()

    data = Data(args.data)
    batch = 16
    s = train_reference.settings(
        batch=batch,
        epochs=args.epochs,
        steps=args.epochs * -(-len(data.holdout) // batch),
        schedule=args.schedule,
        lr_experts=1e-3,
        lr_fusion=2e-3,
    )
    torch.set_num_threads(args.threads)
    torch.manual_seed(3)
    model = models.FusionModel(args.arch, args.fusion, expert_dropout=0.0, fusion_dropout=0.0)
    start, folder = (os.path.join(args.dir, x) for x in ("start.safetensors", "run"))
    join(model, args.arch, args.fusion, start)
    ours = of_kind(train_ours(args, s, start, folder), "epoch")
    theirs = of_kind(train_reference.train(model, data, s), "epoch")

    verdict = Verdict()
    verdict.equal("number of epochs", len(ours), len(theirs))
    for a, b in zip(ours, theirs):
        for key in ("train_loss", "val_loss"):
            verdict.check(f"epoch {b['epoch']} {key}", off(a[key], b[key]), TOGETHER)
        rates = [off(a[k], b[k]) for k in ("lr_experts", "lr_fusion", "lr_global_head")]
        verdict.check(f"epoch {b['epoch']} rates after it", max(rates), 1e-6)
    for name, epochs in (("ours", ours), ("PyTorch", theirs)):
        kept = epochs[-1]["train_loss"] / epochs[0]["train_loss"]
        verdict.check(f"train_loss of {name}: part that is left", kept, 1 - FALL)
    verdict.leave()


if __name__ == "__main__":
    main()
