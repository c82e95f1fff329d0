#!/usr/bin/env bats
# The cpu back end on lesser processors than this one: oneDNN is told to use no more than they have,
# and the operator tests must agree with ref all the same.

load helper

setup() {
    [ "${HAVE_DNNL:-1}" != 0 ] || skip "this build has no oneDNN"
}

# agree ISA: the tests of operators on maps, with at most that instruction set.
agree() {
    local suite
    for suite in conv norm add_concat pool dropout; do
        DNNL_MAX_CPU_ISA=$1 run -0 "$FX_BUILD/tests/ops/$suite"
        refute_output --partial FAILED
    done
}

@test "operators agree with ref with AVX-512 but no bf16, which is refused" {
    agree AVX512_CORE
    assert_output --partial "device cpu: this processor has no bf16"
}

@test "operators agree with ref in bf16 without tiles of matrices (AMX)" {
    agree AVX512_CORE_BF16
}

@test "operators agree with ref with AVX2: blocks of 8 channels" {
    agree AVX2
}

@test "operators agree with ref with SSE4.1: plain loops" {
    agree SSE41
}

@test "whole models agree with ref with AVX2" {
    DNNL_MAX_CPU_ISA=AVX2 run -0 "$FX_BUILD/tests/ops/models"
    refute_output --partial FAILED
}
