#!/usr/bin/env bats
# Optimiser steps are PyTorch's: losses, gradient norm, every gradient, the trained model, at rates
# where AdamW does not amplify rounding.  20 images in batches of 8: the third batch is a partial
# one.

# shellcheck disable=SC2030,SC2031  # one test has a device of its own
load ../helper
load surroundings

TINY_RESNET=resnet18:width=8,blocks=1-1-1-1
TINY_DENSENET=densenet121:growth=8,blocks=1-1-2-1
TINY_WIDERESNET=improved_wideresnet28_10:depth=10,width=1
TINY_RESNEXT=preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=8
TINY_PREACT_RESNET=preact_resnet18:width=8,blocks=1-1-1-1

setup_file() {
    with_torch 100 6
}

# each_fusion ARCH OPTION...: four steps with each fusion.
each_fusion() {
    need_fast
    # shellcheck disable=SC2046,SC2086
    judge compare_steps --arch "$1" $(printf -- '--fusion %s ' $FUSIONS) --steps 4 --threads 1 \
        --device "$DEVICE" "${@:2}"
}

# knobs ARCH FUSION OPTION...: a few steps of a small network, compared with float64.
knobs() {
    judge compare_steps --arch "$1" --fusion "$2" --device "$DEVICE" --threads 1 --double \
        "${@:3}"
}

@test "small ResNet: four steps with each fusion" {
    each_fusion "$SMALL_RESNET"
}

@test "small DenseNet: four steps with each fusion" {
    each_fusion "$SMALL_DENSENET"
}

@test "small wide ResNet: four steps with each fusion" {
    each_fusion "$SMALL_WIDERESNET"
}

@test "small ResNeXt: four steps with each fusion" {
    each_fusion "$SMALL_RESNEXT"
}

@test "small pre-activation ResNet: four steps with each fusion" {
    each_fusion "$SMALL_PREACT_RESNET"
}

@test "experts of four families: four steps with each fusion" {
    each_fusion "$MIXED"
}

@test "three experts: four steps with each fusion" {
    each_fusion "$SMALL_RESNET" --experts 3
}

@test "the reference back end: four steps of a member of each family" {
    DEVICE=ref
    knobs "$TINY_RESNET" multiplicativeAddition
    knobs "$TINY_DENSENET" multiplicative
    knobs "$TINY_WIDERESNET" TransformerBase
    knobs "$TINY_RESNEXT" concatenation
    knobs "$TINY_PREACT_RESNET" simpleAddition
    knobs "$TINY_RESNET" gated
}

@test "alpha, label smoothing, distillation" {
    knobs "$TINY_RESNET" multiplicativeAddition --alpha 0.5 --label-smoothing 0
    knobs "$TINY_WIDERESNET" multiplicative --alpha 0 --label-smoothing 0.3
    knobs "$TINY_DENSENET" concatenation --alpha 2 --distill 0.7
}

@test "fused logits beside the experts' mean" {
    knobs "$TINY_RESNET" multiplicative --fused residual
    knobs "$TINY_DENSENET" concatenation --fused residual --alpha 0.5 --accumulate 2 --steps 4
}

@test "distillation from the ensemble, into the fused logits and into the experts" {
    knobs "$TINY_RESNET" multiplicative --kd 0.5
    knobs "$TINY_WIDERESNET" TransformerBase --fused residual --kd 0.5 --kd-temperature 4
    knobs "$TINY_RESNET" simpleAddition --fused residual --kd 0.3 --kd-experts 0.7 --distill 0.2
    DEVICE=ref
    knobs "$TINY_RESNET" concatenation --fused residual --kd 0.5 --kd-experts 0.2
}

@test "moving averages of weights and statistics, and the validation of them" {
    knobs "$TINY_RESNET" multiplicative --ema 0.6 --steps 5
    knobs "$TINY_DENSENET" concatenation --fused residual --ema 0.9 --accumulate 2
    DEVICE=ref
    knobs "$TINY_WIDERESNET" TransformerBase --ema 0.5
}

@test "one clip over everything, clips of the groups, none" {
    knobs "$TINY_DENSENET" concatenation --clip 0.01
    knobs "$TINY_RESNET" multiplicativeShifted --clip-experts 0.5 --clip-fusion 0.1
    knobs "$TINY_RESNET" simpleAddition --clip-fusion 0.1
    knobs "$TINY_RESNET" multiplicative --clip 0
}

@test "gradients of two batches make one step" {
    knobs "$TINY_RESNET" multiplicative --accumulate 2 --steps 4
}

@test "bf16: four steps, dense and grouped convolutions of strides 1 and 2" {
    need_fast
    fusion-eval -q --check-device --device "$DEVICE" --precision bf16 || skip "no bf16 on $DEVICE"
    knobs "$SMALL_RESNET;$SMALL_RESNEXT" concatenation --experts 2 --precision bf16 --steps 4
}

@test "one large step: AdamW, its rates and its weight decay" {
    knobs "$TINY_RESNET" multiplicativeAddition --steps 1 \
        --lr-experts 1e-2 --lr-fusion 3e-2 --weight-decay 0.5
    knobs "$TINY_WIDERESNET" TransformerBase --steps 1 \
        --lr-experts 3e-2 --lr-fusion 1e-2 --weight-decay 2
}

# full ARCH FUSION BATCH: three steps of four full-size experts.
full() {
    need_fast
    judge compare_steps --arch "$1" --fusion "$2" --batch "$3" --slack 3 \
        --device "$DEVICE" "${@:4}"
}

@test "resnet18 + multiplicativeAddition: three steps" {
    full resnet18 multiplicativeAddition 8
}

@test "densenet121 + multiplicative: three steps" {
    full densenet121 multiplicative 4
}

@test "improved_wideresnet28_10 + TransformerBase: three steps" {
    full improved_wideresnet28_10 TransformerBase 4
}

@test "preact_resnext29_8x64d + concatenation: three steps" {
    full preact_resnext29_8x64d concatenation 4
}
