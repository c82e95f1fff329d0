#!/usr/bin/env bats
# The CUDA back end as CUDA 12 builds it, for V100, A100, H100 and H200, without any of them: which
# kernels are in it, and which plans cuDNN has.  Run by `make check-cuda12`, elsewhere skipped.

load helper

setup_file() {
    [ -n "${CUDA12:-}" ] || skip_file "no CUDA 12 toolkit is given: make check-cuda12 CUDA12=DIR"
}

setup() {
    enter_test
    export FUSION_CACHE_DIR=$PWD/cache
}

@test "every kernel is there for Volta, Ampere and Hopper" {
    local kernel
    for kernel in "$ROOT"/kernels/*.cu; do
        kernel=$FX_BUILD/kernels/$(basename "$kernel" .cu).o
        run -0 "$CUDA12/bin/cuobjdump" --list-elf --list-ptx "$kernel"
        for part in sm_70.cubin sm_80.cubin sm_90.cubin sm_90.ptx; do
            assert_line --partial ".$part"
        done
    done
}

@test "the tools have the back end, and say what is missing here" {
    run -0 fusion-train --version
    assert_line --regexp '^back ends: .*cuda$'
    fails_with 77 "device-probe: device cuda: this machine *" device-probe cuda
}

# plans CARD PRECISION: every convolution of the four networks, batch 128, has an exact plan.
plans() {
    cudnn-plans --card "$1" --precision "$2" >table || fail "$(grep '^cuDNN' table)"
    run -0 grep -c ' plans, 0 without; ' table
    assert_output 8
    run -1 grep -E '^[bf].*(nondeterministic|reduced-precision|down-converting)' table
    [ "$2" = bf16 ] || run -1 grep '^fp32.*tensor-core' table
}

@test "every convolution has a plan in fp32 on a V100, an A100 and an H200" {
    plans v100 fp32
    plans a100 fp32
    plans h200 fp32
}

@test "every convolution has a plan in bf16 on an A100 and an H200, none on a V100" {
    plans a100 bf16
    plans h200 bf16
    run -77 --separate-stderr cudnn-plans --card v100 --precision bf16 --arch resnet18
    assert_equal "$stderr" "cudnn-plans: 42 convolutions have no plan"
}

@test "what calls cuBLASLt and cuDNN keeps its promises" {
    run -0 "$FX_BUILD/tests/cuda/gemm_columns"
    run -0 "$FX_BUILD/tests/cuda/cudnn_device"
    run -0 "$FX_BUILD/tests/cuda/cudnn_versions"
}
