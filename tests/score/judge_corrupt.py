"""judge_corrupt.py DATA CORRUPTED: what cifar-corrupt made of the test images, beside the formulas of the
benchmark in numpy, scipy and Pillow.  Noise and fog are compared by what is known of their distribution, what
moves pixels with the same random numbers."""

import io
import sys

import numpy as np
from files import Judge, tensors
from PIL import Image
from scipy.ndimage import correlate, gaussian_filter, map_coordinates, zoom

SEED = 42
OFF_BY_ONE = 0.005  # of the bytes: where the last digit decides on which side of a whole number


def drawn(corruption, s, number, n):
    """The first n uniform numbers of an image: Philox4x32-10."""
    u64 = np.uint64
    c = np.zeros((4, -(-n // 4)), u64)
    c[0], c[2], c[3] = 10 << 24 | corruption << 16 | s + 1, number, np.arange(c.shape[1])
    low, half = u64(0xffffffff), u64(32)
    for i in range(10):
        p, q = c[0] * u64(0xD2511F53), c[2] * u64(0xCD9E8D57)
        keys = u64(SEED + i * 0x9E3779B9 & 0xffffffff), u64(i * 0xBB67AE85 & 0xffffffff)
        c = np.array([q >> half ^ c[1] ^ keys[0], q & low, p >> half ^ c[3] ^ keys[1], p & low])
    return (c.T.reshape(-1)[:n].astype(float) + 0.5) / 2 ** 32


def glass_blur(x, s, number):
    sigma, rounds = [(0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)][s]
    smooth = lambda x: gaussian_filter(x, (sigma, sigma, 0), mode="nearest")
    image = (smooth(x) * 255).astype(np.uint8)
    steps = iter(np.where(drawn(10, s, number, rounds * 1800) < 0.5, -1, 0).reshape(-1, 2))
    for _ in range(rounds):
        for h in range(31, 1, -1):
            for w in range(31, 1, -1):
                dx, dy = next(steps)
                image[h, w] = image[h + dy, w + dx]
    return smooth(image / 255.0)


def motion_blur(x, s, number):
    radius, sigma = [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)][s]
    angle = np.radians(drawn(11, s, number, 1)[0] * 90 - 45)
    k = np.arange(2 * radius + 1)
    weights = np.exp(-k ** 2 / (2 * sigma ** 2))
    weights /= weights.sum()
    wide = np.pad(x, ((20, 20), (20, 20), (0, 0)), "edge")
    blurred = 0
    for i in k:
        dx, dy = (int(np.ceil(i * side - 0.5)) for side in (np.cos(angle), np.sin(angle)))
        blurred = blurred + weights[i] * wide[20 + dy:52 + dy, 20 + dx:52 + dx]
    return (np.rint(blurred * 65535) + 0.5) / 65535  # ImageMagick: rounded to 16 bits, then cut off


def elastic_transform(x, s, number):
    alpha, sigma, most = [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
                          (0.1, 0.03, 0.03)][s]
    u = 2 * drawn(12, s, number, 6 + 2048) - 1
    # The corners (x, y) of a square move, and the image with them; the inverse map in steps of 1/32, its two
    # terms in steps of 1/1024, as in OpenCV.
    corners = np.array([[26, 26, 1], [26, 6, 1], [6, 6, 1]])
    moved = np.c_[corners[:, :2] + 32 * most * u[:6].reshape(3, 2), np.ones(3)]
    back = np.linalg.solve(moved, corners[:, :2])
    y, xx = np.mgrid[:32, :32]
    terms = np.rint(1024 * xx[..., None] * back[0]) + np.rint(1024 * (y[..., None] * back[1] + back[2]))
    at = (terms + 16) // 32 / 32
    x = np.dstack([map_coordinates(x[..., c], [at[..., 1], at[..., 0]], order=1, mode="mirror") for c in range(3)])
    smooth = lambda field: gaussian_filter(field.reshape(32, 32), 32 * sigma, mode="reflect", truncate=3)
    dx, dy = (32 * alpha * smooth(field) for field in (u[6:1030], u[1030:]))
    return np.dstack([map_coordinates(x[..., c], [y + dy, xx + dx], order=1, mode="reflect") for c in range(3)])


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


def expected_of(name, s, number, image):
    formula = globals()[name]
    if name in ("pixelate", "jpeg_compression"):
        return np.array(formula(Image.fromarray(image), s))
    x = image / 255.0
    moves = name in ("glass_blur", "motion_blur", "elastic_transform")
    return (np.clip(formula(x, s, number) if moves else formula(x, s), 0, 1) * 255).astype(np.uint8)


def judge_exact(judge, images, made):
    for name in ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "brightness", "contrast",
                 "elastic_transform", "pixelate", "jpeg_compression"):
        for s in range(5):
            for i, image in enumerate(images):
                expected = expected_of(name, s, i, image)
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
    assert len(made) == 13, sorted(made)
    judge = Judge()
    judge_exact(judge, images[:20], {name: a[:, :20] for name, a in made.items()})
    judge_noise(judge, images, made)
    judge_fog(judge, images, made)
    judge.end()


main()
