#!/usr/bin/env bats
# Bad input: each file made by tests/bad/make_bad.py gets one clear line and the right exit status,
# and leaves nothing behind.  `make check` runs this file with the sanitizer build as well.

load helper

# refuses SECTION COMMAND...: makes the section's files and gives each, in place of the word FILE,
# to the command.  It runs in an empty folder, which must be empty afterwards.
refuses() {
    local section=$1 file name why said rc count=0 wrong=""
    shift
    python3 "$ROOT/tests/bad/make_bad.py" "$BATS_TEST_TMPDIR/bad" "$section"
    mkdir scratch
    cd scratch
    while IFS=$'\t' read -r name why; do
        file=$BATS_TEST_TMPDIR/bad/$name
        rc=0
        timeout 100 "${@//FILE/$file}" >../stdout 2>../stderr || rc=$?
        said=$(cat ../stderr)
        # shellcheck disable=SC2053
        [[ $rc == 3 && $said == "$1: $file: "$why && $said != *$'\n'* ]] ||
            wrong+="$name: exit status $rc
  wanted: $1: $file: $why
  said:   $said
"
        [ ! -s ../stdout ] || wrong+="$name: something on stdout"$'\n'
        [ -z "$(ls -A)" ] || wrong+="$name: left $(ls -A)"$'\n'
        rm -rf ./* ./.[!.]*
        count=$((count + 1))
    done <../bad.list
    [ -z "$wrong" ] || fail "$wrong"
    [ "$count" -gt 0 ] || fail "no case in $section"
    echo "# $section: $count files refused" >&3
}

small_archive() {
    mkcifar --train 200 --test 5 -o small.tar.gz
}

@test "metrics that are none" {
    refuses metrics metrics-csv -o out.csv FILE
}

@test "holdouts that are none" {
    small_archive
    refuses npy cifar-prep --holdout FILE -o out.safetensors ../small.tar.gz
}

@test "archives that are none" {
    refuses cifar cifar-prep -o out.safetensors FILE
}

# Listing must refuse them, and so must reading them as an expert.
refuses_expert() {
    refuses "$1" expert-load --list FILE
    cd ..
    rm -r bad bad.list scratch
    refuses "$1" expert-load --count 1 --arch resnet18 -o out.safetensors FILE
}

@test "checkpoints with hostile and lying pickles" {
    refuses_expert pth_pickle
}

@test "checkpoints in damaged and ambiguous zips" {
    refuses_expert pth_zip
}

@test "checkpoints of torch < 1.6 that are damaged or lie" {
    refuses_expert pth_stream
}

@test "safetensors that break the rules" {
    refuses safetensors ckpt-split -d out FILE
    cd ..
    rm -r bad bad.list scratch
    refuses safetensors ckpt-export -o out FILE
}
