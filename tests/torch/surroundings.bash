# Loaded by the suites of this folder after ../helper: PyTorch and a small data set, or a skip.

# The small member of each family; widths that are no multiple of 16 are among them.
SMALL_RESNET=resnet18:width=12,blocks=1-1-1-1
SMALL_DENSENET=densenet121:growth=12,blocks=2-2-2-2
SMALL_WIDERESNET=improved_wideresnet28_10:depth=16,width=1
SMALL_RESNEXT=preact_resnext29_8x64d:depth=11,cardinality=4,base_width=16,width=16
SMALL_PREACT_RESNET=preact_resnet18:width=12,blocks=1-2-1-1
# Experts of four families, whose features have four widths.
MIXED="resnet18:width=4,blocks=1-1-1-1;densenet121:growth=6,blocks=1-1-2-1"
MIXED+=";improved_wideresnet28_10:depth=10,width=1"
MIXED+=";preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=8"
FUSIONS=$(fusion-train --fusion '?' 2>&1 | sed -n 's/.*must be one of //p' | tr '|' ' ')
# The back ends to compare: `cpu` exists where the build has oneDNN; `cuda` is the one to look at
# where FX_REQUIRE_DEVICE asks for it (make check-gpu).
HAVE_CPU=${HAVE_DNNL:-$(fusion-train --version | grep -c '^back ends:.* cpu')}
DEVICE=ref DEVICES=ref
[ "$HAVE_CPU" = 0 ] || DEVICE=cpu DEVICES=ref,cpu
[ "${FX_REQUIRE_DEVICE:-}" != cuda ] || DEVICE=cuda DEVICES=ref,cuda
export HAVE_CPU DEVICE DEVICES SMALL_RESNET SMALL_DENSENET SMALL_WIDERESNET SMALL_RESNEXT
export SMALL_PREACT_RESNET MIXED FUSIONS

# Other suites run beside these: threads that have nothing to do sleep.
export OMP_WAIT_POLICY=passive

# with_torch N_TRAIN N_TEST: sets PYTHON and DATA, a data set with N_TRAIN / 5 images to fuse on.
with_torch() {
    PYTHON=$(torch_python)
    if [ -z "$PYTHON" ]; then
        skip_file "no Python with PyTorch (Debian: python3-torch)"
        return
    fi
    DATA=$BATS_FILE_TMPDIR/data.safetensors
    export PYTHON DATA PYTHONDONTWRITEBYTECODE=1
    "$PYTHON" "$ROOT/tests/torch/made_archive.py" "$BATS_FILE_TMPDIR/made.tar.gz" "$1" "$2"
    cifar-prep -o "$DATA" "$BATS_FILE_TMPDIR/made.tar.gz"
}

# judge DRIVER ARGUMENT...: run one of the Python drivers; its report is shown when it fails.
judge() {
    local driver=$1
    shift
    run "$PYTHON" "$ROOT/tests/torch/$driver.py" --data "$DATA" --dir "$BATS_TEST_TMPDIR" "$@"
    assert_success
    assert_line --regexp '^[1-9][0-9]* comparisons passed$'
}

# need_fast: skip what would take the reference back end too long.
need_fast() {
    [ "$DEVICE" != ref ] || skip "built without oneDNN"
}
