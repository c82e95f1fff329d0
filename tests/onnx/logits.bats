#!/usr/bin/env bats
# ONNX Runtime computes from the files of ckpt-export what fusion-eval computes, to 1e-4 of the
# logits' size, and onnx's checker has nothing to say: every family with every fusion.

load ../helper

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    PYTHON=$(onnx_python)
    export PYTHON PYTHONDONTWRITEBYTECODE=1
    [ -n "$PYTHON" ] || skip_file "no Python with onnx, onnxruntime and numpy (ONNX_PYTHON)"
    mkcifar --train 200 --test 20 --classes 100 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
}

# onnx_python: a Python that has what is needed, or nothing.
onnx_python() {
    local python
    for python in "${ONNX_PYTHON:-/usr/bin/python3}" python3; do
        if "$python" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

agrees() { # ARCH [OPTION]...
    local device=cpu
    [ "${HAVE_DNNL:-1}" != 0 ] || device=ref
    # Debian's onnx and onnxruntime share a library and complain of that on stderr.
    run --separate-stderr "$PYTHON" "$ROOT/tests/onnx/compare_onnx.py" --device $device \
        --data "$BATS_FILE_TMPDIR/data.safetensors" --arch "$@"
    [ "$status" = 0 ] || fail "$output"$'\n'"$(tail -n 20 <<<"$stderr")"
    assert_line "everything agrees"
}

@test "small ResNet: each fusion" {
    agrees resnet18:width=12,blocks=1-1-1-1
}

@test "small DenseNet: each fusion" {
    agrees densenet121:growth=12,blocks=2-2-2-2
}

@test "small wide ResNet: each fusion" {
    agrees improved_wideresnet28_10:depth=16,width=1
}

@test "small ResNeXt: each fusion" {
    agrees preact_resnext29_8x64d:depth=11,cardinality=4,base_width=16,width=16
}

@test "small pre-activation ResNet: each fusion" {
    agrees preact_resnet18:width=12,blocks=1-2-1-1
}

@test "experts of unequal widths: each fusion" {
    agrees "resnet18:width=4,blocks=1-1-1-1;densenet121:growth=6,blocks=1-1-2-1" --count 2
}

@test "one expert, two and eight" {
    for count in 1 2 8; do
        agrees resnet18:width=8,blocks=1-1-1-1 --count $count --fusion multiplicativeAddition
    done
}
