# Loaded by the tests of the make targets (`load stand_ins`): stand-ins for the tools, and what
# calls make with them.

load run_files

stand_in() { # NAME COMMANDS
    printf '#!/bin/bash\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}

# A stand-in for every tool; fusion-train exits with what EXIT_family says.
setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir bin
    cat >bin/fusion-train <<'EOF'
#!/bin/bash
[ "$1" != --finished ] || exec echo "nothing to be done"
echo "$*" >>calls
for word; do [ "$previous" = --checkpoint-dir ] && dir=$word; previous=$word; done
cat >"$dir/best.safetensors"
family=${dir##*/}
name=EXIT_${family%-*}
echo '{"event":"end"}'
exit "${!name:-0}"
EOF
    stand_in expert-load 'echo "$*"'
    stand_in metrics-csv 'if [ "$1" = --live ]; then cat >"$3"; exit; fi
        [ "$1" != --quiet ] || exit 0 # of a table, without rows
        if [ $# -gt 0 ]; then cat "${!#}"; else cat; fi'
    stand_in ckpt-split 'mkdir -p "$2" && cp "$3" "$2/parts"'
    stand_in cifar-prep '[ "$1" = -o ] && echo data >"$2"'
    stand_in cifar-view true
    stand_in fusion-eval true
    chmod +x bin/fusion-train
    unset_make
    export PATH=$PWD/bin:$PATH
    touch archive.tar.gz
}

# As the installed fragment is used: nothing of the source tree is known to it.
fusions() {
    make -f "$ROOT/pipelines/fusions.mk" DATA=archive.tar.gz OUT=out "$@"
}
