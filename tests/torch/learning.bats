#!/usr/bin/env bats
# At rates that learn, a run of ours goes where PyTorch's goes: rounding makes the steps differ, the
# losses of the epochs stay together and fall; the schedules are those of torch.optim.

load ../helper
load surroundings

setup_file() {
    with_torch 200 100
}

@test "cosine: losses of ten epochs and rates follow PyTorch" {
    judge compare_learning --arch "$SMALL_RESNET" --fusion multiplicativeAddition \
        --schedule cosine --epochs 10 --device "$DEVICE"
}

@test "restarts: losses of ten epochs and rates follow PyTorch" {
    judge compare_learning --arch "$SMALL_WIDERESNET" --fusion concatenation \
        --schedule restarts --epochs 10 --device "$DEVICE"
}

@test "constant: losses of ten epochs and rates follow PyTorch" {
    judge compare_learning --arch "$SMALL_DENSENET" --fusion TransformerBase \
        --schedule constant --epochs 10 --device "$DEVICE"
}
