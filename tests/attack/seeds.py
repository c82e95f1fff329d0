"""seeds.py DIR: inputs for parsers.c to begin with: files of tests/bad, and some that are read."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bad"))
import npy  # noqa: E402
import pth_pickle  # noqa: E402
import pth_stream  # noqa: E402
import pth_zip  # noqa: E402
import safetensors  # noqa: E402
from torchfile import STATE, pth, stream  # noqa: E402

PTH, SAFETENSORS, PICKLE, NPY = range(4)
GOOD = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
BYTES_MAX = 20000

seeds = [(PTH, pth()), (PTH, stream(STATE)), (PICKLE, STATE)]
seeds.append((SAFETENSORS, safetensors.file(GOOD.encode(), bytes(8))))
for kind, module in (
    (PTH, pth_pickle),
    (PTH, pth_zip),
    (PTH, pth_stream),
    (SAFETENSORS, safetensors),
    (NPY, npy),
):
    seeds += [(kind, case[1]) for case in module.cases()]
os.makedirs(sys.argv[1], exist_ok=True)
for i, (kind, data) in enumerate(seeds):
    if len(data) < BYTES_MAX:
        with open(os.path.join(sys.argv[1], str(i)), "wb") as out:
            out.write(bytes([kind]) + data)
