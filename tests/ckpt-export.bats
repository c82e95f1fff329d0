#!/usr/bin/env bats
# ckpt-export from outside: what the file holds, by the decoder of Protocol Buffers; the same bytes
# twice; what is refused.  What it computes is compared in tests/onnx/logits.bats, its structure for
# every family and fusion in tests/unit/onnx_file.c.

load helper
load tiny

setup_file() {
    tiny_data
    fusion-train -q --fusion gated --steps 1 --batch 8 --device ref --data data.safetensors \
        --checkpoint-dir run <experts.safetensors >run.jsonl
}

best() { echo "$BATS_FILE_TMPDIR/run/best.safetensors"; }

# decoded FILE: its fields as text; the bytes of weights are left out.
decoded() {
    command -v protoc >/dev/null || skip "no protoc"
    protoc --decode_raw <"$1" | grep -v '^    9: ' >text
}

# says KEY VALUE: the metadata of the decoded file.
says() {
    grep -F -A1 "  1: \"$1\"" text | grep -qF "  2: \"$2\"" || fail "$1 is not $2"
}

@test "the file is a model of opset 17 with images in and logits out" {
    ckpt-export --format onnx -q -o model.onnx "$(best)"
    decoded model.onnx
    assert_equal "$(grep -A1 '^8 {' text)" $'8 {\n  2: 17'
    assert_equal "$(grep -A1 '^  11 {' text)" $'  11 {\n    1: "images"'
    assert_equal "$(grep -A1 '^  12 {' text | grep -o '".*"' | tr '\n' ' ')" '"fused" "experts" '
    grep -q '^    4: "Softmax"' text
    says arch "$tiny_arch"
    says fusion gated
    says experts 4
    says classes 5
    says mean '[0.5071,0.4865,0.4409]'
    says std '[0.2673,0.2564,0.2762]'
    grep -A1 '"fine_labels"' text | grep -q '\[\\"'
}

@test "the same model gives the same bytes, from a file and from a pipe" {
    ckpt-export -q -o one.onnx "$(best)"
    ckpt-export -q <"$(best)" >two.onnx
    ckpt-export -q -o three.onnx - <"$(best)"
    cmp one.onnx two.onnx
    cmp one.onnx three.onnx
}

@test "a folder of components gives the bytes of its checkpoint" {
    ckpt-export -q -o whole.onnx "$(best)"
    for format in pth safetensors; do
        ckpt-split -q --format $format -d $format "$(best)"
        ckpt-export -q -o parts.onnx $format
        cmp whole.onnx parts.onnx
    done
}

@test "a folder that is not of one whole model is refused" {
    mkdir empty
    fails_with 3 "ckpt-export: empty: is a directory, *; nor are components in it, *" \
        ckpt-export -o model.onnx empty
    ckpt-split -q -d parts "$(best)"
    cp -r parts bare
    rm bare/*/*.json
    fails_with 3 "ckpt-export: bare: --arch: *; ckpt-join takes it as an option" \
        ckpt-export -o model.onnx bare
    cp -r parts both
    ckpt-split -q --format safetensors -d both "$(best)"
    fails_with 3 "ckpt-export: both: components as .pth and as .safetensors are in it: *" \
        ckpt-export -o model.onnx both
    rm parts/fusion/*
    fails_with 3 "ckpt-export: parts: --fusion: *; ckpt-join takes it as an option" \
        ckpt-export -o model.onnx parts
    cp both/fusion/*.{pth,json} parts/fusion
    rm parts/experts/resnet_expert_2_best.*
    fails_with 3 "ckpt-export: the files together: no tensors of expert_backbones.2" \
        ckpt-export -o model.onnx parts
    head -c 1000 both/experts/resnet_expert_2_best.pth >parts/experts/resnet_expert_2_best.pth
    for part in parts bare; do
        cp parts/experts/resnet_expert_2_best.pth bare/experts
        run -3 ckpt-export --data "$data" -o model.onnx $part
        assert_line --partial "$part/experts/resnet_expert_2_best.pth: "
        assert_equal "${#lines[@]}" 1
    done
    assert_not_exists model.onnx
}

@test "a folder of experts alone is an experts stream" {
    ckpt-export -q --data "$data" -o whole.onnx "$experts"
    ckpt-split -q -d parts "$experts"
    ckpt-export -q --data "$data" -o parts.onnx parts
    cmp whole.onnx parts.onnx
    rm parts/experts/resnet_expert_2_best.*
    fails_with 3 "ckpt-export: the files together: no tensors of expert_backbones.2" \
        ckpt-export --data "$data" -o model.onnx parts
}

@test "what is no file in a folder of components is not waited for" {
    ckpt-split -q -d parts "$(best)"
    mkfifo parts/fusion/other.json
    ckpt-export -q -o model.onnx parts
    mkfifo parts/fusion/other.pth
    fails_with 3 "ckpt-export: parts/fusion/other.pth: is no regular file" \
        timeout 60 ckpt-export -o other.onnx parts
    rm parts/fusion/other.pth
    ln -s nowhere parts/fusion/other.pth
    fails_with 1 "ckpt-export: parts/fusion/other.pth: No such file or directory" \
        ckpt-export -o other.onnx parts
}

@test "an experts stream has no fused logits" {
    ckpt-export -q --data "$data" -o model.onnx "$experts"
    decoded model.onnx
    assert_equal "$(grep -A1 '^  12 {' text | grep -o '".*"')" '"experts"'
    says mean '[0.5071,0.4865,0.4409]'
}

@test "a model that does not say how images were normalised takes that from its data set" {
    fails_with 2 "ckpt-export: $experts: does not say how images were normalised; name its *" \
        ckpt-export -o model.onnx "$experts"
    fails_with 3 "ckpt-export: $(best): is a checkpoint, not a data set; *" \
        ckpt-export --data "$(best)" -o model.onnx "$experts"
    mkcifar --train 200 --test 20 --classes 7 -o seven.tar.gz
    cifar-prep -q -o seven.safetensors seven.tar.gz
    fails_with 3 "ckpt-export: $experts: the model has 5 classes, the data set seven.safetensors *" \
        ckpt-export --data seven.safetensors -o model.onnx "$experts"
    assert_not_exists model.onnx
}

# edited KEY VALUE: best.safetensors with other metadata, without it where VALUE is "-", or with a
# weight that is not a number.
edited() {
    python3 - "$(best)" "$@" <<'END'
import json, struct, sys
path, key, value = sys.argv[1:]
data = open(path, "rb").read()
n, = struct.unpack("<Q", data[:8])
head, body = json.loads(data[8:8 + n]), bytearray(data[8 + n:])
if key in head:
    at = head[key]["data_offsets"][0]
    body[at:at + 4] = struct.pack("<f", float(value))
elif value == "-":
    del head["__metadata__"][key]
else:
    head["__metadata__"][key] = value
text = json.dumps(head).encode()
open("edited", "wb").write(struct.pack("<Q", len(text)) + text + body)
END
}

@test "a data set fills in what the model does not say, and changes nothing of what it says" {
    local data=$BATS_FILE_TMPDIR/data.safetensors
    ckpt-export -q -o whole.onnx "$(best)"
    for key in std fine_labels; do
        edited "$key" -
        ckpt-export -q --data "$data" -o filled.onnx edited
        diff <(strings filled.onnx | sort) <(strings whole.onnx | sort)
    done
    edited std -
    fails_with 2 "ckpt-export: edited: does not say how images were normalised; name its *" \
        ckpt-export -o model.onnx edited
    edited mean '[0.1, 0.2, 0.3]'
    ckpt-export -q -o own.onnx edited
    ckpt-export -q --data "$data" -o own-too.onnx edited
    cmp own.onnx own-too.onnx
}

@test "what is no model that could be used is refused" {
    edited global_head.bias nan
    fails_with 3 "ckpt-export: edited: global_head.bias: values that are not finite: 1" \
        ckpt-export -o model.onnx edited
    edited std '[1,0,1]'
    fails_with 3 "ckpt-export: edited: metadata 'std': \[1,0,1\]: not three sensible numbers" \
        ckpt-export -o model.onnx edited
    edited fusion sum
    fails_with 3 "ckpt-export: edited: metadata: unknown fusion 'sum' (there are: *" \
        ckpt-export -o model.onnx edited
    edited arch "$tiny_arch;$tiny_arch"
    fails_with 3 "ckpt-export: edited: metadata: architecture '*': lists 2 for 4 experts" \
        ckpt-export -o model.onnx edited
    head -c 9999 "$(best)" >short
    fails_with 3 "ckpt-export: short: cut off: *" ckpt-export -o model.onnx short
    run -2 ckpt-export --format pb "$(best)"
    assert_line "ckpt-export: --format pb: must be one of onnx"
    assert_not_exists model.onnx
}

@test "a full disk leaves nothing" {
    [ -w /dev/full ] || skip "no /dev/full"
    fails_with 1 "ckpt-export: /dev/full: No space left on device" \
        ckpt-export -o /dev/full "$(best)"
    fails_with 1 "ckpt-export: no/model.onnx: No such file or directory" \
        ckpt-export -o no/model.onnx "$(best)"
}
