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
