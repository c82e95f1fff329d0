#!/usr/bin/env bats
# --device auto where there is a GPU: which one is taken, which is passed over, and what the log
# says about it.  What needs several GPUs, none or old ones runs on the simulator only.
# shellcheck disable=SC2030,SC2031  # each test has GPUs of its own

load ../helper
load ../tiny
load cuda_device

setup_file() {
    with_cuda
}

# measure OPTION...: the first four test images; metrics in measured.jsonl.
measure() {
    fusion-eval --data "$data" --limit 4 --threads 2 "$@" "$experts" >measured.jsonl
}

# device_line OPTION...: what the log says about the device, without the name of the tool.
device_line() {
    measure "$@" 2>said || fail "$(cat said)"
    sed -n 's/^fusion-eval: \(warning: \)\?device: /\1/p' said
}

train() { # DIR OPTION...
    local dir=$1
    shift
    fusion-train -q --fusion multiplicative --data "$data" --experts "$experts" \
        --checkpoint-dir "$dir" --steps 3 --batch 8 "$@" >"$dir.jsonl"
}

@test "a GPU is found without being asked for, and named" {
    [[ $(device_line) == "cuda:0, fp32, 2 threads: "*" GiB" ]]
    assert_equal "$(events measured.jsonl start 'e["device"]')" cuda:0
    [[ $(device_line --device cuda) == "cuda:0, fp32, 2 threads: "*" GiB" ]]
    assert_equal "$(device_line --device ref)" "ref, fp32, 2 threads"
}

@test "GPUs are counted round" {
    need_simulator
    export CUDA_SIM_DEVICES=3
    for number in 0 1 2; do
        assert_equal "$(device_line --device auto:$number)" \
            "cuda:$number, fp32, 2 threads: CUDA simulator, 8 GiB"
        assert_equal "$(device_line --device cuda:auto:$((number + 6)))" \
            "cuda:$number, fp32, 2 threads: CUDA simulator, 8 GiB"
    done
    assert_equal "$(events measured.jsonl start 'e["device"]')" cuda:2
    fails_with 77 "fusion-eval: device cuda:6: there are only 3" measure -q --device cuda:6
}

# without_gpu WHY: auto takes the processor.
without_gpu() {
    if [ "${HAVE_DNNL:-1}" = 1 ]; then
        assert_equal "$(device_line)" "${2:-}cpu, fp32, 2 threads: $1"
    else
        assert_equal "$(device_line)" "warning: ref, fp32, 2 threads: $1; without oneDNN as well \
there is only ref, plain and slow"
    fi
}

@test "without a GPU the processor is taken, and the log says why; cuda itself fails" {
    need_simulator
    export CUDA_SIM_DEVICES=0
    without_gpu "this machine shows no CUDA device"
    CUDA_VISIBLE_DEVICES=-1 without_gpu \
        "this machine shows no CUDA device (CUDA_VISIBLE_DEVICES is set)"
    for device in cuda cuda:1 cuda:auto cuda:auto:2; do
        fails_with 77 "fusion-eval: device cuda: this machine shows no CUDA device" \
            measure -q --device $device
    done
}

@test "a driver that is too old, or none, is named, and what would do" {
    need_simulator
    CUDA_SIM_DRIVER=0 fails_with 77 "fusion-eval: device cuda: this machine has no NVIDIA driver" \
        measure -q --device cuda
    export CUDA_SIM_DRIVER=12080
    local why="the NVIDIA driver is for CUDA 12.8, this build needs one for CUDA 13: 580 or newer \
(525 for a build with CUDA 12)"
    fails_with 77 "fusion-eval: device cuda: $why" measure -q --device cuda
    without_gpu "$why" "warning: "
}

@test "a GPU that cannot be used is passed over with a warning" {
    need_simulator
    export CUDA_SIM_CAPABILITY=6.1
    local why="CUDA simulator has compute capability 6.1, this build needs 7.0"
    without_gpu "$why" "warning: "
    fails_with 77 "fusion-eval: device cuda:0: $why" measure -q --device cuda
    CUDA_SIM_CAPABILITY=9.0,6.1,7.5
    CUDA_SIM_DEVICES=3
    export CUDA_SIM_DEVICES
    [[ $(device_line --device auto:1) == cuda:2,* ]]
    [[ $(device_line --device auto:2) == cuda:0,* ]]
    fails_with 77 "fusion-eval: device cuda:1: $why" measure -q --device cuda:1
}

@test "on Volta fp32 trains, and bf16 is refused in one line" {
    need_simulator
    train hopper --device cuda
    export CUDA_SIM_CAPABILITY=7.0
    train volta --device cuda
    cmp hopper/last.safetensors volta/last.safetensors
    local why="device cuda:0: no bf16 on CUDA simulator, 8 GiB: that takes compute capability 8.0; \
use --precision fp32"
    for device in cuda auto; do
        fails_with 77 "fusion-train: $why" train none --device $device --precision bf16
    done
    assert_not_exists none
    CUDA_SIM_CAPABILITY=8.0 train ampere --device auto --precision bf16
}

@test "a run goes on wherever auto finds itself" {
    need_simulator
    train moved --device cuda
    CUDA_SIM_DEVICES=0 fusion-train --fusion multiplicative --data "$data" \
        --experts "$experts" --checkpoint-dir moved --batch 8 --steps 5 --resume \
        >moved.jsonl 2>said
    assert_equal "$(events moved.jsonl end "$(members status step)")" "('done', 5)"
    assert_equal "$(events moved.jsonl start 'e["device"]')" cuda:0
    run -0 cat said
    assert_output --partial "this machine shows no CUDA device"
}
