#!/usr/bin/env bats
# The two commands of README.md on a fresh Debian, FRESH=SUITE-USER: everything that the check
# builds, a small demo and QUICK_SUITES; with FRESH_WHOLE=1 the demo and the check as they are.

load ../helper

machine() {
    "$ROOT/tests/fresh/machine" "$@"
}

# Called by make; the packages that make fresh machines are fetched by make too.
setup_file() {
    export MACHINE=$ROOT/build/fresh/$FRESH SUITE=${FRESH%-*} FRESH_USER=${FRESH##*-} WHY_NOT=
    [ -e "$ROOT/.git" ] || WHY_NOT="no checkout to clone"
    mkdir -p "$ROOT/build/fresh"
    teardown_file
    [ -n "$WHY_NOT" ] || WHY_NOT=$(machine make "$MACHINE-bare" "$SUITE" 2>&1) || [ $? = 77 ]
    [ -z "$WHY_NOT" ] || return 0
    machine copy "$MACHINE" "$MACHINE-bare"
    machine clone "$MACHINE" "$FRESH_USER"
}

setup() {
    [ -z "$WHY_NOT" ] || skip "$WHY_NOT"
}

teardown_file() {
    machine drop "$MACHINE"
    machine drop "$MACHINE-bare"
}

# typed COMMAND: in the clone; what it says stays in build/fresh, its end is shown when it fails.
typed() {
    local log=$MACHINE-$BATS_TEST_NUMBER.txt
    machine run "$MACHINE" "$FRESH_USER" "cd fusion-tools && $1" >"$log" 2>&1 ||
        { tail -n 60 "$log" && fail "$1: see $log"; }
}

@test "./bootstrap demo" {
    typed "./bootstrap demo $([ -n "${FRESH_WHOLE:-}" ] ||
        echo 'DEMO_IMAGES=1000 DEMO_EPOCHS=1 DEMO_EXPERT_EPOCHS=1')"
    run tail -n 1 "$MACHINE-1.txt"
    assert_output "The files of the four runs are in demo, their curves in demo/curves/all.png."
}

@test "./bootstrap check" {
    typed "./bootstrap check $([ -n "${FRESH_WHOLE:-}" ] || echo "SUITES='\$(QUICK_SUITES)'")"
    run tail -n 1 "$MACHINE-2.txt"
    assert_output --regexp '^[0-9]+ passed, 0 failed, [0-9]+ skipped$'
}

# Built where the check was, installed where nothing was.
@test "./bootstrap deb; the package works by itself and leaves nothing" {
    local bare=$MACHINE-bare log=$MACHINE-bare.txt
    typed "DEBFULLNAME='A Builder' DEBEMAIL=a@builder.example ./bootstrap deb \
        build/release/tests/mkcifar"
    typed "build/release/tests/mkcifar --classes 10 --train 500 --test 100 -o small.tar.gz"
    local home
    home=$(chroot "$MACHINE" su -l "$FRESH_USER" -c pwd)
    cp "$MACHINE$home"/fusion-tools/{build/*.deb,small.tar.gz,tests/deb-check} "$bare/root"
    run -0 chroot "$bare" dpkg-deb -f "$(cd "$bare" && ls root/*.deb)" Maintainer
    assert_output "A Builder <a@builder.example>"
    machine run "$bare" root "./deb-check *.deb small.tar.gz" >"$log" 2>&1 ||
        { tail -n 60 "$log" && fail "deb-check: see $log"; }
    tail -n 1 "$log" | grep -E '^deb-check: installed, ran, removed: fusion-tools [0-9]'
}
