#!/usr/bin/env bats
# Every tool under valgrind (memcheck.py): sanitizers do not see that bytes were never set.

load ../helper
load ../tiny
load inputs

setup_file() {
    command -v valgrind >/dev/null || skip_file "no valgrind"
    attack_inputs
}

setup() {
    enter_test
    export OMP_NUM_THREADS=1
}

memcheck() { # TOOL...
    python3 "$ROOT/tests/attack/memcheck.py" "$BATS_FILE_TMPDIR" "$@"
}

@test "data and checkpoints" {
    memcheck cifar-prep cifar-view cifar-corrupt expert-load ckpt-split ckpt-join ckpt-export
}

@test "metrics" {
    memcheck metrics-csv metrics-wandb metrics-tensorboard runs-report fusion-top
}

@test "training and measuring" {
    [ "${FX_ATTACK:-1}" = 0 ] || skip "takes minutes: make check-attack"
    memcheck expert-train fusion-train fusion-eval fusion-predict
}
