#!/usr/bin/env bats
# fusion-predict from outside: what it says is what fusion-eval's logits say, in every format, from
# files, standard input, data sets and a stream; and that what is bad stops nothing else.

load helper
load tiny

setup_file() {
    tiny_data
    cd "$BATS_FILE_TMPDIR" || return
    fusion-train -q --fusion concatenation --data "$data" --checkpoint-dir run --steps 4 --batch 20 \
        <experts.safetensors >run.jsonl
    fusion-train -q --fusion concatenation --fused residual --data "$data" --steps 1 --batch 20 \
        --checkpoint-dir residual <experts.safetensors >residual.jsonl
    cifar-view -n 1 --columns 1 --scale 3 -o one.png data.safetensors
    cifar-view -n 4 --columns 2 --scale 1 -o two.png data.safetensors
    head -c 900 one.png >cut.png
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return
}

model=${BATS_FILE_TMPDIR:-}/run/best.safetensors
predict() { fusion-predict -q --device ref "$@"; }

# compare LOGITS ANSWERS: classes and probabilities are the softmax of these logits.
compare() {
    /usr/bin/python3 - "$@" <<'END'
import json, math, struct, sys
data = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", data[:8])
head = json.loads(data[8:8 + n])
def rows(name):
    begin, end = head[name]["data_offsets"]
    n_rows, n_classes = head[name]["shape"]
    flat = struct.unpack(f"<{n_rows * n_classes}f", data[8 + n + begin:8 + n + end])
    return [flat[i * n_classes:(i + 1) * n_classes] for i in range(n_rows)]
def softmax(row):
    e = [math.exp(x - max(row)) for x in row]
    return [x / sum(e) for x in e]
def same(said, row, rank):
    p = softmax(row)
    order = sorted(range(len(p)), key=lambda c: -p[c])
    assert said["class"] == order[rank], (said, p)
    assert said["name"] == f"class_{order[rank]:03}", said
    assert abs(said["probability"] - p[order[rank]]) < 1e-5, (said, p)
experts = [rows(f"expert.{k}") for k in range(4)]
mean = [[sum(x) / 4 for x in zip(*heads)] for heads in zip(*experts)]
fused = rows("global") if "global" in head else mean
answers = [json.loads(line) for line in open(sys.argv[2])]
assert len(answers) == len(fused) > 5, len(answers)
for i, answer in enumerate(answers):
    assert len(answer["predictions"]) == 5
    for rank, said in enumerate(answer["predictions"]):
        same(said, fused[i], rank)
    for k, said in enumerate(answer["experts"]):
        same(said, experts[k][i], 0)
END
}

@test "the images of a data set: what fusion-eval says of them, whatever the batch" {
    cd "$BATS_TEST_TMPDIR"
    for file in "$model" "$BATS_FILE_TMPDIR/residual/best.safetensors" "$experts"; do
        fusion-eval -q --device ref --data "$data" --logits logits "$file" >eval.jsonl
        predict --json -k 5 --data "$data" "$file" "$data" >answers
        compare logits answers
        predict --json -k 5 --data "$data" --batch 7 "$file" "$data" | cmp - answers
        # shellcheck disable=SC2094
        fusion-predict -q --json -k 9 --device cpu --data "$data" "$file" - <"$data" >answers
        compare logits answers
    done
    run -0 jq -r '.image, .label.name' <(predict --json --limit 1 "$model" "$data")
    assert_line --index 0 "$data:test:0"
    assert_line --index 1 --regexp '^class_00[0-4]$'
    assert_equal "$(predict --tsv --split val "$model" "$data" | wc -l)" 5
}

@test "a picture: a fitted image of the data set is that image" {
    cd "$BATS_TEST_TMPDIR"
    cat >sheet.py <<'END'
import json, struct, sys, zlib
data = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", data[:8])
begin, end = json.loads(data[8:8 + n])["test.images"]["data_offsets"]
image = data[8 + n + begin:8 + n + begin + 3072]
rows = b"".join(b"\0" + bytes(image[c * 1024 + y * 32 + x] for x in range(32) for c in range(3))
                for y in range(32))
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
header = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
sys.stdout.buffer.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
END
    /usr/bin/python3 sheet.py "$data" >picture.of.no.suffix
    diff <(predict --json "$model" picture.of.no.suffix | jq -c .predictions,.experts) \
        <(predict --json --limit 1 "$model" "$data" | jq -c .predictions,.experts)
}

@test "text: names, probabilities, a vote of each expert" {
    run -0 predict -k 2 "$model" one.png two.png
    assert_equal "${#lines[@]}" 8
    assert_equal "${lines[0]} ${lines[4]}" "one.png two.png"
    assert_line --index 1 --regexp '^ +[0-9]+\.[0-9]{2} %  class_00[0-4]$'
    assert_line --index 3 --regexp '^  experts: (class_00[0-4] [0-9.]+ %(, )?){4}$'
}

@test "a table has the same numbers as the lines of JSON" {
    run -0 predict --tsv -k 1 "$model" one.png two.png
    assert_line --index 0 "$(printf '%s\t' image label class_1 probability_1 \
        expert_{0,1,2,3}{,_probability} | sed 's/\t$//')"
    diff <(cut -f 1,3,5,7 <<<"$output" | tail -n 2) <(predict --json "$model" one.png two.png |
        jq -r '[.image, .predictions[0].name, .experts[0].name, .experts[1].name] | @tsv')
}

@test "standard input: a picture, several, a data set" {
    predict --json "$model" one.png two.png | jq -c .predictions >wanted
    cat one.png two.png | predict --json "$model" >answers
    diff <(jq -c .predictions answers) wanted
    assert_equal "$(jq -r .image answers | paste -sd ' ')" "stdin:0 stdin:1"
    predict --json "$model" - <one.png | jq -c .predictions | cmp - <(head -n 1 wanted)
    predict --tsv "$model" - one.png <"$data" | wc -l | grep -qx 22
}

@test "a bad picture is one line, the others are answered, and the status says it" {
    run -3 --separate-stderr predict --tsv "$model" cut.png one.png
    assert_equal "$stderr" "fusion-predict: cut.png: is cut off"
    assert_line --index 1 --partial one.png
    run -3 --separate-stderr predict --json "$model" one.png cut.png "$model" two.png
    assert_equal "${#lines[@]}" 4
    assert_equal "$(jq -r 'select(.error) | .image + ": " + .error' <<<"$output" | head -n 1)" \
        "cut.png: cut.png: is cut off"
    assert_equal "$(jq -r 'select(.predictions) | .image' <<<"$output" | paste -sd' ')" \
        "one.png two.png"
    run -1 --separate-stderr predict --tsv "$model" none.png one.png
    assert_equal "$stderr" "fusion-predict: none.png: No such file or directory"
    assert_line --index 1 --partial one.png
    fails_with 3 "fusion-predict: stdin: is empty" predict "$model" </dev/null
    printf 'x\033[2Jy' >$'od\nd.png'
    run -3 predict "$model" $'od\nd.png'
    assert_output 'fusion-predict: od\x0ad.png: is neither JPEG nor PNG'
}

@test "a stream: paths, base64, ids, and what is no request" {
    { echo '{"path": "one.png", "id": 7}'
        printf '{"id": {"a": [1]}, "image": "%s"}\n' "$(base64 -w 0 two.png)"
        echo
        echo 'nonsense'
        echo '{"path": "cut.png", "id": "c"}'
        echo '{"path": "/dev/zero"}'
        echo '{"image": "a cow"}'
        echo '{"path": "one.png", "image": "AAAA"}'
        printf '{"path": "two.png"}'
    } >requests
    run -3 --separate-stderr predict --stream "$model" <requests
    assert_equal "$stderr" ""
    assert_equal "${#lines[@]}" 8
    diff <(jq -c 'select(.predictions) | .predictions' <<<"$output") \
        <(predict --json "$model" one.png two.png two.png | jq -c .predictions)
    assert_equal "$(jq -c 'select(has("id")) | .id' <<<"$output" | paste -sd ' ')" '7 {"a":[1]} "c"'
    assert_equal "$(jq -r '.error // empty' <<<"$output")" \
        "request: is no JSON: '[' or '{' expected near 'nonsense'
cut.png: is cut off
/dev/zero: is no regular file
image: is no base64
request: takes a \"path\" or an \"image\" in base64"
}

@test "a stream whose last line is too long and has no end" {
    truncate -s 257M zeros
    run -3 --separate-stderr predict --stream "$model" <zeros
    rm zeros
    assert_equal "$output" '{"error":"request: more than 268435456 bytes in a line"}'
}

@test "base64 with one '=', two and none at its end, and with too many" {
    local n text
    for n in 0 1 2; do
        { cat one.png; head -c $n /dev/zero; } | base64 -w 0 >text.$n
    done
    assert_equal "$(sed 's/[^=]//g' text.? | sort)" $'\n=\n=='
    for n in 0 1 2; do
        text=$(cat text.$n)
        printf '{"image": "%s"}\n' "$text" "${text%%=*}"
    done >requests
    text=$(head -c 400 text.0)
    printf '{"image": "%s"}\n' "${text}A===" "$text====" == = >>requests
    run -3 predict --stream "$model" <requests
    assert_equal "$(jq -c .predictions <<<"$output" | uniq -c | awk '{ print $1, $2 == "null" }' |
        paste -sd ' ')" '6 0 4 1'
    assert_equal "$(jq -r '.error // empty' <<<"$output" | uniq -c | sed 's/^ *//')" \
        "4 image: is no base64"
}

@test "a stream answers before the next request comes" {
    coproc server { predict --stream "$model"; }
    pid=$server_PID
    for n in 1 2 3; do
        echo "{\"path\": \"one.png\", \"id\": $n}" >&"${server[1]}"
        read -r -t 60 answer <&"${server[0]}"
        assert_equal "$(jq .id <<<"$answer")" "$n"
    done
    eval "exec ${server[1]}>&-"
    wait "$pid"
}

@test "a checkpoint that does not say it takes it from the data set" {
    cd "$BATS_TEST_TMPDIR"
    fails_with 2 "fusion-predict: $experts: does not say how images were normalised; name its data \
set (--data)" predict "$experts" ../one.png
    sed 's/"fine_labels":"\[\\"class/"fine_label_":"[\\"class/' "$model" >nameless
    run -0 predict -k 1 nameless "$BATS_FILE_TMPDIR/one.png"
    assert_line --index 1 --regexp '%  [0-4]$'
    run -0 predict -k 1 --data "$data" nameless "$BATS_FILE_TMPDIR/one.png"
    assert_line --index 1 --regexp '%  class_00[0-4]$'
    mkcifar --train 100 --test 10 --classes 4 -o four.tar.gz
    cifar-prep -q -o four.safetensors four.tar.gz
    fails_with 3 "fusion-predict: four.safetensors: the data set has 4 classes, the model 5" \
        predict --data four.safetensors nameless "$BATS_FILE_TMPDIR/one.png"
    fails_with 3 "fusion-predict: four.safetensors: the data set has 4 classes, the model 5" \
        predict "$model" four.safetensors
}

@test "components, joined on the way" {
    cd "$BATS_TEST_TMPDIR"
    ckpt-split -q -d parts "$model"
    ckpt-join -q parts/*/*.pth | predict --json - "$BATS_FILE_TMPDIR/one.png" |
        cmp - <(predict --json "$model" "$BATS_FILE_TMPDIR/one.png")
}

@test "a folder of components is a model, and so is one of experts alone" {
    cd "$BATS_TEST_TMPDIR"
    local one=$BATS_FILE_TMPDIR/one.png
    for format in pth safetensors; do
        ckpt-split -q --format $format -d $format "$model"
        predict --json $format "$one" | cmp - <(predict --json "$model" "$one")
    done
    ckpt-split -q -d experts "$experts"
    predict --json --data "$data" experts "$one" |
        cmp - <(predict --json --data "$data" "$experts" "$one")
    head -c 1000 "$model" >pth/experts/resnet_expert_1_best.pth
    fails_with 3 "fusion-predict: pth/experts/resnet_expert_1_best.pth: *" predict pth "$one"
    mkdir empty
    fails_with 3 "fusion-predict: empty: is a directory, *; nor are components in it, *" \
        predict empty "$one"
}

# widen FILE.safetensors: its F32 tensors become F64.
widen() {
    /usr/bin/python3 - "$1" <<'END'
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n, = struct.unpack('<Q', data[:8])
head, body, wide = json.loads(data[8:8 + n]), data[8 + n:], b''
for name, tensor in head.items():
    if name != '__metadata__':
        raw = body[slice(*tensor['data_offsets'])]
        if tensor['dtype'] == 'F32':
            tensor['dtype'], n = 'F64', len(raw) // 4
            raw = struct.pack(f'<{n}d', *struct.unpack(f'<{n}f', raw))
        tensor['data_offsets'] = [len(wide), len(wide) + len(raw)]
        wide += raw
text = json.dumps(head).encode()
open(sys.argv[1], 'wb').write(struct.pack('<Q', len(text)) + text + wide)
END
}

@test "components in another precision are converted" {
    cd "$BATS_TEST_TMPDIR"
    ckpt-split -q --format safetensors -d parts "$model"
    widen parts/experts/resnet_expert_2_best.safetensors
    predict --json parts "$BATS_FILE_TMPDIR/one.png" |
        cmp - <(predict --json "$model" "$BATS_FILE_TMPDIR/one.png")
}

@test "what does not go together is refused" {
    fails_with 2 "fusion-predict: which model? *" predict
    fails_with 2 "fusion-predict: --tsv: not with --json" predict --tsv --json "$model" one.png
    fails_with 2 "fusion-predict: --tsv: --stream *" predict --tsv --stream "$model"
    fails_with 2 "fusion-predict: one.png: no images with --stream" \
        predict --stream "$model" one.png
    fails_with 2 "fusion-predict: -: the model comes *" predict - - <"$model"
    fails_with 2 "fusion-predict: -: the model comes *; name images" predict - <"$model"
    fails_with 3 "fusion-predict: one.png: is a PNG picture, not a checkpoint *" predict one.png
}
