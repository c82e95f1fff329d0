"""make_bad_pictures.py: pictures that must be refused, into this folder, without a library for them."""

import base64
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# 8 x 8 grey pixels, of 1 scan.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIx"
    "wcKDcpLDAxNDQ0Hyc5PTgyPC4zNDL/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL"
    "/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJi"
    "coKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ip"
    "qrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/AMOv/9k="
)
SOF = JPEG.index(b"\xff\xc0")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, lines):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def sized(width, height):
    """The JPEG that says it has so many pixels."""
    return JPEG[: SOF + 5] + struct.pack(">HH", height, width) + JPEG[SOF + 9 :]


def many_scans():
    """A progressive one of 150 scans of one coefficient, none of which has bits."""
    head = JPEG.index(b"\xff\xda")
    tables = JPEG[:SOF] + b"\xff\xc2" + JPEG[SOF + 2 : head]
    first = b"\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00" + b"\x00"
    again = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x00" + b"\x00"
    return tables + first + again * 150 + b"\xff\xd9"


good = png(40, 40, bytes(41) * 40)
damaged = bytearray(good)
damaged[20] ^= 1
files = {
    "cut.png": good[: len(good) // 2],
    "cut.jpg": JPEG[:-6],
    "header.jpg": JPEG[:100],
    "crc.png": bytes(damaged),
    "bomb.png": png(100000, 100000, bytes(1000)),
    "bomb.jpg": sized(65500, 65500),
    "empty.png": b"",
    "zero.png": png(0, 5, b""),
    "zero.jpg": sized(5, 0),
    "text.png": b"a cow\n",
    "picture.gif": b"GIF89a" + bytes(20),
    "noise.jpg": JPEG[:30] + bytes(range(255, 0, -1)),
    "scans.jpg": many_scans(),
}
if __name__ == "__main__":
    for name, content in files.items():
        with open(name, "wb") as out:
            out.write(content)
