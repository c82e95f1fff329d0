"""Adversarial attacks: FGSM and PGD written with torch.autograd against fusion-eval --attack.

The images are black and white, so the range of a pixel stops half of all changes.  The model is
random (models.randomise), the attacks are on its fused logits, or on the sum of the experts' losses
where it is an experts stream.  PGD starts where the tool does: its generator is written again here.
"""

import argparse
import json
import os
import struct

import numpy as np
import torch
import torch.nn.functional as F

import models
from bridge import MEAN, STD, Data, Verdict, join, run, run_events
from train_reference import measure

LIMIT = 2e-3  # of losses: a gradient that is nearly 0 has a sign by chance
EPSILON, STEP, STEPS, SEED = 6 / 255, 3 / 255, 4, 5


def harden(path, out):
    """Copies a data set; each byte of its test images becomes 0 or 255."""
    with open(path, "rb") as f:
        content = bytearray(f.read())
    (n,) = struct.unpack_from("<Q", content)
    begin, end = json.loads(content[8 : 8 + n])["test.images"]["data_offsets"]
    images = np.frombuffer(content, np.uint8)[8 + n + begin : 8 + n + end]
    images[:] = np.where(images < 128, 0, 255)
    with open(out, "wb") as f:
        f.write(content)


def philox(counter, seed):
    """Philox4x32-10 of many counters, (4, n) uint64."""
    c = [np.array(word, np.uint64) for word in counter]
    low = np.uint64(0xFFFFFFFF)
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (q >> np.uint64(32)) ^ c[1] ^ np.uint64(keys[0]),
            q & low,
            (p >> np.uint64(32)) ^ c[3] ^ np.uint64(keys[1]),
            p & low,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c)


def starts(n):
    """Numbers from -1 to 1 for every pixel of n images."""
    image, draw = np.meshgrid(np.arange(n), np.arange(3 * 32 * 32 // 4), indexing="ij")
    words = philox([np.full_like(draw, 11 << 24), np.zeros_like(draw), image, draw], SEED)
    unit = (words >> np.uint64(8)).astype(np.float32) * np.float32(2**-24)
    return torch.from_numpy(2 * unit - 1).permute(1, 2, 0).reshape(n, 3, 32, 32)


def normalised(x):
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (x - mean) / std


def attack(model, is_fused, x, labels, epsilon, step, steps, start):
    changed = (x + epsilon * start).clamp(0, 1)
    for _ in range(steps):
        z = changed.clone().requires_grad_()
        fused, experts = model(normalised(z))
        heads = [fused] if is_fused else experts
        loss = sum(F.cross_entropy(logits, labels) for logits in heads)
        (gradient,) = torch.autograd.grad(loss, z)
        changed = changed + step * gradient.sign()
        changed = torch.minimum(torch.maximum(changed, x - epsilon), x + epsilon).clamp(0, 1)
    with torch.no_grad():
        return model(normalised(changed))


def compare(verdict, what, is_fused, answer, labels, event):
    fused, experts = answer
    expected = measure(fused, experts, labels, alpha=1.0)
    if is_fused:
        verdict.equal(f"{what} accuracy", event["accuracy"], expected["val_accuracy"])
        loss = expected["val_loss_global"]
        verdict.check(f"{what} loss", abs(event["loss"] / loss - 1), LIMIT)
    for key in ("expert_accuracy", "ensemble_accuracy"):
        verdict.equal(f"{what} {key}", event[key], expected[key])
    for k, logits in enumerate(experts):
        loss = F.cross_entropy(logits, labels).item()
        verdict.check(f"{what} expert {k} loss", abs(event["expert_loss"][k] / loss - 1), LIMIT)


def compare_model(verdict, what, model, is_fused, data, checkpoint, args):
    n = args.limit
    x = data.tensors["test.images"][:n].float() / 255
    labels = data.labels("test", slice(n))
    kinds = {
        "fgsm": (["--attack", "fgsm"], (EPSILON, 1, torch.zeros_like(x))),
        "pgd": (
            ["--attack", "pgd", "--attack-step-size", "3/255", "--attack-steps", STEPS],
            (STEP, STEPS, starts(n)),
        ),
    }
    for kind, (options, (step, steps, start)) in kinds.items():
        answer = attack(model, is_fused, x, labels, EPSILON, step, steps, start)
        for device in args.device.split(","):
            events = run_events(
                *("fusion-eval", "--device", device, "--data", args.data, "--limit", n),
                *("--epsilon", f"{EPSILON:.17g}", "--seed", SEED, "--batch", 7),
                *(*options, checkpoint),
            )
            (event,) = [e for e in events if e["event"] == "attack"]
            compare(verdict, f"{what} {kind} on {device}:", is_fused, answer, labels, event)
            (clean,) = [e for e in events if e["event"] == "eval"]
            with torch.no_grad():
                fused, experts = model(normalised(x))
            expected = measure(fused, experts, labels, alpha=1.0)
            verdict.equal(f"{what} clean", clean["expert_accuracy"], expected["expert_accuracy"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", required=True)
    parser.add_argument("--fusion", action="append", default=[], help="none: an experts stream")
    parser.add_argument("--data", required=True)
    parser.add_argument("--dir", required=True, help="folder for the files between")
    parser.add_argument("--device", default="ref,cpu")
    parser.add_argument("--limit", type=int, default=8, help="images")
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.manual_seed(1)
    hard = os.path.join(args.dir, "hard.safetensors")
    harden(args.data, hard)
    args.data = hard
    data = Data(args.data)
    verdict = Verdict()
    checkpoint = os.path.join(args.dir, "whole.safetensors")
    for i, fusion in enumerate(args.fusion or models.FUSIONS):
        is_fused = fusion != "none"
        model = models.FusionModel(args.arch, fusion if is_fused else "concatenation", n_experts=4)
        models.randomise(model, 11)
        model.fused = "residual" if i % 2 else "head"
        model.eval()
        if is_fused:
            join(model, args.arch, fusion, checkpoint)
        else:
            experts = []
            for k, expert in enumerate(model.expert_backbones):
                experts.append(os.path.join(args.dir, f"expert_{k}.pth"))
                torch.save(expert.state_dict(), experts[-1])
            run("expert-load", "--arch", args.arch, "-o", checkpoint, *experts)
        compare_model(verdict, fusion, model, is_fused, data, checkpoint, args)
    verdict.leave()


if __name__ == "__main__":
    main()
