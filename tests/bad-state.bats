#!/usr/bin/env bats
# Checkpoints of a run that are odd, and right all the same; also in the build with sanitizers.

load helper
load tiny
load stops

setup_file() {
    tiny_data
}

# odd_header FILE: what follows the header, and so every tensor, begins at an odd address.
odd_header() {
    python3 - "$1" <<'END'
import struct, sys
file = open(sys.argv[1], "r+b")
content = file.read()
end = 8 + struct.unpack("<Q", content[:8])[0]
header = content[8:end].rstrip(b" ")
header += b" " * (1 - len(header) % 2)
file.seek(0)
file.write(struct.pack("<Q", len(header)) + header + content[end:])
file.truncate()
END
}

@test "a header of odd length: weights and moments are read, aligned or not" {
    local device=cpu
    [ "${HAVE_DNNL:-1}" = 1 ] || device=ref
    train whole --device $device --steps 3 >whole.jsonl
    train often --device $device --steps 2 >often.jsonl
    odd_header often/last.safetensors
    odd_header often/best.safetensors
    train often --device $device --steps 3 >often.jsonl
    cmp whole/last.safetensors often/last.safetensors
    cmp whole/best.safetensors often/best.safetensors
}

# forged MEMBER VALUE COMMAND...: with another value in the state, and a checksum that fits.
forged() {
    local member=$1 value=$2
    shift 2
    rm -rf forged
    cp -r whole forged
    python3 "$ROOT/tests/bad/forge_state.py" forged/last.safetensors "$member" "$value"
    "$@"
}

@test "a state that no run can have is refused, whatever its checksum" {
    local most=9223372036854775807 value
    train whole --device ref --steps 3 >whole.jsonl
    forged batch 3 train forged --device ref --steps 4 >forged.jsonl
    for value in "epoch $most" "epoch 3" "epochs_done 1" "best_step 4" "history_lines 0"; do
        # shellcheck disable=SC2086
        forged $value run -3 --separate-stderr train forged --device ref
        [[ ${stderr_lines[0]} == *"forged/last.safetensors: train.state: impossible values; "* ]] ||
            fail "$value: $stderr"
    done
    for value in "batch $most" "batch 6" "step $most" "step 6" "sum_images $most" \
        "sum_images 25"; do
        # shellcheck disable=SC2086
        forged $value fails_with 3 "fusion-train: forged: impossible state" \
            train forged --device ref
    done
}

@test "what a run writes is not written behind a link" {
    local name
    train whole --device ref --steps 1 >whole.jsonl
    echo mine >mine
    for name in history.jsonl clock lock best.safetensors last.safetensors; do
        rm -rf linked
        cp -r whole linked
        ln -sf ../mine "linked/$name"
        fails_with 3 "fusion-train: linked/$name: not a regular file, as those of a run are" \
            train linked --device ref
        assert_equal "$(cat mine)" mine
    done
}
