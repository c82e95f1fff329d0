#!/usr/bin/env bats
# The augmentations are torchvision's: each operation pixel by pixel, each policy by its choices.

load helper

setup_file() {
    AUGMENT_PYTHON=$(torch_python)
    export AUGMENT_PYTHON
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    "${AUGMENT_PYTHON:-false}" -c 'import torchvision, PIL' 2>/dev/null || skip "no torchvision"
}

@test "augment: every operation at every magnitude equals torchvision's, pixel by pixel" {
    run -0 "$AUGMENT_PYTHON" "$ROOT/tests/torch/augment_ops.py" ops
    assert_output --regexp '^[0-9]+ operations on 34 images, 0 differ$'
}

@test "augment: the policies choose what torchvision's classes choose, as often" {
    run -0 "$AUGMENT_PYTHON" "$ROOT/tests/torch/augment_ops.py" policies
    assert_line --partial 'sota: 590 operations'
}

@test "augment: the comparison notices a wrong pixel" {
    mkdir bin
    cat > bin/augment-probe <<'END'
#!/bin/sh
# The image of the 5001st record, one byte changed.
exec 3<&0
"$FX_BUILD/tests/augment-probe" "$@" <&3 |
    { head -c $((5000 * 3072)); head -c 1 | tr '\000-\377' '\001-\377\000'; cat; }
END
    chmod +x bin/augment-probe
    PATH=$PWD/bin:$PATH run -1 "$AUGMENT_PYTHON" "$ROOT/tests/torch/augment_ops.py" ops
    assert_output --partial ' 1 differ'
}
