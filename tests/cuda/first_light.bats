#!/usr/bin/env bats
# bench/first-light with real programs, on a GPU and, where they are made to fail, on the simulator.

load ../helper
load cuda_device

setup_file() {
    local status=0
    "$FX_BUILD/tests/device-probe" cuda >/dev/null 2>"$BATS_FILE_TMPDIR/why" || status=$?
    [ "$status" -ne 0 ] || return 0
    [ "${FX_REQUIRE_DEVICE:-}" != cuda ] || fail "cuda is required: $(cat "$BATS_FILE_TMPDIR/why")"
    skip_file "$(sed "s/^device-probe: //" "$BATS_FILE_TMPDIR/why")"
}

setup() {
    enter_test
}

# sim OPTION... LINE...
sim() {
    run "$ROOT/bench/first-light" --build "$FX_BUILD" --out out --small "$@"
}

# says LINE VERDICT TEXT: the row of the table.
says() {
    run grep -E "^$1 +$2 " out/table.txt
    assert_output --partial "$3"
}

@test "a device, rates, kernels, operators, and steps with the same bits" {
    sim device rates kernels/pool_kernels ops/norm 'check/resnet18/*' 'step/resnet18/*' \
        profile/resnet18
    assert_success
    says device ok "cuda:0: "
    says rates ok "copy "
    says kernels/pool_kernels ok " passed"
    says check/resnet18/as-cpu ok "loss off by "
    says step/resnet18/default ok ": the bits of serial"
    says profile/resnet18 ok " ms in "
}

@test "the ways of the weight gradients that a timing has chosen are counted" {
    need_simulator
    CUDA_SIM_MS="1e6 0 0" sim step/densenet121/default tuned/densenet121
    says tuned/densenet121 ok ", 1x1 weights: "
    assert_output --regexp "times step/densenet121/default, 1x1 weights: [0-9]+ cudnn\$"
}

@test "bench/timeline foretells the nodes of the graph that a step is recorded as" {
    need_simulator
    foretells() { # ARCH FUSION OPTION...
        local foretold
        foretold=$("$FX_BUILD/bench/timeline" --arch "$1" --fusion "$2" --batch 2 "${@:3}" |
            sed -n 's/^| all, one after the other | \([0-9]*\) .*/\1/p')
        run -0 "$FX_BUILD/bench/step" --verbose --device cuda --arch "$1" --fusion "$2" --batch 2 \
            --precision bf16 --warmup 1 --steps 1
        assert_line "step: device cuda: recorded as a graph of $foretold nodes, for 2 images"
    }
    foretells densenet121:growth=8,blocks=1-1-1-1 multiplicative
    foretells resnet18:width=8,blocks=1-1-1-1 multiplicativeAddition
    foretells improved_wideresnet28_10:depth=10,width=1 TransformerBase
    foretells preact_resnext29_8x64d:depth=11,cardinality=2,base_width=8,width=8 concatenation
}

@test "a library that is missing or of another version" {
    need_simulator
    export CUDA_SIM_CUDNN="device cuda: libcudnn.so.9: cannot open shared object file"
    sim device step/resnet18/default
    says device FAILED "device-probe: device cuda: libcudnn.so.9: cannot open shared object"
    says step/resnet18/default FAILED "libcudnn.so.9: cannot open shared object file"
    CUDA_SIM_CUDNN="device cuda: the cuDNN that was found is 9.7.1, this" sim device
    says device FAILED "the cuDNN that was found is 9.7.1, this"
}

@test "a kernel that hangs, too little memory, and a call that cannot be captured" {
    need_simulator
    CUDA_SIM_HANG=avgpool sim --seconds 20 kernels/pool_kernels step/resnet18/default
    says kernels/pool_kernels TIMEOUT "after "
    CUDA_SIM_MEMORY=4M sim step/resnet18/default
    says step/resnet18/default FAILED "device cuda: out of memory: the model takes "
    CUDA_SIM_CAPTURE_NODES=20 sim 'step/resnet18/*'
    says step/resnet18/default ok ": the bits of serial"
    grep -q "warning: .* while a step was recorded as a CUDA graph" out/log.txt
}
