#!/usr/bin/env bats
# cuDNN's plans for every convolution of the networks, on cards that need not be here, and the
# cache that keeps them.

load ../helper
load cuda_device # a newer cuDNN wants to see the GPU

# From some version on (9.28 is one) cuDNN does not even describe a card where there is no driver.
setup_file() {
    local why=$BATS_FILE_TMPDIR/why
    [ "${HAVE_CUDA:-0}" = 1 ] || return 0
    FUSION_CACHE_DIR=$BATS_FILE_TMPDIR cudnn-plans --arch resnet18 >/dev/null 2>"$why" ||
        ! grep -q SUBLIBRARY_LOADING_FAILED "$why" || skip_file "$(tail -n 1 "$why")"
}

setup() {
    [ "${HAVE_CUDA:-0}" = 1 ] || skip "this build has no CUDA toolkit"
    enter_test
    export FUSION_CACHE_DIR=$PWD/cache
    cache=$FUSION_CACHE_DIR/cudnn-plans.json
}

# rows FILE PATTERN: how many lines of plans match.
rows() {
    grep '^[bf][fp]' "$1" | grep -cE "$2"
}

# without_origin: where a plan comes from left out.
without_origin() {
    sed -E 's/ (heuristic|cached) +/ /'
}

# every_plan CARD: the whole table; in bf16 all on tensor cores, in fp32 none, all deterministic.
every_plan() {
    cudnn-plans --card "$1" >table || fail "$(grep '^cuDNN' table)"
    assert_equal "$(grep -c ' plans, 0 without; ' table)" 16
    # WRN's and ResNeXt's widths are there, groups as dense layers, and the stem without data.
    assert_equal "$(rows table '320x16x16 +-> 320x16x16 +3x3/1 conv groups=1 layers=7 ')" 8
    assert_equal "$(rows table '256x8x8 +-> 256x8x8 +3x3/1 conv groups=8 ')" 8
    assert_equal "$(rows table 'bf16 (data|weights|forward) +8x32x32 +-> 64x32x32 ')" 2
    assert_equal "$(rows table '1x1/1 gemm')" $((2 * 4 * 72))
    assert_equal "$(rows table '^bf16')" "$(rows table '^bf16.*\[tensor-core\]')"
    run -1 rows table '^fp32.*tensor-core'
    run -1 rows table 'nondeterministic|reduced-precision|down-converting'
}

@test "every convolution has plans on an H200" {
    every_plan h200
    # Nothing repacks its maps there in bf16.
    run -1 rows table '^bf16.* [0-9]{8,} bytes'
}

@test "every convolution has plans on an A100" {
    every_plan a100
}

@test "a convolution without a plan is named, and the exit status says so" {
    run -77 --separate-stderr cudnn-plans --arch resnet18 --card v100
    assert_line "cuDNN: data bf16 n=128 64x32x32 -> 64x32x32 kernel=3 stride=1 pad=1 groups=1: \
no engine fits: none is proposed"
    assert_output --partial "v100 bf16 conv weights: 0 plans, 11 without;"
    assert_output --partial "v100 fp32 conv weights: 11 plans, 0 without;"
    assert_equal "$stderr" "cudnn-plans: 42 convolutions have no plan"
}

@test "the limit of the workspace is kept" {
    cudnn-plans --arch resnet18 --precision fp32 >large
    [ "$(rows large ' [1-9][0-9]{7,} bytes')" -gt 9 ]
    cudnn-plans --arch resnet18 --precision fp32 --workspace 1 >small
    assert_equal "$(rows small ' [0-9]{7,} bytes' || true)" 0
    assert_equal "$(rows small '^fp32')" "$(rows large '^fp32')"
}

@test "a description that is none is refused" {
    echo '{"deviceName":"none"}' >card
    fails_with 3 "cudnn-plans: cuDNN: the description of the device: *" cudnn-plans --card card
    echo 'not JSON' >card
    fails_with 3 "cudnn-plans: cuDNN: the description of the device: *" cudnn-plans --card card
}

@test "plans come from the cache the same" {
    cudnn-plans --arch resnet18 >first
    assert_equal "$(rows first heuristic)" 84
    cp "$cache" kept
    cudnn-plans --arch resnet18 >second
    assert_equal "$(rows second cached)" 84
    diff <(without_origin <first) <(without_origin <second)
    cmp "$cache" kept
}

@test "the cache holds for its card and its shapes only" {
    cudnn-plans --arch resnet18 --precision bf16 >h200
    cudnn-plans --arch resnet18 --precision bf16 --card a100 >other
    cudnn-plans --arch resnet18 --precision bf16 --batch 64 >half
    assert_equal "$(rows other heuristic)" 42
    assert_equal "$(rows half heuristic)" 42
    # ... and what it held before is still there.
    cudnn-plans --arch resnet18 --precision bf16 >again
    assert_equal "$(rows again cached)" 42
}

# with_engine PLAN CHOICE: the cache has CHOICE for PLAN.
with_engine() {
    python3 - "$cache" "$1" "$2" <<'END'
import json, sys
path, plan, choice = sys.argv[1:]
cache = json.load(open(path))
(plans,) = cache["devices"].values()
assert plan in plans
plans[plan] = json.loads(choice)
json.dump(cache, open(path, "w"))
END
}

@test "what the cache says is run, unless it is not fit to use" {
    local plan="forward f32 n=128 64x32x32 -> 64x32x32 kernel=3 stride=1 pad=1 groups=1"
    local row='forward 64x32x32 +-> 64x32x32 .* engine='

    cudnn-plans --arch resnet18 --precision fp32 >first
    assert_equal "$(rows first "$row")" 1
    run -1 rows first "${row}28 "
    with_engine "$plan" '{"engine": 28, "knobs": []}'
    cudnn-plans --arch resnet18 --precision fp32 >other
    assert_equal "$(rows other "$row"'28 +0 bytes cached')" 1
    # An engine that is TF32, one that there is not, entries that are none.
    for choice in '{"engine": 67, "knobs": []}' '{"engine": 9999, "knobs": []}' \
        '{"engine": 28, "knobs": [[2, 4711]]}' '{"engine": "x"}' '{"engine": 28, "knobs": [2]}' \
        '{"engine": 28, "knobs": {}}' '[]' 'null'; do
        with_engine "$plan" "$choice"
        cudnn-plans --arch resnet18 --precision fp32 >again
        diff <(without_origin <first) <(without_origin <again)
        assert_equal "$(rows again heuristic)" 1
        assert_equal "$(rows again cached)" 41
    done
}

@test "a damaged or foreign cache is reported, ignored and written anew" {
    cudnn-plans --arch resnet18 --precision bf16 >first
    head -c 1000 "$cache" >part
    for content in "$(cat part)" '' '[1, 2]' '{"fusion-tools": "cudnn-plans", "version": 2}'; do
        printf %s "$content" >"$cache"
        run -0 --separate-stderr cudnn-plans --arch resnet18 --precision bf16
        assert_equal "${#stderr_lines[@]}" 1
        [[ $stderr == "cudnn-plans: $cache: "*"; cuDNN plans are chosen anew" ]]
        diff first <(echo "$output")
        run -0 --separate-stderr cudnn-plans --arch resnet18 --precision bf16
        assert_equal "$stderr" ""
        assert_equal "$(grep -c cached <<<"$output")" 42
    done
}

@test "where nothing can be written, nothing is said" {
    touch file
    for place in "$PWD/file" /proc/nowhere; do
        FUSION_CACHE_DIR=$place run -0 --separate-stderr cudnn-plans --arch resnet18
        assert_equal "$stderr" ""
    done
    FUSION_CACHE_DIR=$PWD/file run -0 --separate-stderr cudnn-plans --arch resnet18 --verbose
    [[ $stderr == *"; cuDNN plans are not kept" ]]
}

@test "without FUSION_CACHE_DIR the cache lies where caches lie" {
    unset FUSION_CACHE_DIR
    XDG_CACHE_HOME=$PWD/xdg cudnn-plans --arch resnet18 --precision bf16 >/dev/null
    assert_file_exists xdg/fusion-tools/cudnn-plans.json
    env -u XDG_CACHE_HOME HOME="$PWD/home" cudnn-plans --arch resnet18 --precision bf16 >/dev/null
    assert_file_exists home/.cache/fusion-tools/cudnn-plans.json
    env -u XDG_CACHE_HOME -u HOME "$FX_BUILD/tests/cudnn-plans" --arch resnet18 --precision bf16 \
        >/dev/null
}

@test "runs at the same time leave a whole cache" {
    for arch in resnet18 improved_wideresnet28_10 preact_resnext29_8x64d; do
        cudnn-plans --arch $arch --precision bf16 >"$arch" &
    done
    wait
    python3 -m json.tool "$cache" >/dev/null
    run -0 ls -A "$FUSION_CACHE_DIR"
    assert_output cudnn-plans.json
    # Whoever was last is in it.
    for arch in resnet18 improved_wideresnet28_10 preact_resnext29_8x64d; do
        cudnn-plans --arch $arch --precision bf16 >again
        diff <(without_origin <"$arch") <(without_origin <again)
        [ "$(rows again heuristic || true)" != 0 ] || all_cached=yes
    done
    [ "$all_cached" = yes ]
}
