# Loaded by the tests of tools that train or measure (`load tiny`): a tiny data set, tiny experts,
# and a look into metrics and checkpoints.

# tiny_data: makes data.safetensors (200 training images, 36 + 4 of them to fuse on, 20 test images,
# 5 classes) and experts.safetensors for all tests of a file; for setup_file.
tiny_data() {
    cd "$BATS_FILE_TMPDIR" || return
    mkcifar --train 200 --test 20 --classes 5 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
    expert-load -q --arch "$tiny_arch" --classes 5 --init 1 -o experts.safetensors
}

tiny_arch=resnet18:width=2,blocks=1-1-1-1
data=${BATS_FILE_TMPDIR:-}/data.safetensors
experts=${BATS_FILE_TMPDIR:-}/experts.safetensors
export tiny_arch data experts

# events FILE KIND EXPRESSION: a Python expression over each event of a kind, `e` being the event.
events() {
    python3 -c '
import json, sys
for line in open(sys.argv[1]):
    e = json.loads(line)
    if e["event"] == sys.argv[2]:
        print(eval(sys.argv[3]))' "$@"
}

# members NAME...: a Python expression for these members of an event.
members() {
    printf 'e["%s"], ' "$@"
}

# meta FILE KEY: the value of a key in the metadata of a checkpoint.
meta() {
    python3 -c '
import json, struct, sys
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
print(json.loads(f.read(n))["__metadata__"].get(sys.argv[2]))' "$@"
}
