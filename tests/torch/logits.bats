#!/usr/bin/env bats
# All pairs compute the logits that PyTorch computes, to 1e-4 of their size: a whole model
# with random statistics and scales goes from PyTorch through a .pth and ckpt-join to fusion-eval.

load ../helper
load surroundings

setup_file() {
    with_torch 20 16
}

@test "the reference networks have the sizes of the originals" {
    run "$PYTHON" "$ROOT/tests/torch/models.py"
    assert_success
    assert_output "\
densenet121: width 1024, 7048676 parameters, 727 entries
resnet18: width 512, 11220132 parameters, 122 entries
improved_wideresnet28_10: width 640, 36536884 parameters, 155 entries
preact_resnext29_8x64d: width 1024, 34515364 parameters, 173 entries
preact_resnet18: width 512, 11218340 parameters, 107 entries"
}

@test "small ResNet: each fusion, also on ref" {
    judge compare_logits --arch "$SMALL_RESNET" --device "$DEVICES"
}

@test "small DenseNet: each fusion, also on ref" {
    judge compare_logits --arch "$SMALL_DENSENET" --device "$DEVICES"
}

@test "small wide ResNet: each fusion, also on ref" {
    judge compare_logits --arch "$SMALL_WIDERESNET" --device "$DEVICES"
}

@test "small ResNeXt: each fusion, also on ref" {
    judge compare_logits --arch "$SMALL_RESNEXT" --device "$DEVICES"
}

@test "small pre-activation ResNet: each fusion, also on ref" {
    judge compare_logits --arch "$SMALL_PREACT_RESNET" --device "$DEVICES"
}

@test "two, three and eight experts: each fusion, also on ref" {
    local n
    for n in 2 3 8; do
        judge compare_logits --arch resnet18:width=8,blocks=1-1-1-1 --experts $n --device "$DEVICES"
    done
}

@test "experts of four families: each fusion, also on ref" {
    judge compare_logits --arch "$MIXED" --device "$DEVICES"
}

@test "resnet18: each fusion" {
    need_fast
    judge compare_logits --arch resnet18 --device "$DEVICE" --limit 4 --load-once
}

@test "densenet121: each fusion" {
    need_fast
    judge compare_logits --arch densenet121 --device "$DEVICE" --limit 4 --load-once
}

@test "improved_wideresnet28_10: each fusion" {
    need_fast
    judge compare_logits --arch improved_wideresnet28_10 --device "$DEVICE" --limit 2 --load-once
}

@test "preact_resnext29_8x64d: each fusion" {
    need_fast
    judge compare_logits --arch preact_resnext29_8x64d --device "$DEVICE" --limit 2 --load-once
}

@test "preact_resnet18: each fusion" {
    need_fast
    judge compare_logits --arch preact_resnet18 --device "$DEVICE" --limit 4 --load-once
}
