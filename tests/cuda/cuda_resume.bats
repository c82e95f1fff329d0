#!/usr/bin/env bats
# Runs on a GPU that are stopped anywhere end, resumed, with the bytes of a run that was left alone:
# tests/resume.bats for --device cuda.  SEED=n repeats a failure.

load ../helper
load ../tiny
load ../stops
load cuda_device

setup_file() {
    with_cuda
    echo "# cuda_resume.bats: SEED=${SEED:=$RANDOM}" >&3
    export SEED
}

setup() {
    enter_test
    settings=(--device cuda --epochs 2 --batch 12)
    RANDOM=$SEED
}

@test "killed or told to stop at random moments" {
    kill_often 6 KILL TERM
}

@test "in bf16, with accumulation, few checkpoints, dropout and averages" {
    settings+=(--precision bf16 --accumulate 2 --checkpoint-minutes 10 --expert-dropout 0.2
        --ema 0.8)
    kill_often 3 KILL TERM
}

# A step that is ahead on the device when the consumer dies is committed before the state is saved.
@test "a consumer that dies ends the run with its state saved" {
    settings=(--device cuda --epochs 2 --batch 12 --checkpoint-minutes 10)
    train whole >whole.jsonl
    for lines in 1 4; do
        stop_at_line $lines
    done
    assert_exists often/last.safetensors
    train often >often.jsonl
    same_run whole often
}

# What the consumer has heard of step 3 was begun when the state behind step 2 was on the disk.
@test "steps do not run ahead of a checkpoint that is due" {
    settings=(--device cuda --epochs 1 --batch 2)
    local line=
    train often 2>/dev/null | {
        until [[ $line == *'"event":"step"'*'"step":3,'* ]]; do
            read -r line
        done
        test -e often/last.safetensors
    }
}

# in_pieces DIR: stopped by --steps twice.
in_pieces() {
    train "$1" --steps 2 >/dev/null
    train "$1" --steps 4 >/dev/null
    train "$1" >"$1.jsonl"
}

@test "resumed in another order of streams and without graphs" {
    settings=(--device cuda --epochs 1)
    in_pieces whole
    export CUDA_SIM_SEED=7
    in_pieces other
    same_run whole other
    export FUSION_CUDA_GRAPHS=0
    in_pieces eager
    same_run whole eager
}

# The convolution is the fastest by the first times, the product by the others.
@test "with FUSION_CUDNN_TUNE=1 in the way that was chosen first" {
    need_simulator
    settings=(--device cuda --epochs 1 --batch 6 --experts dense)
    expert-load -q --arch densenet121:growth=4,blocks=1-1-1-1 --classes 5 --init 1 -o dense
    export FUSION_CUDNN_TUNE=1 FUSION_CACHE_DIR
    local cudnn="1e6 0 0" whole="0 0 1e6"
    FUSION_CACHE_DIR=$PWD/one CUDA_SIM_MS=$cudnn in_pieces whole
    FUSION_CACHE_DIR=$PWD/two CUDA_SIM_MS=$cudnn train often --steps 2 >/dev/null
    FUSION_CACHE_DIR=$PWD/two CUDA_SIM_MS=$whole train often --steps 4 >/dev/null
    FUSION_CACHE_DIR=$PWD/two CUDA_SIM_MS=$whole train often >often.jsonl
    same_run whole often
    grep -q '"way":"cudnn"' two/cudnn-plans.json
    FUSION_CACHE_DIR=$PWD/three CUDA_SIM_MS=$whole train other >other.jsonl
    grep -q '"way":"whole"' three/cudnn-plans.json
    run -1 diff <(timeless whole.jsonl) <(timeless other.jsonl)
}

@test "a run that was begun on ref goes on here" {
    settings=(--device cuda --epochs 1)
    train mixed --steps 2 --device ref >/dev/null
    train mixed >mixed.jsonl
    train whole >whole.jsonl
    losses() { events "$1.jsonl" epoch '"%.3f %.3f" % (e["train_loss"], e["val_loss"])'; }
    assert_equal "$(losses mixed)" "$(losses whole)"
}
