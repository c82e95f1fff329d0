#!/usr/bin/env bats
# ckpt-join from outside: the way back from ckpt-split, components in any mix, and every difference
# reported.  Models written by PyTorch are in tests/torch/pth.bats.

load helper

arch=resnet18:width=8,blocks=1-1-1-1

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    expert-load --quiet --init 1 --arch "$arch" -o experts.safetensors
    /usr/bin/python3 - <<'END'
import json, random, struct
random.seed(1)
def write(path, tensors):
    head, blob = {}, b''
    for name, shape in tensors.items():
        n = 1
        for side in shape: n *= side
        raw = struct.pack(f'<{n}f', *[random.gauss(0, 1) for _ in range(n)])
        at = [len(blob), len(blob) + 4 * n]
        head[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': at}
        blob += raw
    head['__metadata__'] = {'epoch': '3', 'val_accuracy': '71.25'}
    text = json.dumps(head).encode()
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + blob)
D = 64
fusion = {f'norms.{k}.{p}': [D] for k in range(4) for p in ('weight', 'bias')}
fusion.update({f'mlp.{i}.weight': [D, D] for i in (0, 3)})
fusion.update({f'mlp.{i}.bias': [D] for i in (0, 3)})
write('fusion.safetensors', fusion)
write('head.safetensors', {'weight': [100, D], 'bias': [100]})
END
    ckpt-join --quiet --arch "$arch" --fusion multiplicative -o model.safetensors \
        experts.safetensors fusion.safetensors head.safetensors
    ckpt-split --quiet -d parts model.safetensors
    ckpt-split --quiet -d parts --format safetensors model.safetensors
}

# The bytes of all tensors: what stands behind the header.
body() {
    local n
    n=$(od -An -tu8 -N8 "$1")
    tail -c +$((n + 9)) "$1"
}
join() { ckpt-join --quiet --arch "$arch" --fusion multiplicative -o joined.safetensors "$@"; }
whole() { # every tensor is that of the model that was split
    local model=$BATS_FILE_TMPDIR/model.safetensors
    cmp <(expert-load --list joined.safetensors) <(expert-load --list "$model")
    cmp <(body joined.safetensors) <(body "$model")
}

@test "split and join give the same tensors" {
    cd "$BATS_FILE_TMPDIR/parts"
    join experts/*.pth fusion/*.pth global/*.pth
    whole
}

@test "from safetensors, from a mix, in another order" {
    cd "$BATS_FILE_TMPDIR/parts"
    join global/*.safetensors experts/*.safetensors fusion/*.pth
    whole
    join fusion/*.pth experts/*_{0,1}_best.pth global/*.pth experts/*_{2,3}_best.safetensors
    whole
    join ../experts.safetensors fusion/*.pth global/*.pth
    whole
}

@test "an expert that says which one it is takes that place, whatever the order" {
    cd "$BATS_FILE_TMPDIR/parts"
    join experts/*_{3,1,0,2}_best.pth fusion/*.pth global/*.pth
    whole
    join experts/*_{2,3,1,0}_best.safetensors fusion/*.pth global/*.pth
    whole
    # Two that do not say it take the places that are left.
    cp experts/resnet_expert_0_best.pth "$BATS_TEST_TMPDIR/some.pth"
    cp experts/resnet_expert_2_best.pth "$BATS_TEST_TMPDIR/other.pth"
    join experts/*_{3,1}_best.pth "$BATS_TEST_TMPDIR"/{some,other}.pth fusion/*.pth global/*.pth
    whole
}

@test "experts that do not say which one they are are numbered in the order of the operands" {
    cp -r "$BATS_FILE_TMPDIR/parts" .
    cd parts
    rm experts/*.json
    join experts/*_{1,0,2,3}_best.pth fusion/*.pth global/*.pth
    run ! cmp -s <(body joined.safetensors) <(body "$BATS_FILE_TMPDIR/model.safetensors")
    ckpt-split --quiet -d swapped --format safetensors joined.safetensors
    cmp <(body swapped/experts/resnet_expert_0_best.safetensors) \
        <(body experts/resnet_expert_1_best.safetensors)
    # A .json of somebody else, and one that is none.
    echo '{"component":7}' >experts/resnet_expert_1_best.json
    echo '{' >experts/resnet_expert_0_best.json
    cp joined.safetensors before
    run -0 --separate-stderr join experts/*_{1,0,2,3}_best.pth fusion/*.pth global/*.pth
    assert_regex "$stderr" \
        '^ckpt-join: warning: experts/resnet_expert_0_best.json: line 2: .*; ignored$'
    cmp <(body joined.safetensors) <(body before)
}

@test "an expert that the model does not have, and one given twice, are refused" {
    cd "$BATS_FILE_TMPDIR/parts"
    fails_with 3 "ckpt-join: *_3_best.pth: says that it is expert 3, the model has 2 (--count)" \
        ckpt-join --arch "$arch" --fusion multiplicative --count 2 experts/*_{0,3}_best.pth
    run -3 --separate-stderr ckpt-join --arch "$arch" --fusion multiplicative \
        experts/*_1_best.{pth,safetensors} experts/*_{2,3}_best.pth fusion/*.pth global/*.pth
    assert_regex "${stderr_lines[0]}" "^ckpt-join: .*: expert_backbones.1.[a-z0-9_.]*: also in "
}

@test "values that are not finite are refused" {
    cp "$BATS_FILE_TMPDIR/model.safetensors" .
    # The last value of the file.
    printf '\0\0\300\177' | dd of=model.safetensors bs=1 conv=notrunc status=none \
        seek=$(($(stat -c %s model.safetensors) - 4))
    fails_with 3 "ckpt-join: model.safetensors: *: values that are not finite: 1" \
        ckpt-join --arch "$arch" --fusion multiplicative model.safetensors
}

@test "a whole model comes through unchanged, also from a pipe" {
    cp "$BATS_FILE_TMPDIR/model.safetensors" .
    join model.safetensors
    whole
    rm joined.safetensors
    ckpt-join --quiet --arch "$arch" --fusion multiplicative - <model.safetensors |
        cat >joined.safetensors
    whole
}

@test "architecture, fusion and numbers come from the files of ckpt-split" {
    cd "$BATS_FILE_TMPDIR/parts"
    joined=$BATS_TEST_TMPDIR/joined.safetensors
    for end in pth safetensors; do
        run -0 --separate-stderr ckpt-join -o "$joined" {experts,fusion,global}/*."$end"
        assert_equal "$stderr" \
            "ckpt-join: $arch, multiplicative, 4 experts, 100 classes: 6 files, 310 tensors"
        cmp <(body "$joined") <(body ../model.safetensors)
        expert-load --verbose --list "$joined" 2>said >/dev/null
        for line in "arch = $arch" "experts = 4" "classes = 100" "epoch = 3" \
            "val_accuracy = 71.25"; do
            grep -qF "joined.safetensors: $line" said || fail "$end: no $line"
        done
    done
    # A whole model says it of itself; two experts of ten classes.
    ckpt-join --quiet -o "$BATS_TEST_TMPDIR/again" "$joined"
    cd "$BATS_TEST_TMPDIR"
    cmp <(body again) <(body joined.safetensors)
    expert-load --quiet --count 2 --classes 10 --init 1 --arch "$arch" -o two.safetensors
    ckpt-split --quiet -d two two.safetensors
    fails_with 3 'ckpt-join: the files together: no tensors of fusion_module, global_head' \
        ckpt-join --fusion multiplicative two/experts/*.pth
    run -3 ckpt-join --fusion multiplicative --count 3 two/experts/*.pth
    assert_output --partial "no tensors of expert_backbones.2, fusion_module, global_head"
}

@test "experts that differ say so, each for itself" {
    expert-load --quiet --init 1 -o mixed.safetensors \
        --arch "$arch;resnet18:width=8;$arch;resnet18:width=8"
    ckpt-split --quiet -d mixed mixed.safetensors
    ckpt-join --quiet -o joined.safetensors mixed/experts/*.pth \
        "$BATS_FILE_TMPDIR"/parts/{fusion,global}/*.pth
    expert-load --verbose --list joined.safetensors 2>said >/dev/null
    grep -F "arch = $arch;resnet18:width=8;$arch;resnet18:width=8" said
    # One without its .json is in the way of that.
    rm mixed/experts/*_1_best.json
    run -3 --separate-stderr ckpt-join mixed/experts/*.pth \
        "$BATS_FILE_TMPDIR"/parts/{fusion,global}/*.pth
    assert_regex "${stderr_lines[-1]}" "says arch .*, but .* says .*; --arch decides$"
}

@test "an option decides over what the files say, and where they contradict each other" {
    cp -r "$BATS_FILE_TMPDIR/parts" .
    cd parts
    sed -i 's/"fusion": "multiplicative"/"fusion": "concatenation"/' experts/*.json
    ckpt-join --quiet -o joined.safetensors {experts,fusion,global}/*.pth
    sed -i 's/"classes": 100/"classes": 10/' global/*.json
    said='global/*.pth: says classes 10, but experts/*_0_best.pth says 100; --classes decides'
    fails_with 3 "ckpt-join: $said" ckpt-join {experts,fusion,global}/*.pth
    ckpt-join --quiet --classes 100 -o joined.safetensors {experts,fusion,global}/*.pth
    sed -i 's/"fusion": "multiplicative"/"fusion": "concatenation"/' fusion/*.json
    run -3 ckpt-join --classes 100 {experts,fusion,global}/*.pth
    assert_output --partial "mlp.0.weight: shape (64, 64), expected (64, 256)"
    join --classes 100 {experts,fusion,global}/*.pth
}

@test "differences: twenty lines, then a count; file by file" {
    cd "$BATS_FILE_TMPDIR/parts"
    run -3 --separate-stderr ckpt-join --arch resnet18:width=4 --fusion multiplicative \
        {experts,fusion,global}/*.pth
    assert_equal "$(grep -c 'shape (' <<<"$stderr")" 20
    assert_regex "$stderr" "experts/resnet_expert_0_best.pth: differences not shown: [0-9]+"
    # The lines of a file stand together, and its last one is the count.
    mapfile -t files < <(sed -E 's/^ckpt-join: ([^:]*):.*/\1/' <<<"$stderr" | uniq)
    assert_equal "${#files[@]}" 6
    assert_equal "$(grep -c 'does not fit resnet18:width=4: [0-9]' <<<"$stderr")" 6
}

@test "the metadata keeps what the files agree on" {
    cd "$BATS_FILE_TMPDIR"
    expert-load --verbose --list model.safetensors 2>said >/dev/null
    for line in "arch = $arch" "fusion = multiplicative" "experts = 4" "classes = 100" "epoch = 3" \
        "val_accuracy = 71.25" "source.1 = fusion.safetensors" "tool = ckpt-join"; do
        grep -qF "model.safetensors: $line" said || fail "no: $line"
    done
}

@test "usage" {
    cd "$BATS_FILE_TMPDIR"
    fails_with 2 'ckpt-join: --arch: which architecture? no file says it' \
        ckpt-join --fusion multiplicative fusion.safetensors
    fails_with 2 'ckpt-join: --fusion: which fusion module? no file says it' \
        ckpt-join --arch "$arch" experts.safetensors
    fails_with 2 'ckpt-join: no files given' ckpt-join --arch "$arch" --fusion multiplicative
    fails_with 2 'ckpt-join: unknown architecture *nosuch*' \
        ckpt-join --arch nosuch --fusion multiplicative experts.safetensors
    fails_with 2 'ckpt-join: 7 files given, 4 experts, fusion and head wanted (--count)' \
        ckpt-join --arch "$arch" --fusion multiplicative parts/*/*.pth fusion.safetensors
    fails_with 2 'ckpt-join: 11 files given, a model has at most 10 parts' \
        ckpt-join a b c d e f g h i j k
}

@test "components that no file brings are named" {
    cd "$BATS_FILE_TMPDIR/parts"
    fails_with 3 'ckpt-join: the files together: no tensors of expert_backbones.3, global_head' \
        ckpt-join --arch "$arch" --fusion multiplicative experts/*_{0,1,2}_best.pth fusion/*.pth
    fails_with 3 'ckpt-join: ../experts.safetensors: no tensors of fusion_module, global_head' \
        ckpt-join --arch "$arch" --fusion multiplicative ../experts.safetensors
}

@test "a component given twice is named" {
    cd "$BATS_FILE_TMPDIR/parts"
    run -3 --separate-stderr ckpt-join --arch "$arch" --fusion multiplicative -o no.safetensors \
        ../experts.safetensors fusion/*.pth global/*.pth global/*.safetensors
    assert_regex "${stderr_lines[0]}" \
        "_head_best.safetensors: global_head.bias: also in global/.*pth$"
    assert_regex "${stderr_lines[-1]}" "does not fit $arch: 2 given twice$"
    assert_not_exist no.safetensors
}

@test "the fusion module of another fusion is reported tensor by tensor" {
    cd "$BATS_FILE_TMPDIR/parts"
    run -3 --separate-stderr ckpt-join --arch "$arch" --fusion concatenation \
        experts/*.pth fusion/*.pth global/*.pth
    assert_equal "$output" ""
    assert_equal "${#stderr_lines[@]}" 1
    assert_regex "${stderr_lines[0]}" \
        "fusion_best.pth: mlp.0.weight: shape \(64, 64\), expected \(64, 256\)$"
}

@test "a tensor that is missing in a whole model is named with its whole name" {
    cp "$BATS_FILE_TMPDIR/model.safetensors" .
    /usr/bin/python3 - <<'END'
import json, struct
data = open('model.safetensors', 'rb').read()
n, = struct.unpack('<Q', data[:8])
head, body = json.loads(data[8:8 + n]), data[8 + n:]
head.pop('__metadata__')
gone = head.pop('expert_backbones.2.linear.bias')
b, e = gone['data_offsets']
for v in head.values():
    if v['data_offsets'][0] >= e: v['data_offsets'] = [x - (e - b) for x in v['data_offsets']]
text = json.dumps(head).encode()
open('model.safetensors', 'wb').write(struct.pack('<Q', len(text)) + text + body[:b] + body[e:])
END
    said='model.safetensors: expert_backbones.2.linear.bias: missing, expected (100,) F32'
    fails_with 3 "ckpt-join: $said" \
        ckpt-join --arch "$arch" --fusion multiplicative model.safetensors
}

@test "a damaged file leaves nothing" {
    cd "$BATS_FILE_TMPDIR/parts"
    head -c 5000 global/*.pth >"$BATS_TEST_TMPDIR/cut.pth"
    cut=$BATS_TEST_TMPDIR/cut.pth
    fails_with 3 "ckpt-join: $cut: *" ckpt-join --arch "$arch" --fusion multiplicative \
        -o "$BATS_TEST_TMPDIR/out" experts/*.pth fusion/*.pth "$cut"
    assert_equal "$(find "$BATS_TEST_TMPDIR" -name '*out*')" ""
}
