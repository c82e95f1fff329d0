#!/usr/bin/env bats
# python/fusion_models.py: load() gives the tools' model from every form in which they write one.
# That its logits are those of fusion-eval, for each family and fusion, is in logits.bats.

load ../helper
load surroundings

setup_file() {
    with_torch 40 16
}

load_with() { # ARCH [FUSION]
    judge compare_loader --arch "$1" ${2:+--fusion "$2"}
}

@test "a small ResNet: checkpoint, folders and one expert, with each fusion" {
    load_with "$SMALL_RESNET"
}

@test "the other families: checkpoint, folders and one expert" {
    load_with "$SMALL_DENSENET" concatenation
    load_with "$SMALL_WIDERESNET" multiplicative
    load_with "$SMALL_RESNEXT" TransformerBase
    load_with "$SMALL_PREACT_RESNET" gated
}

@test "experts of four families: checkpoint, folders and one expert" {
    load_with "$MIXED" simpleAddition
}

# refused LINE PYTHON: load() raises a ValueError whose text is like LINE (a glob).
refused() {
    local said
    said=$("$PYTHON" -c "import sys; sys.path.insert(0, '$ROOT/python')
from fusion_models import load
try:
    $2
except ValueError as why:
    print(why)
else:
    print('taken')")
    # shellcheck disable=SC2053
    [[ $said == $1 ]] || fail "expected: $1
     said: $said"
}

@test "what cannot be loaded is refused in one line" {
    expert-load -q --arch resnet18:width=4,blocks=1-1-1-1 --init 1 -o experts
    printf x >short
    head -c -100 experts >torn
    mkdir empty
    ckpt-split -q -d parts experts
    cp -r parts experts-3
    rm experts-3/experts/*_2_best.pth
    mkdir -p pipe/experts
    mkfifo pipe/experts/resnet_expert_0_best.pth
    rm parts/experts/*.json
    cp -r parts twice
    ckpt-split -q --format safetensors -d twice experts
    refused "short: not a safetensors file, or the beginning of one" 'load("short")'
    refused "torn: *: shape and place do not fit, or the file is cut off" 'load("torn")'
    refused "empty: no experts/\*.pth, fusion/\*.pth and global/\*.pth in it" 'load("empty")'
    refused "parts: does not say its architecture: load(..., arch=...)" 'load("parts")'
    refused "twice/experts/*: expert_backbones.0 is there twice" 'load("twice")'
    refused "experts-3: no tensors of expert_backbones.2" 'load("experts-3")'
    refused "pipe/experts/*: is no regular file" 'load("pipe")'
    refused "architecture resnet: not one of resnet18, *" 'load("parts", arch="resnet")'
    refused "fusion sum: not one of multiplicative, *" 'load("experts", fusion="sum")'
    refused "experts: does not say mean and std: *" 'load("experts", normalise=True)'
}
