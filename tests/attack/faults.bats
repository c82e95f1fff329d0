#!/usr/bin/env bats
# Calls to the system and allocations that fail, one at a time, in every tool (faults.py): a dozen
# of each here, FX_ATTACK=N of them, or with FX_ATTACK=0 all (make check-attack).

load ../helper
load ../tiny
load inputs

setup_file() {
    strace -o /dev/null true || skip_file "no strace that may trace"
    export OMP_NUM_THREADS=1
    attack_inputs
    cc -shared -fPIC -o failing.so "$ROOT/tests/attack/failing_malloc.c" -ldl
}

attack() { # TOOL..., or "TOOL finished"
    local tool
    export OMP_NUM_THREADS=1
    for tool; do
        python3 "$ROOT/tests/attack/faults.py" "$BATS_FILE_TMPDIR" "$BATS_FILE_TMPDIR/failing.so" \
            "${FX_ATTACK:-12}" "$tool" | sed 's/^/# /' >&3
        assert_equal "${PIPESTATUS[0]}" 0
    done
}

@test "data" {
    attack cifar-prep cifar-view cifar-corrupt
}

@test "checkpoints" {
    attack expert-load ckpt-split ckpt-join ckpt-export
}

@test "metrics" {
    attack metrics-csv metrics-wandb metrics-tensorboard runs-report fusion-top
}

@test "measuring" {
    attack fusion-eval fusion-predict
}

@test "training an expert" {
    attack expert-train
}

@test "training a fusion" {
    attack fusion-train
}

@test "a run that was finished" {
    attack "expert-train finished" "fusion-train finished"
}

@test "every tool is among them" {
    local tool
    for tool in "$FX_BUILD"/bin/*; do
        grep -Eq "^ +attack .*\b${tool##*/}\b" "$BATS_TEST_FILENAME" || fail "${tool##*/}"
    done
}
