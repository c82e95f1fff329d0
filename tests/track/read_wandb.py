"""read_wandb.py LOG: print the records of a W&B transaction log as protoc decodes them.

The framing is read with the standard library from its description (wandb_log_internal.h has the source) and
checked to the last bit; where the log is cut off, what is whole is printed, and "cut at BYTE".
"""
import os
import struct
import subprocess
import sys
import zlib

BLOCK, HEAD = 32768, 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def chunks(data):
    """Yields (type, payload); raises EOFError where a chunk is not all there."""
    at = HEAD
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            assert data[at:at + left].strip(b"\0") == b"", f"no zeros before byte {at + left}"
            at += left
            continue
        if len(data) - at < 7:
            raise EOFError(at)
        crc, length, kind = struct.unpack_from("<IHB", data, at)
        assert 7 + length <= left, f"chunk at {at} crosses a block"
        if len(data) - at < 7 + length:
            raise EOFError(at)
        payload = data[at + 7:at + 7 + length]
        assert zlib.crc32(bytes([kind]) + payload) == crc, f"checksum of the chunk at {at}"
        yield kind, payload
        at += 7 + length


def records(data):
    parts = None
    for kind, payload in chunks(data):
        assert (parts is None) == (kind in (WHOLE, FIRST)), f"type {kind} in a wrong place"
        parts = (parts or b"") + payload
        if kind in (WHOLE, LAST):
            yield parts
            parts = None
    if parts is not None:
        raise EOFError(len(data))


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:HEAD] == b":W&B\xe1\xbe\0", "no W&B log"
    log, cut = b"", None
    try:
        for record in records(data):
            log += b"\x0a" + varint(len(record)) + record
    except EOFError as where:
        cut = where
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(["protoc", "-I", here, "--decode=wandb_internal.Log", f"{here}/wandb.proto"],
                   input=log, check=True)
    if cut is not None:
        print("cut at", cut)


main(sys.argv[1])
