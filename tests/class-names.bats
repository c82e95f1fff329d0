#!/usr/bin/env bats
# Names of the classes and normalisation travel with the model: from the data set into every
# checkpoint, through components and back, and through an expert's file into an experts stream.

load helper
load tiny

setup_file() {
    tiny_data
    cd "$BATS_FILE_TMPDIR" || return
    fusion-train -q --fusion concatenation --data "$data" --checkpoint-dir run --steps 2 --batch 20 \
        --precision fp32 <experts.safetensors >metrics.jsonl
    expert-train -q --arch "$tiny_arch" --expert 0 --data "$data" --checkpoint-dir expert --steps 2 \
        --batch 20 --precision fp32 -o expert.safetensors >expert.jsonl
}

# says_it FILE: what the data set says, to the byte.
says_it() {
    local key
    for key in fine_labels mean std; do
        assert_equal "$(meta "$1" $key)" "$(meta "$data" $key)"
    done
}

# says_nothing FILE
says_nothing() {
    assert_equal "$(meta "$1" fine_labels) $(meta "$1" mean) $(meta "$1" std)" "None None None"
}

# saying FILE OUT KEY[=VALUE]...: the same file with these values; without =VALUE it lacks the key,
# as files from before there were any do.
saying() {
    /usr/bin/python3 - "$@" <<'END'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", data[:8])
head = json.loads(data[8:8 + n])
for key, is_said, value in (word.partition("=") for word in sys.argv[3:]):
    head["__metadata__"].pop(key)
    if is_said:
        head["__metadata__"][key] = value
text = json.dumps(head).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:])
END
}

@test "both checkpoints of a run say it, and those of an expert" {
    assert_equal "$(meta "$data" fine_labels | tr -cd '"' | wc -c)" 10
    for file in run/best run/last expert/best expert/last; do
        says_it "$BATS_FILE_TMPDIR/$file.safetensors"
    done
}

@test "an expert's file says it, and the stream of such experts, once" {
    says_it "$BATS_FILE_TMPDIR/expert.safetensors"
    expert-load -q --arch "$tiny_arch" --classes 5 --count 2 -o two.safetensors \
        "$BATS_FILE_TMPDIR"/{expert,expert}.safetensors
    says_it two.safetensors
    assert_equal "$(meta two.safetensors expert.1.mean)" None
    assert_equal "$(meta two.safetensors expert.1.arch)" "$tiny_arch"
}

@test "components say it, as .pth in the .json beside them, and what is joined from them" {
    ckpt-split -q -d pth "$BATS_FILE_TMPDIR/run/best.safetensors"
    ckpt-split -q -d st --format safetensors "$BATS_FILE_TMPDIR/run/best.safetensors"
    for file in st/*/*.safetensors; do
        says_it "$file"
    done
    /usr/bin/python3 - "$(meta "$data" fine_labels)" "$(meta "$data" std)" pth/*/*.json <<'END'
import json, sys
assert len(sys.argv) == 9
for path in sys.argv[3:]:
    said = json.load(open(path))
    assert said["fine_labels"] == json.loads(sys.argv[1]), said["fine_labels"]
    assert said["std"] == json.loads(sys.argv[2]), said["std"]
END
    ckpt-join -q -o a.safetensors pth/*/*.pth
    ckpt-join -q -o b.safetensors st/*/*.safetensors
    says_it a.safetensors
    says_it b.safetensors
    expert-load -q --arch "$tiny_arch" --classes 5 -o experts.safetensors pth/experts/*.pth
    says_it experts.safetensors
}

@test "files that contradict each other say nothing together" {
    ckpt-split -q -d st --format safetensors "$BATS_FILE_TMPDIR/run/best.safetensors"
    sed -i '1s/"std\\*":"\[0.2/"std":"[0.3/' st/global/*.safetensors
    run ! cmp -s <(meta st/global/*.safetensors std) <(meta "$data" std)
    ckpt-join -q -o joined.safetensors st/*/*.safetensors
    assert_equal "$(meta joined.safetensors std)" None
    assert_equal "$(meta joined.safetensors mean)" "$(meta "$data" mean)"
}

@test "what is no list under these names is something else" {
    saying "$BATS_FILE_TMPDIR/expert.safetensors" other.safetensors mean=0.5 std=1 fine_labels=fine
    expert-load -q --arch "$tiny_arch" --classes 5 --count 2 -o two.safetensors \
        other.safetensors other.safetensors
    says_nothing two.safetensors
    assert_equal "$(meta two.safetensors expert.1.mean)" 0.5
    expert-load -q --arch "$tiny_arch" --classes 5 --count 2 -o two.safetensors \
        other.safetensors "$BATS_FILE_TMPDIR/expert.safetensors"
    says_it two.safetensors
}

@test "checkpoints from before they said it are split, joined and measured" {
    saying "$BATS_FILE_TMPDIR/run/best.safetensors" old.safetensors fine_labels mean std
    ckpt-split -q -d parts old.safetensors
    run -1 grep -l fine_labels parts/*/*.json
    ckpt-join -q -o joined.safetensors parts/*/*.pth
    says_nothing joined.safetensors
    fusion-eval -q --data "$data" old.safetensors >metrics.jsonl
}
