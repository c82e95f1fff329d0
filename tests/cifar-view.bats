#!/usr/bin/env bats
# cifar-view: the picture is a valid PNG of the right size whose pixels are the data set's, and what
# it shows of augmentation is what the policies say.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$BATS_FILE_TMPDIR"/data.safetensors .
}

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    mkcifar --train 50 --test 10 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
}

# Bytes FROM.. (from 0) of a file as numbers: png_bytes FILE FROM N TYPE
png_bytes() {
    od -An -j "$2" -N "$3" -t "$4" --endian=big "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'
}

@test "cifar-view: a PNG of the size that count, columns and scale ask for" {
    cifar-view -n 5 --columns 3 --scale 2 -o out.png data.safetensors
    assert_equal "$(png_bytes out.png 0 8 x1)" "89 50 4e 47 0d 0a 1a 0a"
    # 3 columns of 64 + 4 and a margin; 2 rows of 64, one line of 9, two margins; one margin.
    assert_equal "$(png_bytes out.png 16 8 u4)" "$((3 * 68 + 4)) $((2 * (64 + 9 + 8) + 4))"
    assert_equal "$(tail -c 12 out.png | od -An -tx1)" " 00 00 00 00 49 45 4e 44 ae 42 60 82"
}

@test "cifar-view: the pixels are those of the data set" {
    python=$(torch_python)
    "${python:-false}" -c 'import PIL' 2>/dev/null || skip "no Pillow"
    cifar-view -n 4 --columns 2 --scale 3 --split test -o out.png data.safetensors
    run -0 "$python" - <<'END'
import json, struct
import numpy as np
from PIL import Image

data = open("data.safetensors", "rb").read()
n, = struct.unpack("<Q", data[:8])
begin, end = json.loads(data[8:8 + n])["test.images"]["data_offsets"]
images = np.frombuffer(data[8 + n + begin:8 + n + end], np.uint8).reshape(-1, 3, 32, 32)
sheet = np.asarray(Image.open("out.png"))
for i in range(4):
    y, x = 4 + i // 2 * (96 + 9 + 8), 4 + i % 2 * 100
    shown = sheet[y:y + 96, x:x + 96]
    for dy in range(3):
        for dx in range(3):
            assert np.array_equal(shown[dy::3, dx::3].transpose(2, 0, 1), images[i]), i
    below = sheet[y + 96:y + 96 + 11, x:x + 96]
    assert (below == 0).any() and (below == 255).any(), i
END
}

@test "cifar-view: stdin and stdout, the same bytes as from file to file" {
    cifar-view --augment sota --mix mixup -o file.png data.safetensors
    cifar-view --augment sota --mix mixup <data.safetensors >pipe.png
    cmp file.png pipe.png
    cifar-view --augment sota --mix mixup - < <(cat data.safetensors) | cmp - file.png
}

@test "cifar-view: every policy, mix, seed, epoch and part is another picture" {
    i=0
    for options in "" "--augment basic" "--augment light" "--augment baseline" "--augment strong" \
        "--augment sota" "--augment sota --epoch 2" "--augment sota --seed 1" "--shuffle" \
        "--mix cutmix" "--mix mixup" "--mix mixup --mix-alpha 0.2" "--split test" \
        "--split holdout" "--split pool" "--labels coarse"; do
        # shellcheck disable=SC2086
        cifar-view -n 8 $options -o $((i++)).png data.safetensors
    done
    assert_equal "$(sha256sum [0-9]*.png | cut -d' ' -f1 | sort -u | wc -l)" "$i"
}

@test "cifar-view: what it refuses" {
    run -2 --separate-stderr cifar-view --augment hard data.safetensors
    assert_equal "${stderr_lines[0]}" \
        "cifar-view: --augment hard: must be one of none|basic|light|baseline|strong|sota"
    fails_with 2 'cifar-view: b: one data set at a time' cifar-view a b
    fails_with 1 'cifar-view: none: No such file or directory' cifar-view -o x.png none
    fails_with 3 'cifar-view: stdin: empty' bash -c 'cifar-view -o x.png </dev/null'
    head -c 90000 data.safetensors >cut.safetensors
    fails_with 3 'cifar-view: cut.safetensors: cut off: 90000 bytes of at least *' \
        cifar-view -o x.png cut.safetensors
    fails_with 1 'cifar-view: stdout: No space left on device' \
        bash -c 'cifar-view data.safetensors >/dev/full'
    fails_with 1 'cifar-view: /dev/full: No space left on device' \
        cifar-view -o /dev/full data.safetensors
    assert_not_exists x.png
    assert_equal "$(find . -name '*.tmp' -o -name '.*.tmp')" ""
}

@test "cifar-view: no PNG on a terminal" {
    run -2 script -qec "cifar-view data.safetensors" /dev/null
    assert_output --partial "cifar-view: stdout: refusing to write binary data to a terminal"
}
