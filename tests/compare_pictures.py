"""compare_pictures.py WHAT: makes pictures in this folder and compares what fit-picture makes of each
with what torchvision makes of it."""

import subprocess
import sys

import numpy
from PIL import Image, ImageOps
from torchvision import transforms

random = numpy.random.default_rng(1)
SIZES = [(32, 32), (33, 32), (32, 77), (100, 100), (1, 1), (1, 500), (640, 3), (321, 241), (31, 33)]
SIZES += [(20, 10), (35, 32), (37, 33), (37, 200), (200, 37)]
ORIENTATION = 0x112


def fit(picture):
    """Along the width first, as Pillow did before version 13."""
    width, height = picture.size
    if height > width:
        picture = picture.resize((32, height), Image.Resampling.BILINEAR)
        picture = picture.resize((32, 32 * height // width), Image.Resampling.BILINEAR)
    return transforms.CenterCrop(32)(transforms.Resize(32)(picture))


def photo(width, height, n_channels=3):
    """Waves and noise, so that every pixel and rounding matters."""
    y, x = numpy.mgrid[0:height, 0:width]
    waves = [128 + 100 * numpy.sin(x / (3 + c) + y / (7 - c)) for c in range(n_channels)]
    noise = random.normal(0, 15, (height, width, n_channels))
    return numpy.clip(numpy.stack(waves, -1) + noise, 0, 255).astype(numpy.uint8)


def sizes():
    for i, (width, height) in enumerate(SIZES):
        for suffix in ("png", "jpg"):
            Image.fromarray(photo(width, height)).save(f"{i}.{suffix}", quality=85)
            yield f"{i}.{suffix}"


def colours():
    picture = Image.fromarray(photo(131, 90))
    alpha = Image.fromarray(photo(131, 90, 1)[:, :, 0])
    for mode in ("L", "LA", "RGBA", "P", "1"):
        other = picture.convert(mode)
        if mode in ("LA", "RGBA"):
            other.putalpha(alpha)
        other.save(f"{mode}.png")
        yield f"{mode}.png"
    picture.convert("P").save("transparent.png", transparency=3)
    yield "transparent.png"
    for name, mode, options in (
        ("grey", "L", {}),
        ("ink", "CMYK", {}),
        ("progressive", "RGB", {"progressive": True}),
        ("full", "RGB", {"subsampling": 0, "quality": 100}),
    ):
        picture.convert(mode).save(f"{name}.jpg", **options)
        yield f"{name}.jpg"


def orientations():
    picture = Image.fromarray(photo(131, 90))
    for turn in range(10):  # two that mean nothing among them
        for suffix in ("png", "jpg"):
            exif = picture.getexif()
            exif[ORIENTATION] = turn
            picture.save(f"{turn}.{suffix}", exif=exif)
            yield f"{turn}.{suffix}"


def sixteen_bits():
    """Pillow does not keep 16 bits of grey; a picture of their high bytes is what is meant."""
    grey = photo(131, 90, 1)[:, :, 0]
    Image.fromarray(grey.astype(numpy.uint16) * 256 + 255).save("grey16.png")
    Image.fromarray(grey).save("grey8.png")
    return made("grey16.png"), made("grey8.png")


def made(path):
    pixels = subprocess.check_output(["fit-picture", path])
    return numpy.frombuffer(pixels, numpy.uint8).reshape(3, 32, 32)


def main():
    n = 0
    for path in {"sizes": sizes, "colours": colours, "orientations": orientations}[sys.argv[1]]():
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        wanted = numpy.asarray(fit(picture)).transpose(2, 0, 1)
        assert (made(path) == wanted).all(), path
        n += 1
    if sys.argv[1] == "colours":
        high, whole = sixteen_bits()
        assert (high == whole).all()
    print(n, "pictures are the same")


main()
