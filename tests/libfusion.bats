#!/usr/bin/env bats
# The C library as somebody else's program sees it: installed, found by pkg-config, shared and
# static, with the program of its man page; only its own names are to be seen.

load helper
load tiny

setup_file() {
    tiny_data
    cd "$BATS_FILE_TMPDIR" || return
    fusion-train -q --fusion concatenation --data "$data" --checkpoint-dir run --steps 2 --batch 20 \
        <experts.safetensors >run.jsonl
    cifar-view -n 1 --columns 1 --scale 3 -o one.png data.safetensors
    cifar-view -n 4 --columns 2 --scale 1 -o two.png data.safetensors
    (
        unset_make
        make --no-print-directory -C "$ROOT" B="$FX_BUILD" install PREFIX="$BATS_FILE_TMPDIR/there" \
            >installed
    )
    awk '/^\.Ed/ { on = 0 } on; /^\.Bd -literal/ { on = 1 }' "$ROOT/man/libfusion.3" |
        sed 's/\\e/\\/g' >ask.c
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return
    [ -e there/lib/libfusion.so.1 ] || skip "a build of another kind: no shared library"
    export PKG_CONFIG_PATH=$PWD/there/lib/pkgconfig
}

model=run/best.safetensors

# asks PROGRAM: it says what fusion-predict says.
asks() {
    diff <("$1" "$model" one.png two.png) \
        <(fusion-predict -q --tsv -k 1 "$model" one.png two.png | tail -n +2 | cut -f 1,3,4)
    run -0 --separate-stderr "$1" "$model" "$data" one.png
    assert_equal "$stderr" "$data: is a data set, not a JPEG or PNG picture; convert it first"
    assert_equal "${#lines[@]}" 1
    run -2 --separate-stderr "$1"
    assert_equal "$stderr" "usage: $1 MODEL PICTURE..."
    run -3 --separate-stderr "$1" one.png
    assert_equal "$stderr" "one.png: is a PNG picture, not a checkpoint or experts stream; \
fusion-train writes one, DIR/best.safetensors"
}

@test "the program of the man page, with the shared library" {
    # shellcheck disable=SC2046
    cc -Wall -Wextra -Werror -o shared ask.c $(pkg-config --cflags --libs libfusion)
    export LD_LIBRARY_PATH=$PWD/there/lib
    asks ./shared
}

@test "the same with the static one" {
    # shellcheck disable=SC2046
    cc -o static ask.c $(pkg-config --cflags libfusion) there/lib/libfusion.a \
        $(pkg-config --libs --static libfusion | sed 's/-lfusion//')
    run -1 grep -q libfusion <(ldd static)
    asks ./static
}

@test "the header is C++ as well" {
    command -v c++ >/dev/null || skip "no C++ compiler"
    echo '#include <fusion.h>
    int main() { return fusion_version()[0] == 0; }' >ask.cpp
    # shellcheck disable=SC2046
    c++ -Wall -Werror -o plus ask.cpp $(pkg-config --cflags --libs libfusion)
    LD_LIBRARY_PATH=there/lib ./plus
}

@test "the shared library shows its interface and nothing else" {
    declared=$(grep -oE '\bfusion_[a-z_]+\(' there/include/fusion.h | tr -d '(' | sort -u)
    assert_equal "$(nm -D --defined-only there/lib/libfusion.so.1 | awk '$2 != "A" { print $3 }' |
        sort)" "$declared"
    assert_equal "$(pkg-config --modversion libfusion)" "$(./there/bin/fusion-predict --version |
        sed -n '1s/.* \([0-9.]*\)$/\1/p')"
}

@test "two models in two threads" {
    cat >threads.c <<'END'
#include <fusion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint8_t images[20 * FUSION_IMAGE_BYTES];
static float logits[2][20 * 5];

static void *ask(void *slot)
{
    struct fusion_options options = { .device = "ref", .batch = 7, .threads = 1 };
    struct fusion_model *model;

    if (fusion_open(&model, "run/best.safetensors", &options, NULL) != FUSION_OK)
        exit(1);
    for (int i = 0; i < 3; i++)
        if (fusion_predict(model, images, 20, slot, NULL, NULL) != FUSION_OK)
            exit(1);
    fusion_close(model);
    return NULL;
}

int main(void)
{
    pthread_t thread;

    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 24);
    pthread_create(&thread, NULL, ask, logits[0]);
    ask(logits[1]);
    pthread_join(thread, NULL);
    return memcmp(logits[0], logits[1], sizeof logits[0]) != 0;
}
END
    # shellcheck disable=SC2046
    cc -o threads threads.c $(pkg-config --cflags --libs libfusion) -lpthread
    LD_LIBRARY_PATH=there/lib ./threads
}
