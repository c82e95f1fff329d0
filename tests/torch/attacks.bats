#!/usr/bin/env bats
# fusion-eval --attack: the losses under FGSM and PGD are those of the same attacks in PyTorch.

load ../helper
load surroundings

setup_file() {
    with_torch 40 16
}

attacks() { # DEVICES ARCH [FUSION]...
    # shellcheck disable=SC2046
    judge compare_attacks --device "$1" --arch "$2" \
        $([ $# = 2 ] || printf -- '--fusion %s ' "${@:3}")
}

@test "a small ResNet with each fusion" {
    attacks "$DEVICE" resnet18:width=8,blocks=1-1-1-1
}

@test "the other families" {
    attacks "$DEVICES" densenet121:growth=8,blocks=1-1-2-1 concatenation
    attacks "$DEVICES" improved_wideresnet28_10:depth=10,width=1 TransformerBase
    attacks "$DEVICES" preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=8 \
        multiplicative
    attacks "$DEVICES" preact_resnet18:width=8,blocks=1-1-1-1 gated
}

@test "experts of four families, and experts alone" {
    attacks "$DEVICES" "$MIXED" multiplicativeAddition none
}
