# Loaded by every .bats file (`load helper`; from a folder below tests/, `load ../helper`).
#
# Finds the tools of the build under test, gives each test the same surroundings, and knows where
# real data may be.  Tests run in their own empty folder, $BATS_TEST_TMPDIR.

bats_require_minimum_version 1.5.0

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FX_BUILD=${FX_BUILD:-$ROOT/build/release}
export ROOT FX_BUILD
export PATH=$FX_BUILD/bin:$FX_BUILD/tests:$ROOT/pipelines:$ROOT/pipelines/slurm:$PATH
export LC_ALL=C TERM=dumb
# What a user's environment may tell the tools or a real Slurm.
unset NO_COLOR "${!SLURM_@}" "${!SBATCH_@}" "${!WANDB_@}"
# Tests are the same on a machine with GPUs: those are hidden from what chooses by itself, but for
# `make check-gpu`, in which the user says which may be used, and the suites of tests/cuda.
[ -n "${FX_REAL_GPU:-}" ] || export CUDA_VISIBLE_DEVICES=-1
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

# unset_make: make forgets who called it, and what the environment says about the pipelines and
# about where things are installed; for tests that call make.
unset_make() {
    local names
    mapfile -t names < <(sed -n 's/^\([A-Za-z_]*\) ?=.*/\1/p' "$ROOT"/pipelines/*.mk)
    unset MAKEFLAGS MFLAGS MAKELEVEL BINDIR LIBDIR INCLUDEDIR MANDIR DATADIR COMPDIR ZSHDIR FISHDIR \
        "${names[@]}" "${!ARCH_@}"
}

# eventually COMMAND...: waits until it succeeds, for a minute at most.
eventually() {
    local end=$((SECONDS + 60))
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*"
        sleep 0.05
    done
}

# hold_lock FILE: another process has its lock, until release_lock.  The one that took it stays: in
# a container the kernel's list leaves out locks of processes that are gone.
hold_lock() {
    flock --no-fork "$1" sleep 600 3>&- &
    lock_holder=$!
    eventually is_locked "$1"
}

# is_locked FILE: some process has its lock.  The kernel's list says so: to try to take the lock
# would keep it from the process that is waited for.
is_locked() {
    [ -e "$1" ] && grep -q ":$(stat -c %i "$1") " /proc/locks
}

release_lock() { # also where none is held
    [ -z "${lock_holder:-}" ] || kill "$lock_holder"
    lock_holder=
}

# skip_without VARIABLE: skip the test when the data it names is not there.
skip_without() {
    [ -n "${!1:-}" ] || skip "no $1 data"
}

# skip_file WHY: skip every test of the file; for setup_file, where bats 1.8 knows no `skip`.
skip_file() {
    export FX_SKIP_FILE=$1
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

# Also for setup functions of a file's own.
enter_test() {
    cd "$BATS_TEST_TMPDIR" || return
    [ -z "${FX_SKIP_FILE:-}" ] || skip "$FX_SKIP_FILE"
}

setup() {
    enter_test
}
