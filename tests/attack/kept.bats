#!/usr/bin/env bats
# What once broke a reader of strangers' bytes (tests/fuzz/kept), what make fuzz begins with, and
# mutants of both, given to the targets of tests/fuzz/targets.h; also in the build with sanitizers.

load ../helper

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    python3 "$ROOT/tests/attack/seeds.py" seeds
}

given() { # TARGET MUTANTS [--changing]
    local -a files
    mapfile -t files < <(find "$BATS_FILE_TMPDIR/seeds/$1" "$ROOT/tests/fuzz/kept/$1" -type f \
        2>/dev/null | sort)
    [ "${#files[@]}" -gt 0 ] || fail "no inputs for $1"
    # shellcheck disable=SC2086
    FX_FUZZ_N=$2 fuzz-inputs ${3:-} "$1" "${files[@]}"
}

@test "tensors: pth, pickle, safetensors, npy, and what is written of them" {
    given pth 3000
    given pickle 3000
    given safetensors 3000
    given npy 1000
    given writers 3000
}

@test "CIFAR archives" {
    given cifar 500
}

@test "pictures" {
    given picture 2000
}

@test "metrics, as table, page, view and logs" {
    given metrics 300
}

@test "a run's folder" {
    given resume 1000
}

@test "options" {
    given options 3000
}

@test "what is mapped may change while it is read" {
    for target in pth pickle safetensors npy picture; do
        given "$target" 500 --changing
    done
}

@test "every target is among them" {
    local target
    while read -r target; do
        grep -q "    given $target " "$BATS_TEST_FILENAME" || fail "$target"
        grep -q "^FUZZ := .*$target" "$ROOT/tests/check.mk" || fail "$target"
    done < <(grep -o '{ "[a-z]*", target_' "$ROOT/tests/fuzz/targets.h" | cut -d '"' -f 2)
}
