"""read_tensorboard.py FILE: print the events of a TensorBoard event file, one value a line.

Framing, CRC-32C and protobuf are read with the standard library, from their descriptions
(lib/track/tensorboard.h).  Where the file is cut off, what is whole is printed, and "cut at BYTE".
"""
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def check(data, stored):
    crc = crc32c(data)
    masked = ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked == stored, "checksum"


def fields(data):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        n = {1: 8, 5: 4}.get(kind) or varint()
        yield key >> 3, data[at:at + n]
        at += n
    assert at == len(data), "a field is cut off"


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        if len(data) - at < 12:
            return print("cut at", at)
        n, crc = struct.unpack_from("<QI", data, at)
        check(data[at:at + 8], crc)
        if len(data) - at < 16 + n:
            return print("cut at", at)
        payload = data[at + 12:at + 12 + n]
        check(payload, struct.unpack_from("<I", data, at + 12 + n)[0])
        at += 16 + n
        event = dict(fields(payload))
        time, step = struct.unpack("<d", event[1])[0], event.get(2, 0)
        if 3 in event:
            print(f"{time:.0f} version {event[3].decode()}")
        for _, value in fields(event.get(5, b"")):
            value = dict(fields(value))
            number = struct.unpack("<f", value[2])[0]
            print(f"{time:.0f} {step} {value[1].decode()} {number:.6g}")


main(sys.argv[1])
