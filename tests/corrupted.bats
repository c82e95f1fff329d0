#!/usr/bin/env bats
# Corrupted test images: the layout of CIFAR-100-C into a file, and the errors that fusion-eval
# measures on them.

load helper
load tiny

setup_file() {
    tiny_data
    fusion-train -q --fusion concatenation --data data.safetensors --experts experts.safetensors \
        --checkpoint-dir run --device ref --steps 4 --batch 16 --augment none >run.jsonl
    archive good
    cifar-prep -q --corrupted -o good.safetensors good.tar
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    run=$BATS_FILE_TMPDIR/run
    good=$BATS_FILE_TMPDIR/good.safetensors
}

# archive NAME [CHANGE]: NAME.tar, the test images of the data set: fog is as they are, saturate
# black, 4 images at 5 severities; CHANGE is Python that may change what the members are.
archive() {
    python3 - "$BATS_FILE_TMPDIR/data.safetensors" "$@" <<'END'
import io, json, struct, sys, tarfile
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
header, body = json.loads(f.read(n)), f.read()
part = lambda name: body[slice(*header[name]["data_offsets"])]
N = 4
def npy(data, shape, descr="|u1", order=False):
    text = repr({"descr": descr, "fortran_order": order, "shape": tuple(shape)}).ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + bytes(data)
planes = part("test.images")[:N * 3072]
pixels = bytearray(N * 3072)
for i in range(N):
    for c in range(3):
        pixels[i * 3072 + c:(i + 1) * 3072:3] = planes[i * 3072 + c * 1024:][:1024]
shape = [5 * N, 32, 32, 3]
members = {"CIFAR-100-C/saturate.npy": npy(bytes(5 * N * 3072), shape),
           "CIFAR-100-C/README.txt": b"text",
           "CIFAR-100-C/labels.npy": npy(part("test.fine")[:N] * 5, [5 * N]),
           "CIFAR-100-C/fog.npy": npy(bytes(pixels) * 5, shape)}
exec(sys.argv[3] if len(sys.argv) > 3 else "")
with tarfile.open(sys.argv[2] + ".tar", "w") as tar:
    for name, data in members.items():
        for data in data if isinstance(data, list) else [data]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
END
}

measure() { # OPTION...
    fusion-eval -q --data "$data" --device ref "$@" "$run/best.safetensors"
}

@test "an archive and the folder it was extracted to give the same bytes" {
    archive again
    cifar-prep -q --corrupted <again.tar | cmp - "$good"
    gzip -k again.tar
    cifar-prep -q --corrupted again.tar.gz | cmp - "$good"
    tar -xf again.tar
    cifar-prep -q --corrupted CIFAR-100-C | cmp - "$good"
    # Labels once, as 64-bit numbers.
    archive once 'members["CIFAR-100-C/labels.npy"] = npy(
        b"".join(struct.pack("<q", x) for x in part("test.fine")[:N]), [N], "<i8")'
    cifar-prep -q --corrupted once.tar | cmp - "$good"
}

@test "images that are not changed have the error of the test images" {
    measure --limit 4 --corrupted "$good" >eval.jsonl
    run events eval.jsonl corruption 'e["corruption"], e["severity"], e["images"]'
    assert_equal "$output" "$(for name in fog saturate; do
        for s in 1 2 3 4 5; do echo "('$name', $s, 4)"; done
    done)"
    run bash -c 'head -n 5 | sort -u' < <(events eval.jsonl corruption \
        'e["error"], e["expert_error"], e["ensemble_error"]')
    assert_equal "$output" "$(events eval.jsonl eval '100 - e["accuracy"], \
[100 - x for x in e["expert_accuracy"]], 100 - e["ensemble_accuracy"]')"
    # Of the two, fog counts.
    assert_equal "$(events eval.jsonl robustness 'e["corruptions"], e["mean_error"], "mce" in e')" \
        "$(events eval.jsonl eval '1, 100 - e["accuracy"], False')"
    metrics-csv -q --events corruption eval.jsonl >corruption.csv
    assert_equal "$(wc -l <corruption.csv)" 11
    metrics-csv -q --events robustness eval.jsonl >robustness.csv
    assert_equal "$(wc -l <robustness.csv)" 2
}

@test "a baseline makes errors into parts of its own" {
    measure --limit 4 --corrupted "$good" >eval.jsonl
    python3 - <<'END'
import json
with open("baseline.jsonl", "w") as out:
    for line in open("eval.jsonl"):
        event = json.loads(line)
        if event["event"] == "corruption":
            event["error"] = 40
        out.write(json.dumps(event) + "\n")
END
    measure --limit 4 --corrupted "$good" --baseline baseline.jsonl >again.jsonl
    assert_equal "$(events again.jsonl robustness 'e["mce"], e["ensemble_mce"]')" \
        "$(events eval.jsonl robustness 'e["mean_error"] * 2.5, e["ensemble_mean_error"] * 2.5')"
    grep -v fog baseline.jsonl >short.jsonl
    fails_with 3 "fusion-eval: short.jsonl: has no errors of fog at 5 severities" \
        measure -o x.jsonl --corrupted "$good" --baseline short.jsonl
    fails_with 2 "fusion-eval: --baseline: has a meaning with --corrupted only" \
        measure --baseline short.jsonl
    fails_with 3 "fusion-eval: *data.safetensors: not corrupted images: no tensor *" \
        measure -o x.jsonl --corrupted "$data"
    assert_not_exists x.jsonl
}

@test "archives that are not what they should be are refused with one line" {
    local fog='members["CIFAR-100-C/fog.npy"]' labels='members["CIFAR-100-C/labels.npy"]'
    refused() { # WHAT CHANGE
        archive bad "$2"
        fails_with 3 "cifar-prep: bad.tar: $1" cifar-prep --corrupted -o bad.safetensors bad.tar
        assert_not_exists bad.safetensors
    }
    refused "fog.npy: not a .npy file" "$fog = b'x' * 100"
    refused "fog.npy: empty" "$fog = b''"
    refused "fog.npy: has * elements, its shape says *" "$fog = ${fog}[:-1]"
    refused "fog.npy: not 5 n images of 32 x 32 x 3" "$fog = npy(bytes(20 * 3072), [20, 3, 32, 32])"
    refused "fog.npy: not 5 n images of 32 x 32 x 3" "$fog = npy(bytes(6 * 3072), [6, 32, 32, 3])"
    refused "fog.npy: not 5 n images of 32 x 32 x 3" "$fog = npy(b'', [0, 32, 32, 3])"
    refused "fog.npy: the length of the array overflows" "$fog = npy(b'', [2**62, 32, 32, 3])"
    refused "fog.npy: not an array of bytes*" "$fog = npy(bytes(20 * 3072), shape, order=True)"
    refused "fog.npy: not an array of bytes*" "$fog = npy(bytes(20 * 3072), shape, '|i1')"
    refused "fog.npy: not an array of bytes*" "$fog = npy(b'', [1, 2, 3, 4, 5])"
    refused "fog.npy: has 25 images, the corruption before it 20" \
        "$fog = npy(bytes(25 * 3072), [25, 32, 32, 3])"
    refused "fog.npy: stands there twice" "$fog = [$fog, $fog]"
    refused "labels.npy: stands there twice" "$labels = [$labels, $labels]"
    refused "labels.npy: 7 labels for 4 images at 5 severities" "$labels = npy(b'1234567', [7])"
    refused "labels.npy: label 9 of image 5: differs from severity to severity" \
        "$labels = npy([1, 2, 3, 4, 1, 9] + [0] * 14, [20])"
    refused "labels.npy: label -1 of image 0: must be 0..255" \
        "$labels = npy([255, 1, 2, 3], [4], '|i1')"
    refused "has no labels.npy: *" "del $labels"
    refused "has labels.npy alone: *" "members = {'labels.npy': $labels}"
    archive labels "$labels = npy([200, 1, 2, 3], [4])"
    cifar-prep -q --corrupted -o labels.safetensors labels.tar
    fails_with 3 "fusion-eval: labels.safetensors: label 200 of image 0: the model has 5 classes" \
        measure -o x.jsonl --corrupted labels.safetensors
    fails_with 3 "cifar-prep: labels.tar: * needs --corrupted" cifar-prep -o x labels.tar
}

@test "images of another data set are measured with a warning" {
    local labels='members["CIFAR-100-C/labels.npy"]'
    archive other "$labels = npy([4 - k for k in part('test.fine')[:N]], [N])"
    cifar-prep -q --corrupted -o other.safetensors other.tar
    run -0 --separate-stderr measure --corrupted other.safetensors
    assert_equal "$stderr" "fusion-eval: warning: other.safetensors: its labels are not those of \
the data set's first test images"
    run -0 --separate-stderr measure --corrupted "$good"
    assert_equal "$stderr" ""
}
