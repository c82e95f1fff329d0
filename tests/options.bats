#!/usr/bin/env bats
# Every tool says the same everywhere: --help, man page and README name the same tools and options.

load helper

shared='--help
--quiet
--verbose
--version'

setup_file() {
    TOOLS=$(find "$ROOT/tools" -name '*.c' -printf '%f\n' | sed 's/\.c$//' | sort)
    # The scripts that are installed as commands are held to the same.
    scripts=$(sed -n 's/^SCRIPTS := //p' "$ROOT/Makefile")
    for script in $scripts; do TOOLS+=" ${script##*/}"; done
    export TOOLS
    [ -n "$TOOLS" ]
}

own() {
    sort -u | comm -23 - <(echo "$shared")
}

# The long options of a help text or a man page on stdin, without the shared ones.
help_options() {
    grep -oE '^  (-[a-zA-Z], |    )--[a-z][a-z0-9-]*' | grep -oE -e '--.*' |
        own
}
page_options() {
    sed -n 's/^\.It \(Fl .*\)/\1/p' | sed 's/Fl Fl /Fl -/g' | grep -oE 'Fl -[a-z][a-z0-9-]*' |
        sed 's/Fl -/--/' | own
}

@test "--help exits 0 and prints on stdout only" {
    for tool in $TOOLS; do
        run -0 --separate-stderr "$tool" --help
        assert_equal "$stderr" ""
        assert_regex "${lines[0]}" "^[Uu]sage: $tool "
    done
}

@test "--help fits into 79 columns" {
    for tool in $TOOLS; do
        run -1 grep -E '.{80}' <("$tool" --help)
    done
}

@test "--help of what takes --arch lists the families and how a member is chosen" {
    takes=$(for tool in $TOOLS; do
        if "$tool" --help | grep -e '--arch ' >/dev/null; then echo "$tool"; fi
    done)
    assert_equal "$takes" "ckpt-join
expert-load
expert-train
fusion-train"
    families=$(sed -n '/^.Sh ARCH/,/^.Sh FUSIONS/s/^.It Cm //p' "$ROOT/man/fusion-tools.7")
    for tool in $takes; do
        run -0 "$tool" --help
        assert_output --regexp 'FAMILY:KEY=VALUE,\.\.\.'
        for family in $families; do
            assert_line --regexp "^  $family:[a-z]+=[0-9]"
            assert_line --regexp "^ +[|a-z0-9_]*\\b$family\\b[|a-z0-9_]*$"
        done
    done
    # What --help shows is what the option takes, and the full-size network.
    shapes() { fusion-train --fusion multiplicative --print-shapes --arch "$1" | tail -n 1; }
    while read -r member; do
        assert_equal "$(shapes "$member")" "$(shapes "${member%%:*}")"
    done < <(fusion-train --help | grep -E '^  [a-z0-9_]+:')
}

@test "--version names the compiler" {
    run -0 fusion-train --version
    assert_line --regexp '^compiler: .*(gcc|[Cc]lang) [0-9]+[.][0-9]'
}

@test "an option that may be several names them" {
    run -2 --separate-stderr fusion-train --lr 3
    assert_equal "${stderr_lines[0]}" \
        "fusion-train: --lr: may be --lr-experts, --lr-fusion or --lr-head"
    run -2 --separate-stderr fusion-train --ver
    assert_equal "${stderr_lines[0]}" "fusion-train: --ver: may be --version or --verbose"
    fusion-train --vers
}

@test "--version prints the name and the version" {
    version=$(grep -m 1 -oP '^## \[\K[0-9.]+' "$ROOT/CHANGELOG.md")
    for tool in $TOOLS; do
        run -0 --separate-stderr "$tool" --version
        assert_regex "${lines[0]}" "^$tool .*$version"
    done
}

@test "an unknown option exits 2 with one line and where to read on" {
    for tool in $TOOLS; do
        run -2 --separate-stderr "$tool" --no-such-option
        assert_equal "$output" ""
        assert_regex "${stderr_lines[0]}" "^$tool: .*no-such-option"
        assert_equal "${stderr_lines[1]}" "Try '$tool --help' for more information."
    done
}

@test "the man page describes exactly the options of --help" {
    for tool in $TOOLS; do
        diff -u <("$tool" --help | help_options) <(page_options <"$ROOT/man/$tool.1") ||
            fail "$tool: --help (-) and man page (+) differ"
    done
}

@test "every tool has its page, its tests, its place in fusion-tools(7) and in README" {
    for tool in $TOOLS; do
        assert_exists "$ROOT/man/$tool.1"
        grep -q "@test.*$tool" "$ROOT"/tests/*.bats || find "$ROOT/tests" -name "$tool.bats" |
            grep -q . || fail "no test of $tool"
        grep -q "^\.It Xr $tool 1" "$ROOT/man/fusion-tools.7" || fail "$tool not in page 7"
        grep -qF "\`$tool\`" "$ROOT/README.md" || fail "$tool is not in README.md"
    done
}

# column N TABLE: column N of the rows of a table in lib/net.
column() {
    sed -n 's/^FX_[A-Z]*(\(.*\))$/\1/p' "$ROOT/lib/net/$2" | awk -F', ' -v n="$1" '{ print $n }'
}

@test "the pages have every architecture and every fusion, with its recipe" {
    local archs fusions
    archs=$(column 2 architectures.def) fusions=$(column 2 fusions.def)
    [ "$(wc -l <<<"$archs")" -ge 4 ] && [ "$(wc -l <<<"$fusions")" -ge 6 ]
    for name in $archs $fusions; do
        grep -qx "\.It Cm $name" "$ROOT/man/fusion-tools.7" || fail "$name: not in page 7"
    done
    for arch in $archs; do
        expert-load --help | grep -q "^  $arch:" || fail "$arch: not in --help"
        grep -q "^\.It $arch Ta" "$ROOT/man/expert-train.1" || fail "$arch: no recipe"
    done
    for fusion in $fusions; do
        grep -q "^\.It $fusion Ta" "$ROOT/man/fusion-train.1" || fail "$fusion: no recipe"
        fusion-train --help | grep -q "^  $fusion " || fail "$fusion: not in --help"
    done
    for folder in $(column 3 architectures.def); do
        grep -q "^\.Ql $folder\b" "$ROOT/man/ckpt-split.1" || fail "$folder: not in ckpt-split(1)"
    done
}

@test "pages refer only to pages that exist" {
    for page in "$ROOT"/man/*.[1357]; do
        while read -r name section; do
            assert_exists "$ROOT/man/$name.$section"
        done < <(grep -oE '\bXr (fusion|cifar|expert|ckpt|metrics)-[a-z]* [157]' "$page" | cut -c4-)
    done
}

@test "the bounds of a whole number are printed in full" {
    run -2 --separate-stderr cifar-prep --seed -1
    assert_equal "${stderr_lines[0]}" \
        "cifar-prep: --seed -1: must be between 0 and 9007199254740992"
}
