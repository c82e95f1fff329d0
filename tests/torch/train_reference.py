"""Fusion training in PyTorch, step by step, as a list of events like those of fusion-train.

The whole holdout in ascending order, no augmentation, no mixing, validation on the test images
(`--val test --no-shuffle --augment none --mix none --dropout 0 --expert-dropout 0`).

    train_reference.py --arch ARCH --fusion FUSION --start FILE.pth --data DATA [options]
"""

import argparse
import json
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel

import models
from bridge import Data

DEFAULTS = {
    "batch": 8,
    "steps": 3,
    "epochs": 100,
    "alpha": 1.0,
    "label_smoothing": 0.1,
    "distill": 0.0,
    "fused": "head",
    "kd": 0.0,
    "kd_experts": 0.0,
    "kd_temperature": 2.0,
    "ema": 0.0,
    "clip": 1.0,
    "clip_experts": 0.0,
    "clip_fusion": 0.0,
    "accumulate": 1,
    "lr_experts": 1e-6,
    "lr_fusion": 1e-5,
    "weight_decay": 1e-4,
    "schedule": "constant",
}


def settings(**given):
    unknown = given.keys() - DEFAULTS.keys()
    assert not unknown, unknown
    return SimpleNamespace(**{**DEFAULTS, **given})


def distillation(experts):
    """Sum over experts k of the mean over the others j of KL(softmax_j, fixed || softmax_k)."""
    total = 0.0
    for k, student in enumerate(experts):
        teachers = [e.detach().log_softmax(1) for j, e in enumerate(experts) if j != k]
        for teacher in teachers:
            divergence = F.kl_div(
                student.log_softmax(1), teacher, reduction="batchmean", log_target=True
            )
            total = total + divergence / len(teachers)
    return total


def from_ensemble(student, experts, weight, temperature):
    """What distillation from the ensemble adds to a cross-entropy of which 1 - weight is left."""
    if not weight:
        return 0.0
    teacher = (sum(experts) / len(experts)).detach()
    divergence = F.kl_div(
        (student / temperature).log_softmax(1),
        (teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    return weight * temperature**2 * divergence


def losses(fused, experts, labels, alpha, s=None):
    """(total, global, plain sum over experts); s: settings of a training, None in a validation."""
    s = s or settings(label_smoothing=0.0)
    loss_global, *own = (
        F.cross_entropy(z, labels, label_smoothing=s.label_smoothing) for z in (fused, *experts)
    )
    total = (1 - s.kd) * loss_global + from_ensemble(fused, experts, s.kd, s.kd_temperature)
    for z, loss in zip(experts, own):
        kd = from_ensemble(z, experts, s.kd_experts, s.kd_temperature)
        total = total + alpha * ((1 - s.kd_experts) * loss + kd)
    if s.distill:
        total = total + alpha * s.distill * distillation(experts)
    return total, loss_global, sum(own)


def make_optimizer(model, s):
    """Three AdamW groups."""
    groups = [
        {"params": model.expert_backbones.parameters(), "lr": s.lr_experts},
        {"params": model.fusion_module.parameters(), "lr": s.lr_fusion},
        {"params": model.global_head.parameters(), "lr": s.lr_fusion},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=s.weight_decay)


def rates_after_epochs(lr, schedule, epochs):
    """Yields the rate after epoch 1, 2, ... of PyTorch's own schedulers."""
    probe = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    if schedule == "constant":
        scheduler = torch.optim.lr_scheduler.LambdaLR(probe, lambda epoch: 1.0)
    elif schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            probe, T_max=epochs, eta_min=0.1 * lr
        )
    else:
        scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            probe, T_0=max(1, epochs // 4), T_mult=2, eta_min=0.1 * lr
        )
    while True:
        probe.step()
        scheduler.step()
        yield probe.param_groups[0]["lr"]


def make_schedules(optimizer, s):
    """A generator for each group: eta_min is a tenth of the group's own rate, and `restarts` is for
    the experts alone, the other groups follow the cosine."""
    names = [s.schedule] + ["cosine" if s.schedule == "restarts" else s.schedule] * 2
    rates = [group["lr"] for group in optimizer.param_groups]
    return [rates_after_epochs(lr, name, s.epochs) for lr, name in zip(rates, names)]


def clip_gradients(model, s):
    """Returns the norm of everything before clipping.  Limits of groups replace the common one."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
    groups = [(model, s.clip)]
    if s.clip_experts or s.clip_fusion:
        groups = [
            (model.expert_backbones, s.clip_experts),
            (model.fusion_module, s.clip_fusion),
            (model.global_head, s.clip_fusion),
        ]
    for part, limit in groups:
        torch.nn.utils.clip_grad_norm_(part.parameters(), limit or float("inf"))
    return norm


def train_step(model, optimizer, batches, s):
    """One optimiser step: the gradients of the batches [(images, labels)] averaged."""
    optimizer.zero_grad(set_to_none=True)
    n_images = sum(len(labels) for _, labels in batches)
    sums = [0.0, 0.0, 0.0]
    for images, labels in batches:
        fused, experts = model(images)
        parts = losses(fused, experts, labels, s.alpha, s)
        (parts[0] / len(batches)).backward()
        for i, part in enumerate(parts):
            sums[i] += part.item() * len(labels) / n_images
    norm = clip_gradients(model, s)
    rates = [g["lr"] for g in optimizer.param_groups]
    optimizer.step()
    return {
        "event": "step",
        "loss_total": sums[0],
        "loss_global": sums[1],
        "loss_individual": sums[2],
        "grad_norm": norm.item(),
        "lr_experts": rates[0],
        "lr_fusion": rates[1],
    }


def measure(fused, experts, labels, alpha):
    """What a validation reports: losses without smoothing, accuracies in percent."""
    total, loss_global, _ = losses(fused, experts, labels, alpha)

    def percent(logits):
        return 100 * (logits.argmax(1) == labels).double().mean().item()

    return {
        "val_loss": total.item(),
        "val_loss_global": loss_global.item(),
        "val_accuracy": percent(fused),
        "expert_accuracy": [percent(e) for e in experts],
        "expert_loss": [F.cross_entropy(e, labels).item() for e in experts],
        "ensemble_accuracy": percent(sum(experts)),
    }


def evaluate(model, images, labels, alpha):
    model.eval()
    with torch.no_grad():
        return measure(*model(images), labels, alpha)


def moving_average(model, s):
    """The model's moving average, which begins as the model is; the model itself without --ema."""
    if not s.ema:
        return model
    averaged = AveragedModel(
        model, avg_fn=lambda a, p, n: s.ema * a + (1 - s.ema) * p, use_buffers=True
    )
    averaged.update_parameters(model)
    return averaged


def train(model, data, s, optimizer=None, averaged=None):
    """The events of s.steps steps; the model holds the result.  Epochs end as fusion-train's: the
    last, partial batch is kept, and the run ends with a validation wherever it stops."""
    averaged = averaged or moving_average(model, s)
    optimizer = optimizer or make_optimizer(model, s)
    schedules = make_schedules(optimizer, s)
    rows = data.holdout
    events, step, epoch = [], 0, 0
    while step < s.steps and epoch < s.epochs:
        epoch += 1
        model.train()
        sums, n_seen = [0.0, 0.0, 0.0], 0
        for group in rows.split(s.batch * s.accumulate):
            parts = group.split(s.batch)
            batches = [(data.images("train", b), data.labels("train", b)) for b in parts]
            event = train_step(model, optimizer, batches, s)
            if averaged is not model:
                averaged.update_parameters(model)
            step += 1
            events.append({**event, "epoch": epoch, "step": step})
            for i, key in enumerate(("loss_total", "loss_global", "loss_individual")):
                sums[i] += event[key] * len(group)
            n_seen += len(group)
            if step == s.steps:
                break
        for group, schedule in zip(optimizer.param_groups, schedules):
            group["lr"] = next(schedule)
        means = [x / n_seen for x in sums]
        event = {"event": "epoch", "epoch": epoch, "step": step, "train_loss": means[0]}
        event.update(loss_total=means[0], loss_global=means[1], loss_individual=means[2])
        event.update(evaluate(averaged, data.images("test"), data.labels("test"), s.alpha))
        for name, group in zip(("experts", "fusion", "global_head"), optimizer.param_groups):
            event[f"lr_{name}"] = group["lr"]
        events.append(event)
    return events


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("arch", "fusion", "start", "data"):
        parser.add_argument(f"--{name}", required=True)
    for name, value in DEFAULTS.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    args = parser.parse_args()
    model = models.FusionModel(
        args.arch, args.fusion, expert_dropout=0.0, fusion_dropout=0.0, fused=args.fused
    )
    model.load_state_dict(torch.load(args.start))
    for event in train(model, Data(args.data), args):
        print(json.dumps(event))


if __name__ == "__main__":
    main()
