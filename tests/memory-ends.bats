#!/usr/bin/env bats
# Memory ends at one allocation after the other (tests/attack/failing_malloc.c): what a tool of the
# runs writes is whole, or there is nothing and the exit status says so.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    python3 "$ROOT/tests/track/make_runs.py"
    cc -shared -fPIC -o failing.so "$ROOT/tests/attack/failing_malloc.c" -ldl
}

# until_it_works STEP COMMAND...: with FILE for the output; every STEP-th allocation is the first
# that fails, up to where none does.
until_it_works() {
    local step=$1 from how
    shift
    "${@//FILE/whole}" 2>/dev/null
    for ((from = 1; ; from += step)); do
        how=0
        FAIL_FROM=$from LD_PRELOAD=./failing.so "${@//FILE/made}" >out 2>said || how=$?
        [ "$how" != 0 ] || break
        assert_equal "$from: $how" "$from: 1"
        assert_not_exists made
        assert_equal "$(wc -l <said)" 1
    done
    cmp made whole
    assert [ "$from" -gt 100 ]
}

@test "runs-report writes no page without the rest of it" {
    until_it_works 7 runs-report -q -o FILE runs/done
}

@test "metrics-csv writes no table without the rest of it" {
    until_it_works 3 metrics-csv -q --events end -o FILE runs/done runs/single
}

# each_alone COMMAND...: it writes into the folder made; of the allocations that come by the same
# way through it the first fails, alone.
each_alone() {
    local n how first
    mkdir made
    FAIL_STACKS=stacks LD_PRELOAD=./failing.so "$@"
    mv made whole
    mapfile -t first < <(awk '!seen[$0]++ { print NR }' stacks)
    for n in "${first[@]}"; do
        mkdir made
        how=0
        FAIL_AT=$n LD_PRELOAD=./failing.so "$@" >out 2>said || how=$?
        if [ "$how" = 0 ]; then
            diff -r whole made
            assert_equal "$n: $(cat said)" "$n: "
        else
            assert_equal "$n: $how $(wc -l <said)" "$n: 1 1"
        fi
        rm -r made
    done
    rm -r whole
}

@test "JSON beside components is read and written whole, or memory was short" {
    mkcifar --train 40 --test 20 --classes 2 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
    expert-load -q --arch resnet18:width=1,blocks=1-1-1-1 --classes 2 --init 1 --count 2 |
        fusion-train -q --device ref --fusion simpleAddition --steps 1 --batch 4 \
            --data data.safetensors --checkpoint-dir run >metrics.jsonl
    each_alone ckpt-split -q -d made/parts run/best.safetensors
    ckpt-split -q -d parts run/best.safetensors
    each_alone ckpt-join -q -o made/joined parts/*/*.pth
}

@test "oneDNN is not begun with where the address space is not enough for it" {
    local limit
    [ "${HAVE_DNNL:-1}" = 1 ] || skip "no oneDNN"
    mkcifar --train 200 --test 20 --classes 5 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
    expert-load -q --arch resnet18:width=2,blocks=1-1-1-1 --classes 5 --init 1 \
        -o experts.safetensors
    for limit in 195 199 203 206 209 212 215; do # MB; before: signal 11
        (
            ulimit -v "${limit}000"
            fails_with 1 "fusion-train: memory: * the address space limit (ulimit -v) *" \
                fusion-train -q --device cpu --threads 2 --batch 16 --epochs 1 \
                --data data.safetensors --fusion concatenation --experts experts.safetensors \
                --checkpoint-dir run
        )
    done
}
