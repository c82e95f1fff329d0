#!/usr/bin/env bats
# fusion-table and fusion-spread: runs that are not whole, and what runs are compared with.  The
# metrics are written by hand.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    PATH=$ROOT/pipelines:$PATH
    run_of out/runs/resnet-gated 2 40 2
    run_of ex/runs/resnet-0 3 30
    run_of ex/runs/resnet-1 3 32
    run_of ex/runs/resnet-all 5 35
}

# run_of DIR EPOCHS ACCURACY [EXPERTS]: a finished run of seed 7 there, of 1000 images an epoch.
run_of() {
    mkdir -p "$1"
    printf '%s\n' >"$1/metrics.jsonl" \
        '{"event":"start","arch":"resnet18","seed":7,"val":"holdout","alpha":1,"batch":200,'"\
\"experts\":${4:-0},\"train_images\":1000,\"steps_per_epoch\":5}" \
        '{"event":"end","status":"done","test_images":100,'"\
\"epoch\":$2,\"step\":$(($2 * 5)),\"test_accuracy\":$3,\"test_ensemble_accuracy\":$3}"
}

# seen COMMAND...: of the first run of its table, what an expert and what the single network saw.
seen() {
    run -0 --separate-stderr "$@"
    local expert=${lines[0]%%seen*} single=${lines[0]%seen*}
    output="${lines[1]:${#expert}-1:5} ${lines[1]:${#single}-1:5}"
    output=$(xargs <<<"$output")
}

# both DIR EXPECTED: with the experts of DIR both scripts have this.
both() {
    for script in fusion-table fusion-spread; do
        seen $script -e "$1" out/runs/resnet-gated
        assert_equal "$script: $output" "$script: $2"
    done
}

@test "a comma and quotes in the name of a folder" {
    local strange='o,p "q"'
    cp -r out "$strange"
    run -0 fusion-table out/runs/resnet-gated
    assert_output --partial " 40.00 "
    local expected=$output
    run -0 fusion-table "$strange/runs/resnet-gated"
    assert_output "$expected"
    run -0 fusion-spread out/runs/resnet-gated
    assert_output --partial " 40.00 "
    expected=$output
    run -0 fusion-spread "$strange/runs/resnet-gated"
    assert_output "$expected"
}

@test "a locale with decimal commas" {
    localedef -i de_DE -f UTF-8 "$PWD/de_DE.UTF-8" || skip "no localedef, or it lacks de_DE"
    run_of fractions 2 40.56 2
    for script in fusion-table fusion-spread; do
        run -0 $script fractions
        assert_output --partial " 40.56 "
        local expected=$output
        LOCPATH=$PWD LC_ALL=de_DE.UTF-8 run -0 $script fractions
        assert_output "$expected"
    done
}

@test "images seen are those before the fusion and during it" {
    both ex "5 5"
    seen fusion-spread out/runs/resnet-gated # nothing is asked about the experts
    assert_equal "$output" "2 -"
}

@test "without a finished run of expert 0 it is not known how many it has seen" {
    sed -i '/"end"/d' ex/runs/resnet-0/metrics.jsonl
    both ex "- 5"
    assert_equal "$stderr" "" # a run under way is no error
    rm -r ex/runs/resnet-0
    both ex "- 5"
    mkdir none
    both none "- -"
}

@test "a run that cannot be read is named, and the others are in the table" {
    echo nonsense >>ex/runs/resnet-1/metrics.jsonl
    for script in fusion-table fusion-spread; do
        seen $script -e ex out/runs/resnet-gated
        assert_equal "$output" "5 5"
        assert_regex "$stderr" "^metrics-csv: ex/runs/resnet-1/metrics.jsonl: line 3: [^
]*$"
    done
}

@test "where metrics-csv fails, so does the script" {
    mkdir bin
    printf '%s\n' '#!/bin/sh' 'echo "metrics-csv: out of memory" >&2' 'exit 1' >bin/metrics-csv
    chmod +x bin/metrics-csv
    for script in fusion-table fusion-spread; do
        PATH=$PWD/bin:$PATH run -1 --separate-stderr $script -e ex out/runs/resnet-gated
        assert_equal "$stderr" "metrics-csv: out of memory"
    done
}

@test "output that cannot be written is an error in one line, and nothing else is done" {
    PATH=$ROOT/pipelines/slurm:$PATH
    for command in fusion-table fusion-spread plot-curves submit-all-fusions; do
        for option in --help --version; do
            fails_with 1 "$command: standard output: cannot be written" \
                bash -c "$command $option >/dev/full"
        done
    done
    for command in fusion-table fusion-spread; do
        for output in /dev/full "&-"; do
            fails_with 1 "$command: standard output: cannot be written" \
                bash -c "$command out/runs/resnet-gated >$output"
        done
        run -0 --separate-stderr bash -c "$command out/runs/resnet-gated | true"
        assert_equal "$stderr" ""
    done
}
