"""Our augmentation against torchvision's on PIL images: every operation pixel by pixel at every
magnitude a policy can ask for, and the policies' choices against torchvision's tables.

    augment_ops.py ops [FILE]   compare the operations; FILE: raw u8 (n, 3, 32, 32) images to add
    augment_ops.py policies     compare what the policies choose

Runs the program augment-probe, which must be on the PATH.
"""

import math
import struct
import subprocess
import sys
from collections import Counter

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import RandAugment, TrivialAugmentWide, _apply_op

KINDS = ("Identity ShearX ShearY TranslateX TranslateY Rotate Brightness Color Contrast Sharpness "
         "Posterize Solarize AutoContrast Equalize Hue").split()
FACTORS = ("Brightness", "Color", "Contrast", "Sharpness")


def probe(*arguments, data=None):
    return subprocess.run(("augment-probe",) + arguments, input=data, stdout=subprocess.PIPE,
                          check=True).stdout


# ---- operations ----------------------------------------------------------------------------------

def test_images():
    """Noise, flat, dark, few values, gradients, single pixels: what the tables stumble over."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (12, 3, 32, 32))
    dim = rng.integers(100, 110, (4, 3, 32, 32))
    few = rng.choice([0, 17, 255], (4, 3, 32, 32))
    flat = np.broadcast_to(rng.integers(0, 256, (6, 3, 1, 1)), (6, 3, 32, 32))
    extremes = np.stack([np.zeros((3, 32, 32)), np.full((3, 32, 32), 255)])
    ramp = np.arange(32)
    gradient = np.stack([np.stack([ramp[None] * 8 + 0 * ramp[:, None], ramp[:, None] * 8 + 0 * ramp,
                                   (ramp[:, None] + ramp) * 4])])
    dot = np.zeros((1, 3, 32, 32))
    dot[0, :, 13, 5] = 200
    grey = np.repeat(rng.integers(0, 256, (4, 1, 32, 32)), 3, axis=1)
    return np.concatenate([noise, dim, few, flat, extremes, gradient, dot, grey]).astype(np.uint8)


def magnitudes(kind):
    """Every magnitude of the three policies, with both signs, as the augmentation table holds it."""
    if kind == "Hue":
        return sorted({float(np.float32(x)) for x in np.linspace(-0.1, 0.1, 41)} | {-0.5, 0.5})
    values = set()
    for space in (RandAugment()._augmentation_space(31, (32, 32)),
                  TrivialAugmentWide()._augmentation_space(31)):
        table, signed = space[kind]
        for value in table.reshape(-1).tolist():
            values |= {value, -value} if signed else {value}
    if kind in FACTORS:
        values = {1.0 + value for value in values} | {0.8, 0.9, 1.1, 1.2, 0.0, 2.0}
    if kind == "Rotate":
        values |= {90.0, -90.0, 180.0, -180.0, 270.0, 360.0, 45.0}
    return sorted(float(np.float32(value)) for value in values)


def theirs(image, kind, magnitude):
    if kind == "Hue":
        return F.adjust_hue(image, magnitude)
    if kind in FACTORS:
        adjust = {"Brightness": F.adjust_brightness, "Color": F.adjust_saturation,
                  "Contrast": F.adjust_contrast, "Sharpness": F.adjust_sharpness}[kind]
        return adjust(image, magnitude)
    return _apply_op(image, kind, magnitude, InterpolationMode.NEAREST, None)


def compare_ops(images):
    cases = [(kind, magnitude) for kind in KINDS for magnitude in magnitudes(kind)]
    data = b"".join(struct.pack("<Bf", KINDS.index(kind), magnitude) + image.tobytes()
                    for kind, magnitude in cases for image in images)
    ours = np.frombuffer(probe("ops", data=data), np.uint8).reshape(len(cases), *images.shape)
    pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
    wrong = Counter()
    for (kind, magnitude), mine in zip(cases, ours):
        for picture, image in zip(pictures, mine):
            expected = np.asarray(theirs(picture, kind, magnitude)).transpose(2, 0, 1)
            if not np.array_equal(expected, image):
                wrong[kind, magnitude] += 1
    for (kind, magnitude), n in sorted(wrong.items()):
        print(f"{kind} {magnitude}: {n} of {len(images)} images differ")
    print(f"{len(cases)} operations on {len(images)} images, {len(wrong)} differ")
    return not wrong


# ---- policies ------------------------------------------------------------------------------------

def chosen(policy, n):
    """Per image: list of (kind, magnitude), (erased rows, columns)."""
    for line in probe("rows", policy, str(n)).decode().splitlines():
        *ops, h, w = line.split()
        yield [(op.split(":")[0], float(op.split(":")[1])) for op in ops], (int(h), int(w))


def allowed(space, bins):
    """Probability of every (kind, magnitude) of one choice, magnitudes as our table holds them."""
    table = Counter()
    for kind, (values, signed) in space.items():
        values = values[bins].tolist() if values.ndim else [0.0]
        for value in values:
            for signed_value in ([value, -value] if signed else [value]):
                held = 1.0 + signed_value if kind in FACTORS else signed_value
                share = 1 / len(space) / len(values) / (2 if signed else 1)
                table[kind, round(held, 4)] += share
    return table


def compare_choices(name, space, bins, n_ops, n=42000):
    """Nothing outside torchvision's table, everything in it, at its frequency (chi-square)."""
    table, found = allowed(space, bins), Counter()
    for ops, _ in chosen(name, n):
        assert len(ops) == n_ops, (name, ops)
        found.update((kind, round(magnitude + 0.0, 4)) for kind, magnitude in ops)
    strangers = set(found) - set(table)
    assert not strangers, (name, sorted(strangers)[:5])
    statistic = sum((found[cell] - share * n * n_ops) ** 2 / (share * n * n_ops)
                    for cell, share in table.items())
    freedom = len(table) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom), (name, statistic, freedom)
    print(f"{name}: {len(table)} operations, chi-square {statistic:.0f} of {freedom}")


def compare_jitter(n=20000):
    """Each of the four once, in any order, uniform in its range."""
    orders, values = Counter(), {}
    for ops, _ in chosen("baseline", n):
        orders[tuple(kind for kind, _ in ops)] += 1
        for kind, value in ops:
            values.setdefault(kind, []).append(value)
    expected = n / 24
    assert len(orders) == 24
    statistic = sum((count - expected) ** 2 / expected for count in orders.values())
    assert statistic < 23 + 4 * math.sqrt(46), statistic
    for kind, (low, high) in {"Brightness": (0.8, 1.2), "Contrast": (0.8, 1.2),
                              "Color": (0.8, 1.2), "Hue": (-0.1, 0.1)}.items():
        cells, _ = np.histogram(values[kind], 20, (low, high))
        assert cells.sum() == n
        assert ((cells - n / 20) ** 2 / (n / 20)).sum() < 19 + 4 * math.sqrt(38), (kind, cells)
    print(f"baseline: 24 orders, chi-square {statistic:.0f} of 23")


def compare_boxes(name, probability, n=20000):
    """The share of erased images, and the sizes of the boxes against torchvision's own draws."""
    ours = Counter(box for _, box in chosen(name, n) if box[0])
    share = sum(ours.values()) / n
    assert abs(share - probability) < 4 * math.sqrt(probability / n), (name, share)
    torch.manual_seed(1)
    eraser, blank, reference = transforms.RandomErasing(p=1.0), torch.ones(1, 32, 32), Counter()
    n_reference = 20000
    for _ in range(n_reference):
        *_, h, w, _ = eraser.get_params(blank, eraser.scale, eraser.ratio, [0.0])
        reference[h, w] += 1
    # Two-sample chi-square over heights, widths and areas in coarse cells.
    for measure in (lambda b: b[0] // 3, lambda b: b[1] // 3, lambda b: b[0] * b[1] // 40):
        a, b = Counter(), Counter()
        for box, count in ours.items():
            a[measure(box)] += count
        for box, count in reference.items():
            b[measure(box)] += count
        na, nb = sum(a.values()), sum(b.values())
        cells = [cell for cell in set(a) | set(b) if a[cell] + b[cell] >= 10]
        statistic = sum((a[c] * math.sqrt(nb / na) - b[c] * math.sqrt(na / nb)) ** 2
                        / (a[c] + b[c]) for c in cells)
        assert statistic < len(cells) + 4 * math.sqrt(2 * len(cells)), (name, statistic, len(cells))
    print(f"{name}: {share:.3f} of the images erased, box sizes as torchvision's")


def compare_policies():
    rand = RandAugment()._augmentation_space(31, (32, 32))
    compare_choices("light", rand, slice(9, 10), 2)
    compare_choices("strong", rand, slice(14, 15), 3)
    compare_choices("sota", TrivialAugmentWide()._augmentation_space(31), slice(None), 1)
    compare_jitter()
    for name, probability in {"light": 0.1, "baseline": 0.25, "strong": 0.3, "sota": 0.25}.items():
        compare_boxes(name, probability)
    for name in ("none", "basic"):
        assert all(not ops and box == (0, 0) for ops, box in chosen(name, 1000))
    return True


def main():
    mode = sys.argv[1]
    if mode == "ops":
        images = test_images()
        if len(sys.argv) > 2:
            images = np.concatenate([images, np.fromfile(sys.argv[2], np.uint8)
                                     .reshape(-1, 3, 32, 32)])
        ok = compare_ops(images)
    else:
        ok = compare_policies()
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
