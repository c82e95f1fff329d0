#!/usr/bin/env bats
# From a picture's file to the 3072 bytes that a model gets: those of torchvision, for every colour
# type, size and orientation; and what is refused.

load helper

# Makes pictures and compares each with torchvision's, byte for byte.
compare() {
    local python
    python=$(torch_python)
    "${python:-false}" -c 'import PIL, torchvision' 2>/dev/null || skip "no torchvision"
    cd "$BATS_TEST_TMPDIR"
    run -0 "$python" "$ROOT/tests/compare_pictures.py" "$@"
    [[ $output == *" pictures are the same" ]] || fail "$output"
}

@test "sizes: smaller, larger, odd differences, one pixel, stripes" {
    compare sizes
}

@test "colour types: grey, palette, alpha, one bit, ink, progressive, 16 bits" {
    compare colours
}

@test "all eight orientations of EXIF, in both formats" {
    compare orientations
}

# bad NAME WHY: the picture is refused in one line.
bad() {
    fails_with 3 "fit-picture: $1: $2" fit-picture "$1"
}

@test "what cannot be read is refused in one line each" {
    cd "$BATS_TEST_TMPDIR"
    run -0 /usr/bin/python3 "$ROOT/tests/make_bad_pictures.py"
    bad cut.png "is cut off"
    bad cut.jpg "is cut off"
    bad header.jpg "is cut off"
    bad crc.png "IHDR: CRC error"
    bad bomb.png "100000 x 100000 pixels: more than 67108864 are not read"
    bad bomb.jpg "65500 x 65500 pixels: more than 67108864 are not read"
    bad empty.png "is empty"
    bad zero.png "*"
    bad zero.jpg "Empty JPEG image (DNL not supported)"
    bad text.png "is a text file, not a JPEG or PNG picture; convert it first"
    bad picture.gif "is a GIF picture, not a JPEG or PNG picture; convert it first"
    bad noise.jpg "*"
    bad scans.jpg "has more than 100 scans"
}
