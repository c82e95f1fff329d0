#!/usr/bin/env bats
# cifar-corrupt from outside: which images come out, that they hang on the seed where they should,
# and what is refused.  tests/score compares their pixels with numpy, scipy and Pillow.

load helper
load tiny

setup_file() {
    tiny_data
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

# images FILE: name and shape of each tensor.
images() {
    python3 -c '
import json, struct, sys
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
for name, tensor in sorted(json.loads(f.read(n)).items()):
    if name != "__metadata__":
        print(name, *tensor["shape"])' "$1"
}

@test "all corruptions at five severities, from a file and from a pipe" {
    cifar-corrupt -q --limit 2 -o out.safetensors "$data"
    cifar-corrupt -q --limit 2 <"$data" | cmp - out.safetensors
    run images out.safetensors
    assert_equal "$output" "$(printf 'corrupted.%s 5 2 3 32 32\n' brightness contrast defocus_blur \
        elastic_transform fog gaussian_noise glass_blur impulse_noise jpeg_compression motion_blur \
        pixelate shot_noise zoom_blur)
test.fine 2"
    cifar-corrupt -q --corruptions fog -o fog.safetensors "$data"
    assert_equal "$(images fog.safetensors)" $'corrupted.fog 5 20 3 32 32\ntest.fine 20'
}

@test "the seed decides what is random, and nothing else" {
    for name in gaussian_noise shot_noise impulse_noise fog glass_blur motion_blur \
        elastic_transform; do
        cifar-corrupt -q --limit 2 --corruptions $name -o 1 "$data"
        cifar-corrupt -q --limit 2 --corruptions $name --seed 7 -o 2 "$data"
        run ! cmp -s <(tail -c 30000 1) <(tail -c 30000 2)
    done
    for name in brightness contrast defocus_blur zoom_blur pixelate jpeg_compression; do
        cifar-corrupt -q --limit 2 --corruptions $name -o 1 "$data"
        cifar-corrupt -q --limit 2 --corruptions $name --seed 7 -o 2 "$data"
        cmp <(tail -c 30000 1) <(tail -c 30000 2)
    done
}

# pixels N FILE: the bytes of one corruption of N images; their labels come after them.
pixels() {
    tail -c $((5 * 3072 * $1 + $1)) "$2" | head -c $((5 * 3072 * $1))
}

# flat BYTE: flat.safetensors with one test image, all of whose bytes are BYTE (octal).
flat() {
    local record="cifar-100-binary/test.bin"
    mkdir -p cifar-100-binary
    mkcifar --layout binary --train 200 --test 20 --classes 5 | tar xz
    { printf '\0\0' && head -c 3072 /dev/zero | tr '\0' "\\$1"; } >$record
    tar cz cifar-100-binary | cifar-prep -q -o flat.safetensors
}

@test "what moves or mixes pixels leaves an image of one colour as it is" {
    flat 144 # 100
    for name in glass_blur motion_blur elastic_transform defocus_blur zoom_blur; do
        cifar-corrupt -q --corruptions $name -o made flat.safetensors
        pixels 1 made | od -An -v -tu1 | tr -s ' ' '\n' | grep . >values
        assert_equal "$(wc -l <values)" 15360
        run ! grep -vxE '99|100' values
    done
}

@test "each severity moves pixels in its own way" {
    for name in glass_blur motion_blur elastic_transform; do
        cifar-corrupt -q --limit 1 --corruptions $name -o made "$data"
        pixels 1 made | split -b 3072 - $name.
        assert_equal "$(md5sum $name.* | cut -d ' ' -f 1 | sort -u | wc -l)" 5
    done
}

@test "an image is the same whichever others are there" {
    cifar-corrupt -q --corruptions fog,shot_noise --limit 3 -o few "$data"
    cifar-corrupt -q --corruptions shot_noise --limit 1 -o one "$data"
    python3 - <<'END'
import json, struct
def images(path):
    f = open(path, "rb")
    n, = struct.unpack("<Q", f.read(8))
    header, body = json.loads(f.read(n)), f.read()
    return body[slice(*header["corrupted.shot_noise"]["data_offsets"])]
few, one = images("few"), images("one")
for s in range(5):
    assert few[s * 3 * 3072:][:3072] == one[s * 3072:][:3072], s
END
}

@test "what is refused" {
    fails_with 2 "cifar-corrupt: --corruptions snow: no such corruption; see --help" \
        cifar-corrupt --corruptions snow,fog -o x "$data"
    fails_with 2 "cifar-corrupt: b: one data set at a time" cifar-corrupt a b
    fails_with 1 "cifar-corrupt: none: No such file or directory" cifar-corrupt -o x none
    fails_with 3 "cifar-corrupt: stdin: empty" bash -c 'cifar-corrupt -o x </dev/null'
    fails_with 3 "cifar-corrupt: *cifar.tar.gz: *; pass it through cifar-prep" \
        cifar-corrupt -o x "$BATS_FILE_TMPDIR/cifar.tar.gz"
    fails_with 1 "cifar-corrupt: stdout: No space left on device" \
        bash -c 'cifar-corrupt --limit 1 "$data" >/dev/full'
    assert_not_exists x
}
