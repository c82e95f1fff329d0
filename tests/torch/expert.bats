#!/usr/bin/env bats
# The steps of expert-train are those of torch.optim.SGD on the expert's share: 44 images, of which
# the last batch is a partial one, for three epochs.

load ../helper
load surroundings

setup_file() {
    with_torch 100 6
}

# steps ARCH OPTION...
steps() {
    judge compare_expert --arch "$1" --device "$DEVICE" "${@:2}"
}

@test "experts of three families: loss, gradient and weights of nine steps" {
    steps resnet18:width=8,blocks=1-1-1-1
    steps densenet121:growth=8,blocks=1-1-2-1 --label-smoothing 0 --clip 0
    steps improved_wideresnet28_10:depth=10,width=1 --clip 0.3
}

@test "gradients of three batches make one step; little weight decay" {
    steps preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=8 --batch 8 \
        --accumulate 3 --weight-decay 5e-4
}

@test "the reference back end" {
    DEVICE=ref
    steps preact_resnet18:width=4,blocks=1-1-1-1 --batch 24
}
