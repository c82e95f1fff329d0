#!/usr/bin/env bats
# The programs that the scripts of pipelines/ start fail, one at a time (scripts.py): a dozen of the
# failures here, FX_ATTACK=N of them, or with FX_ATTACK=0 all (make check-attack).

load ../helper
load ../tiny
load inputs

setup_file() {
    strace -o /dev/null true || skip_file "no strace that may trace"
    export OMP_NUM_THREADS=1
    tiny_data
    expert-load -q --arch "$tiny_arch" --classes 5 --init 1 >expert.pth
    fusion-train -q --device ref --fusion multiplicative --epochs 2 --data data.safetensors \
        --checkpoint-dir run <experts.safetensors >run.jsonl
    metrics-csv -q -o training_log.csv run.jsonl
    echo "4 classes" >words
}

setup() {
    enter_test
    unset_make
}

attack() { # SCRIPT
    python3 "$ROOT/tests/attack/scripts.py" "$BATS_FILE_TMPDIR" "$ROOT/pipelines" \
        "${FX_ATTACK:-12}" "$1" | sed 's/^/# /' >&3
    assert_equal "${PIPESTATUS[0]}" 0
}

@test "slim-runs" {
    attack slim-runs
}

@test "fusion-table" {
    attack fusion-table
}

@test "fusion-spread" {
    attack fusion-spread
}

@test "plot-curves" {
    command -v gnuplot >/dev/null || skip "no gnuplot"
    attack plot-curves
}

@test "wider-arch" {
    attack wider-arch
}

@test "equal-epochs" {
    attack equal-epochs
}

@test "check-inputs" {
    attack check-inputs
}

@test "submit-all-fusions" {
    attack submit-all-fusions
}
