#!/usr/bin/env bats
# Our checkpoints are PyTorch's: strict loading of the whole and of every component .pth, also with
# weights_only=True, the same logits, and the way back.

load ../helper
load surroundings

setup_file() {
    with_torch 40 16
}

# trained FAMILY ARCH FUSION OPTION...: two steps of training, then there and back.
trained() {
    expert-load --arch "$2" --init 5 |
        fusion-train --fusion "$3" --data "$DATA" --checkpoint-dir run --epochs 2 --batch 4 \
            --augment none --device "$DEVICE" "${@:4}" >metrics.jsonl
    judge trained_logits --family "$1" --checkpoint run/best.safetensors \
        --device "$DEVICE"
}

@test "a trained small ResNet with multiplicativeAddition" {
    trained resnet "$SMALL_RESNET" multiplicativeAddition
}

@test "a trained small DenseNet with multiplicative" {
    trained densenet "$SMALL_DENSENET" multiplicative
}

@test "a trained small wide ResNet with TransformerBase" {
    trained improved_wide_resnet "$SMALL_WIDERESNET" TransformerBase
}

@test "a trained small DenseNet with gated" {
    trained densenet "$SMALL_DENSENET" gated
}

@test "a trained small ResNet with a product beside the experts' mean" {
    trained resnet "$SMALL_RESNET" multiplicative --recipe ensemble
}

@test "a trained small ResNeXt with concatenation" {
    trained resnext "$SMALL_RESNEXT" concatenation
}

@test "a trained small pre-activation ResNet with simpleAddition" {
    trained preact_resnet "$SMALL_PREACT_RESNET" simpleAddition
}
