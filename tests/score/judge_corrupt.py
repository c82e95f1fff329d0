"""judge_corrupt.py DATA CORRUPTED: what cifar-corrupt made of the test images, beside the formulas of the
benchmark in numpy, scipy and Pillow.  What is drawn is compared by its mean and deviation."""

import io
import sys

import numpy as np
from files import Judge, tensors
from PIL import Image
from scipy.ndimage import correlate, zoom

OFF_BY_ONE = 0.002  # of the bytes: where the last digit decides on which side of a whole number


def disc(radius, sigma):
    y, x = np.mgrid[-8:9, -8:9]
    disc = (x * x + y * y <= radius * radius).astype(float)
    g = np.exp(-np.arange(-1, 2) ** 2 / (2 * sigma * sigma))
    return correlate(disc / disc.sum(), np.outer(g, g) / np.outer(g, g).sum(), mode="constant")


def defocus_blur(x, s):
    kernel = disc(*[(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)][s])
    return np.dstack([correlate(x[..., c], kernel, mode="mirror") for c in range(3)])


def clipped_zoom(x, factor):
    cut = int(np.ceil(32 / factor))
    top = (32 - cut) // 2
    x = zoom(x[top:top + cut, top:top + cut], (factor, factor, 1), order=1)
    trim = (x.shape[0] - 32) // 2
    return x[trim:trim + 32, trim:trim + 32]


def zoom_blur(x, s):
    factors = np.arange(1, [1.06, 1.11, 1.16, 1.21, 1.26][s], 0.01)
    return (x + sum(clipped_zoom(x, f) for f in factors)) / (len(factors) + 1)


def brightness(x, s):
    value = x.max(2, keepdims=True)
    brighter = np.minimum(value + [0.05, 0.1, 0.15, 0.2, 0.3][s], 1)
    return np.where(value > 0, x / np.maximum(value, 1e-9) * brighter, brighter)


def contrast(x, s):
    mean = x.mean((0, 1), keepdims=True)
    return (x - mean) * [0.75, 0.5, 0.4, 0.3, 0.15][s] + mean


def pixelate(image, s):
    side = int(32 * [0.95, 0.9, 0.85, 0.75, 0.65][s])
    return image.resize((side, side), Image.BOX).resize((32, 32), Image.BOX)


def jpeg_compression(image, s):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=[80, 65, 58, 50, 40][s])
    return Image.open(file)


def judge_exact(judge, images, made):
    for name in ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"):
        for s in range(5):
            for i, image in enumerate(images):
                if name in ("pixelate", "jpeg_compression"):
                    expected = np.array(globals()[name](Image.fromarray(image), s))
                else:
                    expected = (np.clip(globals()[name](image / 255.0, s), 0, 1) * 255).astype(np.uint8)
                off = abs(expected.astype(int) - made[name][s, i])
                # JPEG is the library's: of another version a value may round differently.
                most = 0.02 if name == "jpeg_compression" else OFF_BY_ONE
                assert off.max() <= 1 and (off > 0).mean() <= most, (name, s + 1, i, off.max(), (off > 0).mean())
                judge.n += 1


def judge_noise(judge, images, made):
    x = images / 255.0
    middle = (x > 0.4) & (x < 0.6)
    for s in range(5):
        noise = (made["gaussian_noise"][s] + 0.5) / 255 - x
        judge.near("gaussian", noise[middle].std(), [0.04, 0.06, 0.08, 0.09, 0.10][s], 0.03)
        judge.near("gaussian", noise[middle].mean(), 0, 0.002)
        noise = (made["shot_noise"][s] + 0.5) / 255 - x
        judge.near("shot", (noise / np.sqrt(np.maximum(x, 1e-9)))[middle].std(),
                   1 / np.sqrt([500, 250, 100, 75, 50][s]), 0.03)
        judge.near("shot", noise[middle].mean(), 0, 0.002)
        part = [0.01, 0.02, 0.03, 0.05, 0.07][s]
        changed = made["impulse_noise"][s] != images
        judge.near("impulse", changed.mean(), part, 0.003)
        salt = made["impulse_noise"][s][changed]
        assert set(salt) == {0, 255}
        judge.near("salt", (salt == 255).mean(), 0.5, 0.05)


def judge_fog(judge, images, made):
    """Solved for the fog: the same on the three channels, from 0 to 1."""
    x = images / 255.0
    for s in range(5):
        c = [0.2, 0.5, 0.75, 1, 1.5][s]
        top = x.max((1, 2, 3), keepdims=True)
        fog = ((made["fog"][s] + 0.5) / 255 * (top + c) / top - x) / c
        one = 1.5 / 255 * (1 + c) / c
        assert np.ptp(fog, -1).max() <= 2 * one, s
        assert fog.min() >= -one and fog.max() <= 1 + one, s
        for i in range(len(x)):
            assert fog[i].min() <= one and fog[i].max() >= 1 - one, (s, i)
            judge.n += 1
        # Neighbours are near each other: it is no noise.
        steps = abs(np.diff(fog.mean(-1), axis=1)).mean()
        assert steps < 0.5 * fog.mean(-1).std(), (s, steps)


def main():
    _, data = tensors(sys.argv[1])
    _, made = tensors(sys.argv[2])
    n = len(made["test.fine"])
    planes = lambda a: np.moveaxis(a, -3, -1)
    images = np.ascontiguousarray(planes(data["test.images"][:n]))
    made = {name.split(".")[1]: planes(a) for name, a in made.items() if name.startswith("corrupted.")}
    assert len(made) == 10, sorted(made)
    judge = Judge()
    judge_exact(judge, images[:20], {name: a[:, :20] for name, a in made.items()})
    judge_noise(judge, images, made)
    judge_fog(judge, images, made)
    judge.end()


main()
