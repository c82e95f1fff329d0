#!/usr/bin/env bats
# The whole way: an archive goes in, the files of four fused models come out, by the targets that a
# person uses.  Once small, as the demo; once with the full-size networks on the real archive.

load helper

setup() {
    cd "$ROOT" || return
    unset_make
    out=$BATS_TEST_TMPDIR/out
}

in_tree() {
    make --no-print-directory B="$FX_BUILD" "$@"
}

mission='densenet multiplicative
resnet multiplicativeAddition
improved_wide_resnet TransformerBase
resnext concatenation'

csv() { # FAMILY FUSION
    echo "$out/csv_logs/$1_fusions/$1_$2_training_log.csv"
}

# Every file of every run, and nothing under a temporary name.
everything_is_there() {
    local family fusion parts
    while read -r family fusion; do
        parts=$out/${family}_fusions/$fusion
        for k in 0 1 2 3; do
            assert_exists "$parts/experts/${family}_expert_${k}_best.pth"
        done
        assert_exists "$parts/fusion/${family}_${fusion}_fusion_best.pth"
        assert_exists "$parts/global/${family}_${fusion}_global_head_best.pth"
        assert_exists "$(csv "$family" "$fusion")"
        assert_exists "$out/runs/$family-$fusion/best.safetensors"
        assert_exists "$out/runs/$family-$fusion/last.safetensors"
    done <<<"$mission"
    assert_equal "$(find "$out" -name '*tmp*' -o -name '*.part')" ""
}

n='[0-9]+\.[0-9]{2}'
small=(DEMO_IMAGES=500 DEMO_EPOCHS=2 DEMO_EXPERT_EPOCHS=1)

@test "the demo: four runs side by side, a table, the curves; again, it has nothing to do" {
    run -0 in_tree demo DEMO="$out" "${small[@]}"
    everything_is_there
    while read -r family fusion; do
        assert_line --regexp \
            "^$family-$fusion( +$n){9} +[-+]$n \+- +$n +[0-9]+( +-){3} +500$"
        assert_equal "$(wc -l <"$(csv "$family" "$fusion")")" 3
    done <<<"$mission"
    assert_line --partial "[task-0-densenet-multiplicative]"
    assert_line --partial "[task-3-resnext-concatenation]"
    assert_exists "$out/curves/all.png"
    touch "$BATS_TEST_TMPDIR/then"
    run -0 in_tree demo DEMO="$out" "${small[@]}"
    assert_equal "$(find "$out" -newer "$BATS_TEST_TMPDIR/then" -type f ! -path '*/curves/*')" ""
}

@test "full size, real archive: every file is there and PyTorch loads every component" {
    skip_without CIFAR100
    [ "$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)" -ge 12 ] ||
        skip "needs 12 GiB of memory"
    [ "$(df --output=avail -BG "$BATS_TEST_TMPDIR" | tr -dc 0-9)" -ge 10 ] ||
        skip "needs 10 GiB of disk"
    run -0 in_tree -j4 all-fusions DATA="$CIFAR100" OUT="$out" INIT=1 BATCH=8 STEPS=2 VAL_LIMIT=64
    everything_is_there
    python=$(torch_python)
    [ -n "$python" ] || skip "no PyTorch to load the files with"
    run -0 "$python" - "$out" <<'EOF'
import pathlib, sys, torch
files = sorted(pathlib.Path(sys.argv[1]).glob("*_fusions/**/*.pth"))
for file in files:
    state = torch.load(file, weights_only=True)
    assert state and all(isinstance(t, torch.Tensor) for t in state.values()), file
print(len(files))
EOF
    assert_output 24
}
