#!/usr/bin/env bats
# The power goes at every point of what a tool or a pipeline does (cuts.py): half a dozen of the
# disks that there may be then, FX_ATTACK=N of them, or with FX_ATTACK=0 all (make check-attack).

load ../helper
load ../tiny
load inputs

setup_file() {
    strace -o /dev/null true || skip_file "no strace that may trace"
    attack_inputs
    cifar-prep -q --shares full --min-share 1 --export-splits splits -o other cifar.tar.gz
    cut -d ' ' -f 1-140 splits/expert_shares.txt >shares.txt
    cc -shared -fPIC -o nosync.so "$ROOT/tests/attack/nosync.c" -ldl
}

setup() {
    enter_test
    unset_make
    export OMP_NUM_THREADS=1
}

cuts() { # SCENARIO...
    python3 "$ROOT/tests/attack/cuts.py" "$BATS_FILE_TMPDIR" "${FX_ATTACK:-6}" "$@" |
        sed 's/^/# /' >&3
    assert_equal "${PIPESTATUS[0]}" 0
}

@test "what a tool writes is whole or as it was, and there when it has ended" {
    FX_ATTACK=0 cuts cifar-prep cifar-view expert-load fusion-eval ckpt-split ckpt-join \
        ckpt-export metrics-csv runs-report "metrics-csv --live"
}

@test "what replaces a file, too" {
    FX_ATTACK=0 cuts "cifar-prep over old" "expert-load over old" "ckpt-split over old" \
        "metrics-csv over old"
}

@test "an expert goes on" {
    cuts expert-train "expert-train stopped" "expert-train damaged"
}

@test "a fusion goes on" {
    cuts fusion-train "fusion-train stopped" "fusion-train damaged"
}

@test "a fusion goes on without hard links, and after one cut and another" {
    cuts "fusion-train without links" "fusion-train cut again"
}

@test "make goes on, and what is finished is whole" {
    cuts "make expert" "make expert longer" "make fusion" "make longer" "make slim"
}

@test "make has a data set with what it was made of beside it, or none" {
    FX_ATTACK=0 cuts "make shares"
}

forgetting() { # WHAT SCENARIO
    NOSYNC=$1 LD_PRELOAD=$BATS_FILE_TMPDIR/nosync.so run -1 --separate-stderr \
        python3 "$ROOT/tests/attack/cuts.py" "$BATS_FILE_TMPDIR" 40 "$2"
    grep -q "^$2: \(the end\|before .*\): .*$3" <<<"$stderr" || fail "$stderr"
}

@test "a program that forgets to sync is found" {
    forgetting files metrics-csv "is not whole"
    forgetting folders metrics-csv "exit status 0, and then not there: "
    forgetting files expert-train "again: 3 "
    forgetting folders expert-train "exit status 0, and then not there: "
    forgetting data expert-train "again: 3 "
}
