#!/usr/bin/env bats
# bench/layers: which convolutions are our own, in either precision, and which have a limit.

load helper

layers() {
    run -0 "$FX_BUILD/bench/layers" --arch resnet18:width=8,blocks=1-1-1-1 --batch 1 --ms 1 "$@"
}

@test "in fp32 3x3 layers of stride 1 are ours; on tiles of matrices (AMX), in bf16, all are" {
    [ "${HAVE_DNNL:-1}" != 0 ] || skip "this build has no oneDNN"
    layers
    assert_line --regexp '^\| 3x3/1 (8 -> 8|16 -> 16), 32x32 \| 3 \| forward \| [0-9]+ \| [0-9]+ \|'
    assert_line --regexp '^\| 1x1/2 .* \| data \| - \| [0-9]+ \| - \| [0-9]+ \|$'
    grep -q amx_bf16 /proc/cpuinfo || return 0
    layers --precision bf16
    assert_line --regexp '^\| 1x1/2 .* \| data \| [0-9]+ \| [0-9]+ \| - \| - \|$'
    refute_line --regexp '(forward|data|weights) \| -'
}
