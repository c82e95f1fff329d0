#!/usr/bin/env bats
# expert-load from outside: what it lists, what it takes, every difference that it reports, and that
# a refusal leaves nothing.  Files are made by our own ckpt-split; PyTorch's own files are in
# tests/torch/pth.bats, hostile ones in tests/bad.bats.

load helper

small=resnet18:width=8,blocks=1-1-1-1

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    expert-load --quiet --init 1 --arch "$small" -o experts.safetensors
    ckpt-split --quiet -d pth experts.safetensors
    ckpt-split --quiet --format safetensors -d st experts.safetensors
}

PTH=("$BATS_FILE_TMPDIR"/pth/experts/resnet_expert_{0,1,2,3}_best.pth)
ST=("$BATS_FILE_TMPDIR"/st/experts/resnet_expert_{0,1,2,3}_best.safetensors)

# change IN OUT PYTHON: apply a statement to the dict `sd` of name -> (dtype, shape, bytes).
change() {
    /usr/bin/python3 - "$@" <<'END'
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n, = struct.unpack('<Q', data[:8])
head, body = json.loads(data[8:8 + n]), data[8 + n:]
head.pop('__metadata__', None)
sd = {k: [v['dtype'], v['shape'], body[slice(*v['data_offsets'])]] for k, v in head.items()}
exec(sys.argv[3])
out, at, blob = {}, 0, b''
for k, (dtype, shape, raw) in sd.items():
    out[k] = {'dtype': dtype, 'shape': shape, 'data_offsets': [at, at + len(raw)]}
    at += len(raw); blob += raw
text = json.dumps(out).encode()
text += b' ' * (-len(text) % 8)
open(sys.argv[2], 'wb').write(struct.pack('<Q', len(text)) + text + blob)
END
}

@test "four files become one stream with the tensors of the first one" {
    expert-load --quiet --arch "$small" "${PTH[@]}" >stream.safetensors
    cmp <(expert-load --list stream.safetensors) \
        <(expert-load --list "$BATS_FILE_TMPDIR/experts.safetensors")
    # The tensors' bytes are those of the stream that was split: only the metadata differs.
    tail -c 300000 stream.safetensors |
        cmp - <(tail -c 300000 "$BATS_FILE_TMPDIR/experts.safetensors")
}

@test "pth and safetensors give the same stream" {
    expert-load --quiet --arch "$small" -o a.safetensors "${PTH[@]}"
    expert-load --quiet --arch "$small" -o b.safetensors "${ST[@]}"
    tail -c 300000 a.safetensors | cmp - <(tail -c 300000 b.safetensors)
}

@test "the same seed gives the same bytes, another seed and another expert other ones" {
    expert-load --quiet --arch "$small" --init 7 -o same.safetensors
    cp same.safetensors first.safetensors
    expert-load --quiet --arch "$small" --init 7 -o same.safetensors
    cmp first.safetensors same.safetensors
    expert-load --quiet --arch "$small" --init 8 -o same.safetensors
    run ! cmp -s first.safetensors same.safetensors
    run ! cmp -s "$BATS_FILE_TMPDIR"/pth/experts/resnet_expert_{0,1}_best.pth
}

@test "the stream names arch, experts, classes, tool and sources" {
    expert-load --quiet --arch "$small" "${PTH[@]}" -o stream.safetensors
    expert-load --verbose --list stream.safetensors 2>said >/dev/null
    for line in "arch = $small" "experts = 4" "classes = 100" "tool = expert-load" \
        "expert.2.source = $BATS_FILE_TMPDIR/pth/experts/resnet_expert_2_best.pth"; do
        grep -qF "stream.safetensors: $line" said || fail "no: $line"
    done
}

@test "--list prints name, dtype and shape, tab-separated, in the order of the file" {
    run -0 expert-load --list "${PTH[0]}"
    assert_equal "${lines[0]}" "conv1.weight	F32	(8, 3, 3, 3)"
    assert_equal "${lines[5]}" "bn1.num_batches_tracked	I64	()"
    assert_equal "${#lines[@]}" 74
}

@test "options may stand between --list and its file" {
    run -0 --separate-stderr expert-load --list -v "$BATS_FILE_TMPDIR/experts.safetensors"
    assert_equal "$output" "$(expert-load --list "$BATS_FILE_TMPDIR/experts.safetensors")"
    assert_regex "$stderr" "experts.safetensors: tool = expert-load"
    fails_with 2 "expert-load: --list: takes one file and nothing else" expert-load --list a b
}

@test "--list reads a pipe" {
    run -0 bash -o pipefail -c "cat '${PTH[0]}' | expert-load --list - | wc -l"
    assert_output 74
}

@test "--list names the tensors of PyTorch's own files" {
    skip_without PTH_SAMPLES
    while read -r file n; do
        run -0 expert-load --list "$PTH_SAMPLES/$file"
        assert_equal "$file ${#lines[@]}" "$file $n"
    done <<'END'
legacy-net-acc-epoch.t7 107
legacy-optimizer.pth.tar 60
legacy-resnet20-cifar10.th 97
zip-bare-state-dict.pth 135
zip-numpy-scalar-optimizer.pth.tar 10
zip-torch2-net-acc-epoch.pth 128
END
}

@test "a number of files other than --count is a usage error" {
    fails_with 2 'expert-load: 3 files given, 4 experts wanted (--count)' \
        expert-load --arch "$small" "${PTH[@]:0:3}"
    fails_with 2 'expert-load: 4 files given, 2 experts wanted (--count)' \
        expert-load --count 2 --arch "$small" "${PTH[@]}"
    fails_with 2 'expert-load: x.pth: no files with --init' \
        expert-load --init 1 --arch "$small" x.pth
    fails_with 2 'expert-load: --arch: *' expert-load "${PTH[@]}"
    fails_with 2 'expert-load: *nosuchnet*' expert-load --arch nosuchnet --init 1
}

@test "a missing tensor is named, with what was expected" {
    change "${ST[0]}" x.safetensors 'del sd["layer1.0.conv2.weight"]'
    said='x.safetensors: layer1.0.conv2.weight: missing, expected (8, 8, 3, 3) F32'
    fails_with 3 "expert-load: $said" expert-load --count 1 --arch "$small" x.safetensors -o out
    assert_not_exist out
}

@test "an unknown tensor is named" {
    change "${ST[0]}" x.safetensors 'sd["extra"] = ["F32", [1], b"abcd"]'
    fails_with 3 'expert-load: x.safetensors: extra: not in this architecture' \
        expert-load --count 1 --arch "$small" x.safetensors
}

@test "another shape is named" {
    change "${ST[0]}" x.safetensors 'sd["bn1.bias"][1] = [2, 4]'
    fails_with 3 'expert-load: x.safetensors: bn1.bias: shape (2, 4), expected (8,)*' \
        expert-load --count 1 --arch "$small" x.safetensors
}

@test "another dtype is named" {
    change "${ST[0]}" x.safetensors 'sd["bn1.bias"] = ["I32", [8], bytes(32)]'
    fails_with 3 'expert-load: x.safetensors: bn1.bias: dtype I32, expected F32' \
        expert-load --count 1 --arch "$small" x.safetensors
}

@test "values that are not finite are named" {
    change "${ST[0]}" x.safetensors 'sd["bn1.bias"][2] = struct.pack("<8f", 1, *[float("nan")] * 7)'
    fails_with 3 'expert-load: x.safetensors: bn1.bias: values that are not finite: 7' \
        expert-load --count 1 --arch "$small" x.safetensors
    # Beyond what F32 can hold.
    change "${ST[0]}" x.safetensors 'sd["bn1.bias"] = ["F64", [8], struct.pack("<8d", *[1e39] * 8)]'
    fails_with 3 'expert-load: x.safetensors: bn1.bias: values that are not finite: 8' \
        expert-load --count 1 --arch "$small" x.safetensors
}

@test "a network of the right names and shapes is not taken for one of another size" {
    expert-load -q --init 1 --count 1 --arch resnet18:width=2 -o y.safetensors
    change y.safetensors x.safetensors 'for k in list(sd): sd[k.split(".", 2)[2]] = sd.pop(k)
sd["bn1.bias"][2] = bytes(4) + b"\0\0\xc0\x7f"'
    fails_with 3 'expert-load: x.safetensors: bn1.bias: values that are not finite: 1' \
        expert-load --count 1 --arch resnet18:width=2 x.safetensors
    run -3 --separate-stderr expert-load --count 1 --arch resnet18:width=4 x.safetensors
    assert_regex "${stderr_lines[-1]}" \
        "; its tensors are named like those of another size of resnet18"
}

@test "all differences of all files are reported, each on its line" {
    change "${ST[0]}" x.safetensors 'del sd["bn1.bias"]; sd["extra"] = ["F32", [1], b"abcd"]'
    change "${ST[0]}" y.safetensors 'sd["bn1.bias"][0] = "I32"'
    run -3 --separate-stderr expert-load --count 2 --arch "$small" x.safetensors y.safetensors
    assert_equal "$output" ""
    assert_equal "$stderr" "\
expert-load: x.safetensors: extra: not in this architecture
expert-load: x.safetensors: bn1.bias: missing, expected (8,) F32
expert-load: x.safetensors: does not fit $small: 1 missing, 1 unknown
expert-load: y.safetensors: bn1.bias: dtype I32, expected F32"
}

@test "the likely architecture is named" {
    expert-load --quiet --count 1 --init 1 --arch resnet18 -o one.safetensors
    ckpt-split --quiet -d other one.safetensors
    run -3 --separate-stderr expert-load --count 1 --arch densenet121:growth=8,blocks=1-1-1-1 \
        other/experts/resnet_expert_0_best.pth
    assert_regex "${stderr_lines[-1]}" "; its tensors are those of resnet18 with 100 classes$"
    run -3 --separate-stderr expert-load --count 1 --arch resnet18 --classes 10 \
        other/experts/resnet_expert_0_best.pth
    assert_regex "${stderr_lines[-1]}" "; its tensors are those of resnet18 with 100 classes$"
    run -3 --separate-stderr expert-load --count 1 --arch resnet18:width=16 \
        other/experts/resnet_expert_0_best.pth
    assert_regex "${stderr_lines[-1]}" "; its tensors are those of resnet18 with 100 classes$"
}

@test "f64, f16 and bf16 are converted with a warning, to the right values" {
    change "${ST[0]}" x.safetensors '
sd["bn1.bias"] = ["F64", [8], struct.pack("<8d", *[0.5, -2, 0, 1e-3, 3, 4, 5, 6])]
sd["bn1.running_mean"] = ["F16", [8], struct.pack("<8e", *[0.5, -2, 0, 1, 3, 4, 5, 65504])]
sd["bn1.running_var"] = ["BF16", [8], b"\x80\x3f" * 8]'
    run -0 --separate-stderr expert-load --count 1 --arch "$small" x.safetensors -o out.safetensors
    assert_equal "${stderr_lines[0]}" \
        "expert-load: warning: x.safetensors: 3 tensors are converted to F32"
    /usr/bin/python3 - <<'END'
import json, struct
data = open('out.safetensors', 'rb').read()
n, = struct.unpack('<Q', data[:8])
head, body = json.loads(data[8:8 + n]), data[8 + n:]
def get(name):
    v = head['expert_backbones.0.' + name]
    assert v['dtype'] == 'F32', v
    return list(struct.unpack('<8f', body[slice(*v['data_offsets'])]))
assert get('bn1.bias') == [0.5, -2, 0, struct.unpack('<f', struct.pack('<f', 1e-3))[0], 3, 4, 5, 6]
assert get('bn1.running_mean') == [0.5, -2, 0, 1, 3, 4, 5, 65504]
assert get('bn1.running_var') == [1.0] * 8
END
}

# tensors FILE: the bytes behind the header, which names the digest of what was read.
tensors() {
    tail -c +$((9 + $(od -An -t u8 -N 8 "$1"))) "$1"
}

@test "counters of other dtypes are whole numbers, or refused" {
    local spelling
    change "${ST[0]}" x.safetensors '
sd["bn1.num_batches_tracked"] = ["I64", [], struct.pack("<q", 1025)]'
    expert-load -q --count 1 --arch "$small" x.safetensors -o expected.safetensors
    for spelling in '"F32", [], struct.pack("<f", 1025)' '"F64", [], struct.pack("<d", 1025)' \
        '"I32", [1], struct.pack("<i", 1025)' '"I16", [], struct.pack("<h", 1025)'; do
        change "${ST[0]}" x.safetensors "sd['bn1.num_batches_tracked'] = [$spelling]"
        run -0 --separate-stderr expert-load --count 1 --arch "$small" x.safetensors \
            -o out.safetensors
        assert_regex "${stderr_lines[0]}" "1 counters num_batches_tracked are converted to I64$"
        cmp <(tensors out.safetensors) <(tensors expected.safetensors)
    done
    for spelling in '"F16", [], struct.pack("<e", 0.5)' '"F64", [], struct.pack("<d", 2**24 + 1)' \
        '"F32", [], struct.pack("<f", -2.0**64)' '"F32", [2], struct.pack("<2f", 1, 2)'; do
        change "${ST[0]}" x.safetensors "sd['bn1.num_batches_tracked'] = [$spelling]"
        run -3 expert-load --count 1 --arch "$small" x.safetensors -o out.safetensors
        assert_output --partial "bn1.num_batches_tracked: "
    done
}

@test "missing counters are set to 0 with a warning" {
    change "${ST[0]}" x.safetensors \
        '[sd.pop(k) for k in list(sd) if k.endswith("num_batches_tracked")]'
    run -0 --separate-stderr expert-load --count 1 --arch "$small" x.safetensors -o out.safetensors
    assert_equal "${stderr_lines[0]}" \
        "expert-load: warning: x.safetensors: 12 counters num_batches_tracked are missing: set to 0"
    assert_equal "$(expert-load --list out.safetensors | grep -c num_batches_tracked)" 12
}

@test "experts of different architectures" {
    expert-load --quiet --init 1 --count 2 --arch "$small;densenet121:growth=8,blocks=1-1-1-1" \
        -o mixed.safetensors
    ckpt-split --quiet -d mixed mixed.safetensors
    run -0 find mixed -name '*.pth' -printf '%P\n'
    assert_equal "$(sort <<<"$output")" "experts/densenet_expert_1_best.pth
experts/resnet_expert_0_best.pth"
    expert-load --quiet --count 2 --arch "$small;densenet121:growth=8,blocks=1-1-1-1" \
        mixed/experts/resnet_expert_0_best.pth mixed/experts/densenet_expert_1_best.pth |
        expert-load --list - >listed
    cmp listed <(expert-load --list mixed.safetensors)
}

@test "nothing is written when the last file is bad" {
    head -c 1000 "${PTH[3]}" >cut.pth
    fails_with 3 'expert-load: cut.pth: *' \
        expert-load --arch "$small" "${PTH[@]:0:3}" cut.pth -o out.safetensors
    assert_equal "$(find . -name '*out*')" ""
}

@test "binary is not written to a terminal" {
    run -2 script -qec "expert-load --arch $small --init 1" /dev/null
    assert_output --partial "refusing to write binary data to a terminal"
}

@test "a full disk is noticed" {
    run -1 bash -c "expert-load --quiet --arch $small --init 1 >/dev/full"
    assert_output --partial "No space left on device"
}

@test "a file that is not there" {
    fails_with 1 'expert-load: none.pth: No such file or directory' expert-load --list none.pth
}
