#!/usr/bin/env bats
# What a file may cost that is made to be dear to read (hostile.py): instructions, counted by
# callgrind, at most in proportion to its size, and memory.

load ../helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

# work KIND N: sets `bytes` of the file and `instructions` of the tool that reads it.
work() {
    python3 "$ROOT/tests/attack/hostile.py" "$1" "$2" file
    bytes=$(stat -c %s file)
    timeout 300 valgrind --tool=callgrind --callgrind-out-file=/dev/null expert-load --list file \
        >out 2>said || true
    instructions=$(sed -n 's/.*Collected : //p' said)
    [ -n "$instructions" ] || fail "$(cat said)"
}

# bounded N KIND...: four times as much takes at most some four times as long, and no byte more than
# ten thousand instructions.
bounded() {
    local n=$1 kind none small small_bytes
    shift
    command -v valgrind >/dev/null || skip "no valgrind"
    for kind; do
        work plain 1
        none=$instructions
        work "$kind" "$n"
        small=$((instructions - none)) small_bytes=$bytes
        work "$kind" $((4 * n))
        echo "# $kind: $bytes bytes, $instructions instructions" >&3
        [ $((instructions - none)) -lt $((small * bytes * 3 / (2 * small_bytes))) ] ||
            fail "$kind: $small of $small_bytes bytes, $instructions of $bytes"
        [ $((instructions - none)) -lt $((10000 * bytes)) ] || fail "$kind"
    done
}

@test "values that are shared again and again" {
    bounded 64 shared shared-tensors modules lists
}

@test "scalars beside a state dict, metadata" {
    bounded 256 scalars metadata
}

@test "names, and names that would collide" {
    bounded 1024 names
    bounded 2048 colliding
}

@test "values within values" {
    bounded 1024 brackets braces
}

@test "the memory of a header is bounded by its size" {
    python3 "$ROOT/tests/attack/hostile.py" braces 3000000 file
    (
        ulimit -v 400000 # before: 700,000 for these 9 MB
        fails_with 3 "*: safetensors header: *: needs more than 64 MiB and 16 times its size" \
            expert-load --list file
    )
}

# jansson's lexer does not look whether it got room for a string: it must not be refused any.
@test "a string at the bound of a header's memory" {
    run -0 python3 - <<'END'
import struct, subprocess
for n in range(386558, 386720, 8):
    text = b'{"a":[' + b"{}," * n + b'"' + b"x" * 3000 + b'"]}'
    with open("file", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
    status = subprocess.run(["expert-load", "--list", "file"], stderr=subprocess.PIPE).returncode
    assert status == 3, (n, status)
END
}
