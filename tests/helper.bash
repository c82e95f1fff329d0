# Loaded by every .bats file (`load helper`; from a folder below tests/, `load ../helper`).
#
# Finds the tools of the build under test, gives each test the same surroundings, and knows where
# real data may be.  Tests run in their own empty folder, $BATS_TEST_TMPDIR.

bats_require_minimum_version 1.5.0

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FX_BUILD=${FX_BUILD:-$ROOT/build/release}
export ROOT FX_BUILD
export PATH=$FX_BUILD/bin:$FX_BUILD/tests:$PATH
export LC_ALL=C TERM=dumb
# Suites run side by side: two threads each are enough, and results do not depend on the machine.
export OMP_NUM_THREADS=2
# A finding of a sanitizer must not look like one of our own exit codes.
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99:print_stacktrace=1
unset CDPATH

for lib in bats-support bats-assert bats-file; do
    # shellcheck disable=SC1090
    source "/usr/lib/bats/$lib/load.bash"
done

# The real data, where a checkout has it: CIFAR100 (the python archive), PTH_SAMPLES (a folder of
# .pth files) and SPLITS (the original's two .npy files); empty otherwise.
real_data() { # VARIABLE PATH: keep the user's setting, else take PATH if it is there
    [ -n "${!1:-}" ] || { [ -e "$2" ] && printf -v "$1" %s "$2"; } || true
    export "${1?}"
}
real_data CIFAR100 "$ROOT/../shared/data/cifar-100-python.tar.gz"
real_data PTH_SAMPLES "$ROOT/../shared/data/pth"
real_data SPLITS "$ROOT/../shared/data"

# skip_without VARIABLE: skip the test when the data it names is not there.
skip_without() {
    [ -n "${!1:-}" ] || skip "no $1 data"
}

# torch_python: a Python that has PyTorch and numpy, or nothing.
torch_python() {
    local python
    for python in "${TORCH_PYTHON:-/usr/bin/python3}" python3; do
        if "$python" -c 'import torch, numpy' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

# fails_with STATUS LINE COMMAND...: the command exits with STATUS, says exactly LINE on stderr (a
# glob) and nothing on stdout.
fails_with() {
    local status_wanted=$1 line=$2
    shift 2
    run "-$status_wanted" --separate-stderr "$@"
    assert_equal "$output" ""
    assert_equal "${#stderr_lines[@]}" 1
    # shellcheck disable=SC2053
    [[ ${stderr_lines[0]} == $line ]] || fail "expected: $line
     said: ${stderr_lines[0]}"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}
