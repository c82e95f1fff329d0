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
