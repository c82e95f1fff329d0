"""Images per second of every augmentation policy on one core, ours beside torchvision's.

    bench/augment.py OURS       OURS: the program built from bench/augment.c

Both go from stored uint8 images to a normalised float batch; torchvision through PIL, as its
users do.  The sides take turns; the medians are printed as a Markdown table.
"""

import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import autoaugment as A

N_IMAGES, BATCH, ROUNDS = 256, 64, 3

NORMALISE = [
    T.ToTensor(),
    T.Normalize((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
]
CROP_FLIP = [T.RandomCrop(32, padding=4, padding_mode="reflect"), T.RandomHorizontalFlip()]


def erase(p):
    return [T.RandomErasing(p=p, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0)]


POLICIES = {
    "none": NORMALISE,
    "basic": CROP_FLIP + NORMALISE,
    "light": CROP_FLIP + [A.RandAugment(2, 9)] + NORMALISE + erase(0.1),
    "baseline": CROP_FLIP + [T.ColorJitter(0.2, 0.2, 0.2, 0.1)] + NORMALISE + erase(0.25),
    "strong": CROP_FLIP + [A.RandAugment(3, 14)] + NORMALISE + erase(0.3),
    "sota": CROP_FLIP + [A.TrivialAugmentWide()] + NORMALISE + erase(0.25),
}


def cutmix(images):
    lam = np.random.beta(1.0, 1.0)
    half = int(32 * (1 - lam) ** 0.5) // 2
    y, x = np.random.randint(32), np.random.randint(32)
    box = (slice(max(0, y - half), y + half), slice(max(0, x - half), x + half))
    partner = images[torch.randperm(len(images))]
    images[:, :, box[0], box[1]] = partner[:, :, box[0], box[1]]


def measure_torchvision(images, steps):
    policy = T.Compose(steps)
    start = time.thread_time()
    for begin in range(0, N_IMAGES, BATCH):
        rows = images[begin : begin + BATCH]
        batch = torch.stack([policy(Image.fromarray(image)) for image in rows])
        cutmix(batch)
    return N_IMAGES / (time.thread_time() - start)


def measure_ours(program):
    lines = subprocess.run([program], check=True, capture_output=True).stdout.splitlines()
    return {r["policy"]: r["images_per_second"] for r in map(json.loads, lines)}


def main(program):
    torch.set_num_threads(1)
    torch.manual_seed(42)
    y, x, c, i = np.ogrid[:32, :32, :3, :N_IMAGES]
    images = (y * 2 + x * 3 + c * 37 + i * 11).transpose(3, 0, 1, 2)
    images = (images + np.random.default_rng(1).integers(0, 16, images.shape)).astype(np.uint8)
    ours, theirs = {p: [] for p in POLICIES}, {p: [] for p in POLICIES}
    for _ in range(ROUNDS):
        for policy, rate in measure_ours(program).items():
            ours[policy].append(rate)
        for policy, steps in POLICIES.items():
            theirs[policy].append(measure_torchvision(images, steps))
    print("| policy | ours, images/s | torchvision, images/s | ratio |\n|---|---|---|---|")
    for policy in POLICIES:
        a, b = statistics.median(ours[policy]), statistics.median(theirs[policy])
        print(f"| {policy} | {a:,.0f} | {b:,.0f} | {a / b:.1f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
