#!/usr/bin/env bats
# .pth files both ways between PyTorch and the tools: see pth_roundtrip.py.

load ../helper

setup_file() {
    PYTHON=$(torch_python)
    export PYTHON PYTHONDONTWRITEBYTECODE=1
}

check() {
    [ -n "$PYTHON" ] || skip "no PyTorch"
    run -0 "$PYTHON" "$ROOT/tests/torch/pth_roundtrip.py" "$1"
    echo "$output"
}

@test "torch loads what ckpt-split writes, also with weights_only" {
    check ours
}

@test "a whole model of PyTorch goes through ckpt-join and ckpt-split and back" {
    check whole
}

@test "what torch.save writes is read: views, dtypes, modules, wrappers, both containers" {
    check theirs
}

@test "published checkpoints are read value by value" {
    skip_without PTH_SAMPLES
    check samples
}
