#!/usr/bin/env bats
# Every command block of README.md runs as it is typed, in its order, in one shell, in a fresh copy
# of the tree.  What is small here comes from outside of the commands: the archive that wget brings,
# and the sizes that make takes from the environment.  Stand-ins: wget, the package manager, sbatch
# (a real Slurm is in slurm.bats).

load helper

# The commands: all ```sh blocks.
commands() {
    awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$ROOT/README.md"
}

stand_in() { # NAME COMMANDS
    printf '#!/bin/bash\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}

files_of_the_tree() {
    if [ -e .git ]; then git ls-files -z; else find . -path ./build -prune -o -type f -print0; fi
}

# What a clone would have, and what is built already: objects that are newer than their sources.
copy_of_the_tree() { # FOLDER
    local build
    mkdir -p "$1/build"
    (cd "$ROOT" && files_of_the_tree | xargs -0 cp --parents -t "$1")
    for build in "$ROOT"/build/*/flags "$FX_BUILD/flags"; do
        build=${build%/flags}
        [ -e "$1/build/${build##*/}" ] || cp -r "$build" "$1/build"
    done
    find "$1/build" -type f -exec touch {} +
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    unset_make
    mkdir bin home
    mkcifar -o archive.tar.gz --classes 100 --train 500 --test 100
    stand_in wget "cp $PWD/archive.tar.gz \"\${1##*/}\""
    stand_in apt-get :
    stand_in sudo :
    stand_in sbatch 'echo $RANDOM'
    export PATH=$PWD/bin:$PATH HOME=$PWD/home
}

# Small members of the families, few epochs, one suite of the tests.
small() {
    export DEVICE=cpu EXPERT_EPOCHS=1 EPOCHS=1 BATCH=20 EXPERT_FLAGS='--batch 20' THREADS=1 \
        DEMO_IMAGES=500 DEMO_EPOCHS=1 DEMO_EXPERT_EPOCHS=1 MAKEFLAGS='SUITES=unit/options' WERROR='' \
        ARCH_densenet=densenet121:growth=4,blocks=1-1-1-1 ARCH_resnet=resnet18:width=4 \
        ARCH_improved_wide_resnet=improved_wideresnet28_10:depth=10,width=1 \
        ARCH_resnext=preact_resnext29_8x64d:depth=11,cardinality=2,base_width=8,width=8
}

@test "the commands run as they are typed" {
    [ "${FX_BUILD##*/}" = release ] || skip "README's commands are about build/release"
    copy_of_the_tree "$PWD/fusion-tools"
    cd fusion-tools
    small
    env -u FX_BUILD bash -xeo pipefail <(commands) >log 2>&1 ||
        { tail -n 40 log && fail "see above"; }
    run grep -E '^[0-9]+ passed, 0 failed, 0 skipped$' log
    assert_success
    for file in expert_3_best.pth run/best.safetensors run/training_log.csv \
        parts/experts/resnet_expert_3_best.pth fusion_checkpoints/curves/all.png \
        fusion_checkpoints/csv_logs/resnext_fusions/resnext_concatenation_training_log.csv \
        "$HOME/.local/bin/fusion-train"; do
        assert_file_not_empty "$file"
    done
}

@test "every block says what it is: commands, or what they print" {
    run grep -n '^```.' "$ROOT/README.md"
    refute_line --regexp '```(sh|text).'
    assert_equal "$(grep -c '^```' "$ROOT/README.md")" $((2 * ${#lines[@]}))
    run awk '/^```/ { inside = !inside } !inside && /^(    |\t)/' "$ROOT/README.md"
    assert_output ""
}
