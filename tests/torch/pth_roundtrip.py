"""pth_roundtrip.py CHECK: .pth files both ways between PyTorch and the tools (on the PATH), in the
current folder.  The checks:

    ours     what ckpt-split writes: torch.load with and without weights_only, strict load_state_dict
    whole    a whole model of PyTorch through ckpt-join and ckpt-split and back, for every fusion
    theirs   what torch.save writes, in both containers: views, dtypes, modules, wrappers
    samples  the files in the folder PTH_SAMPLES, value by value
"""

import argparse
import glob
import json
import os
import struct
import subprocess
import sys

import numpy as np
import torch
from torch import nn

import models

FUSIONS = sorted(models.FUSIONS)
SMALL = {
    "densenet": "densenet121:growth=8,blocks=2-2-2-2",
    "resnet": "resnet18:width=8,blocks=1-1-1-1",
    "improved_wide_resnet": "improved_wideresnet28_10:depth=10,width=1",
    "resnext": "preact_resnext29_8x64d:depth=11,cardinality=2,base_width=8",
}
NAMES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64",
}  # fmt: skip


def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout


def fusion_model(arch, fusion, seed):
    torch.manual_seed(seed)
    model = models.FusionModel(arch, fusion)
    models.randomise(model, seed)
    return model


def same(got, expected):
    """Two state dicts: names in order, dtypes, shapes, bits."""
    assert list(got) == list(expected), (list(got)[:3], list(expected)[:3])
    for name, value in expected.items():
        assert got[name].dtype == value.dtype and got[name].shape == value.shape, name
        assert torch.equal(got[name], value), name


def load_both(path):
    """torch.load as data and as a program must give the same."""
    data = torch.load(path, weights_only=True)
    same(torch.load(path, weights_only=False), data)
    return data


def components(model, folder, family, fusion):
    """(file, module) of the mission's layout."""
    for k, expert in enumerate(model.expert_backbones):
        yield f"{folder}/experts/{family}_expert_{k}_best.pth", expert
    yield f"{folder}/fusion/{family}_{fusion}_fusion_best.pth", model.fusion_module
    yield f"{folder}/global/{family}_{fusion}_global_head_best.pth", model.global_head


def check_ours():
    for family, arch in SMALL.items():
        run("expert-load", "--quiet", "--init", "3", "--arch", arch, "-o", "e.safetensors")
        run("ckpt-split", "--quiet", "-d", family, "e.safetensors")
        for k in range(4):
            path = f"{family}/experts/{family}_expert_{k}_best.pth"
            expert = models.make_expert(arch)
            expert.load_state_dict(load_both(path), strict=True)
            same(expert.state_dict(), load_both(path))
            with open(path.replace(".pth", ".json"), encoding="utf-8") as file:
                assert json.load(file)["arch"] == arch
        print(family, len(expert.state_dict()), "tensors")


def check_whole():
    for family, arch in SMALL.items():
        for seed, fusion in enumerate(FUSIONS):
            model, folder = fusion_model(arch, fusion, seed), f"{family}-{fusion}"
            wrapped = {"model_state_dict": nn.DataParallel(model).state_dict(), "epoch": 7,
                       "val_accuracy": np.float64(80.5)}  # fmt: skip
            torch.save(wrapped, "whole.pth")
            options = ["--quiet", "--arch", arch, "--fusion", fusion]
            run("ckpt-join", *options, "-o", "whole.safetensors", "whole.pth")
            run("ckpt-split", "--quiet", "-d", folder, "whole.safetensors")
            other, files = fusion_model(arch, fusion, seed + 100), []
            for path, module in components(other, folder, family, fusion):
                module.load_state_dict(load_both(path), strict=True)
                files.append(path)
            same(other.state_dict(), model.state_dict())
            with open(files[0].replace(".pth", ".json"), encoding="utf-8") as file:
                said = json.load(file)
            assert said["epoch"] == 7 and said["val_accuracy"] == 80.5, said
            run("ckpt-join", *options, "-o", "again.safetensors", *files)
            assert tensors("again.safetensors") == tensors("whole.safetensors")
        print(family, len(model.state_dict()), "tensors, fusions:", *FUSIONS)


# ---- what torch.save writes


def tensors(path):
    """{name: (dtype, shape, bytes)} of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    (n,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + n])
    head.pop("__metadata__", None)
    return {
        name: (v["dtype"], v["shape"], data[8 + n :][slice(*v["data_offsets"])])
        for name, v in head.items()
    }


def raw(value):
    value = value.detach().contiguous()
    if value.dtype == torch.bfloat16:
        value = value.view(torch.int16)
    return value.numpy().tobytes()


def expect_read(path, expected):
    """pth-dump (tests/pth-dump.c) writes what the reader found as safetensors, in any dtype."""
    run("pth-dump", path, "dump.safetensors")
    got = tensors("dump.safetensors")
    assert set(got) == set(expected), set(got) ^ set(expected)
    for name, value in expected.items():
        assert got[name] == (NAMES[value.dtype], list(value.shape), raw(value)), name
    # The listing keeps the order of the file, which safetensors does not.
    listed = run("expert-load", "--list", path).decode().splitlines()
    assert [line.split("\t")[0] for line in listed] == list(expected)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.seq = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2, bias=False))
        self.register_buffer("scratch", torch.zeros(2), persistent=False)
        self.scale = nn.Parameter(torch.randn(3))


def views():
    base = torch.randn(6, 8)
    found = {
        "base": base, "transposed": base.t(), "strided": base[1:5:2, ::3], "row": base[2],
        "expanded": torch.randn(1, 5).expand(4, 5), "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3), "tied": base,
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }  # fmt: skip
    for dtype, name in NAMES.items():
        found["dtype." + name] = (torch.randn(3, 2) * 5).to(dtype)
    return found


def check_theirs():
    torch.manual_seed(1)
    net, found = Net(), views()
    state, beside = net.state_dict(), {"acc": np.float32(0.25), "args": argparse.Namespace(x=1)}
    adam = torch.optim.Adam(net.parameters())
    cases = [
        ("views", found, found),
        ("state", state, state),
        ("parameters", dict(net.named_parameters()), dict(net.named_parameters())),
        ("module", net, state),
        ("module-under-net", {"net": net, **beside}, state),
        ("wrapped", {"state_dict": state, "optimizer": adam.state_dict(), **beside}, state),
        ("parallel", {"model": nn.DataParallel(net).state_dict()}, state),
        ("compiled", {"module._orig_mod." + k: v for k, v in state.items()}, state),
        ("averaged", torch.optim.swa_utils.AveragedModel(net).state_dict(), state),
        (
            "list",
            [found["base"], {"x": (found["row"],)}],
            {"0": found["base"], "1.x.0": found["row"]},
        ),
        ("bare", found["base"], {"tensor": found["base"]}),
    ]
    for name, content, expected in cases:
        for is_zip in (True, False):
            for protocol in (2, 4):
                torch.save(content, "x.pth", pickle_protocol=protocol,
                           _use_new_zipfile_serialization=is_zip)  # fmt: skip
                expect_read("x.pth", expected)
        print(name, len(expected), "tensors")


def check_samples():
    count = 0
    for path in sorted(glob.glob(os.environ["PTH_SAMPLES"] + "/*")):
        state = torch.load(path, map_location="cpu")
        for key in ("model_state_dict", "state_dict", "net", "model"):
            state = state[key] if isinstance(state.get(key), dict) else state
        for prefix in ("module.", "_module."):
            if all(name.startswith(prefix) for name in state):
                state = {name[len(prefix) :]: value for name, value in state.items()}
        expect_read(path, state)
        print(os.path.basename(path), len(state), "tensors")
        count += 1
    assert count > 0


globals()["check_" + sys.argv[1]]()
