"""forge_state.py FILE MEMBER VALUE: last.safetensors with another value in its state, and a checksum that fits."""

import json
import struct
import sys
import zlib


def tensor_crc(crc, name, dtype, shape, content):
    for part in (name.encode() + b"\0", dtype.encode() + b"\0", struct.pack(f"<{len(shape)}q", *shape), content):
        crc = zlib.crc32(part, crc)
    return crc


def pair_crc(key, value):
    return zlib.crc32(value.encode(), zlib.crc32(key.encode() + b"\0"))


def forged(content, member, value):
    end = 8 + struct.unpack("<Q", content[:8])[0]
    tensors = json.loads(content[8:end])
    meta = tensors.pop("__metadata__")
    header, body, crc = {"__metadata__": meta}, b"", 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = tensor["data_offsets"]
        data, shape = content[end + first : end + last], tensor["shape"]
        if name == "train.state":
            state = json.loads(data)
            state["state"][member] = value
            data = json.dumps(state).encode()
            shape = [len(data)]
        if name == "train.state_crc32":
            for key in meta.keys() - {"format"}:
                crc ^= pair_crc(key, meta[key])
            data = struct.pack("<I", crc)
        crc = tensor_crc(crc, name, tensor["dtype"], shape, data)
        header[name] = {"dtype": tensor["dtype"], "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


path, member, value = sys.argv[1:]
with open(path, "r+b") as file:
    content = forged(file.read(), member, json.loads(value))
    file.seek(0)
    file.write(content)
    file.truncate()
