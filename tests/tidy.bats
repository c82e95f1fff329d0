#!/usr/bin/env bats
# The source text keeps the rules of CONTRIBUTING.md: what a machine can check, it checks here.

load helper

setup_file() {
    export CPPCHECK_DIR=$BATS_FILE_TMPDIR/cppcheck
}

setup() {
    cd "$ROOT" || return
    mapfile -t c_files < <(find lib tools kernels bench tests \
        -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' 2>/dev/null | sort)
    mapfile -t product < <(printf '%s\n' "${c_files[@]}" | grep -Ev '^(bench|tests)/')
    mapfile -t scripts < <(
        find tests pipelines packaging bench bootstrap .ci -type f ! -name '*.py' -print0 |
            xargs -0 grep -lE '^#!.*\b(bash|sh|bats)\b' | sort
    )
}

# clean RULE FILE...: the rule finds nothing in the files.
clean() {
    run tests/tidy "$@"
    assert_success
    assert_output ""
}

# finds RULE TEXT [NAME]: the rule finds something in a file with this text.
finds() {
    mkdir -p "$BATS_TEST_TMPDIR/lib/net" "$BATS_TEST_TMPDIR/lib/run"
    cd "$BATS_TEST_TMPDIR"
    printf '%b' "$2" >"${3:-lib/net/sample.c}"
    run "$ROOT/tests/tidy" "$1" "${3:-lib/net/sample.c}" ${4:+"$4"}
    assert_output
    cd "$ROOT"
}

# judges VERSION COMMAND...: linters of other versions have other opinions; Debian 12's count.
judges() {
    run "${@:2}"
    [[ $output == *"$1"* ]] || skip "the linter of Debian 12 judges ($1), and this is another"
}

@test "lines have at most 100 columns" {
    finds columns "$(printf 'x%.0s' {1..101})\n"
    clean columns "${c_files[@]}" "${scripts[@]}" Makefile lib/*/*.def tests/*.mk \
        pipelines/*.mk pipelines/*/*.mk
}

@test "no space at the end of a line, no tab in C" {
    finds space 'int x; \n'
    finds space '\tint x;\n'
    clean space "${c_files[@]}" "${scripts[@]}"
}

@test "files have at most 500 lines, functions at most 70" {
    finds lines "$(printf '\\n%.0s' {1..501})"
    finds functions "{\n$(printf '\\n%.0s' {1..71})}\n"
    clean lines "${c_files[@]}" "${scripts[@]}"
    clean functions "${c_files[@]}"
}

@test "every C file begins by saying what it is" {
    finds purpose '#include <stdio.h>\n'
    clean purpose "${c_files[@]}"
}

@test "file names say something" {
    finds names '' lib/net/util.c
    clean names "${product[@]}"
}

@test "nothing is left for later" {
    finds unfinished '/* TODO: the rest */\n'
    mapfile -t shared < <(find pipelines -type f)
    clean unfinished "${c_files[@]}" man/*.[1357] "${shared[@]}" README.md ARCHITECTURE.md
}

@test "includes point one way" {
    finds includes '#include "checkpoint/checkpoint.h"\n'
    clean includes "${product[@]}"
}

@test "a comment names only files that are there" {
    finds cites '/* As gone.c does. */\n'
    clean cites "${c_files[@]}"
}

@test "internal headers stay in their folder" {
    finds internal '#include "run/phases_internal.h"\n'
    clean internal "${c_files[@]}"
}

@test "headers of one folder are internal" {
    mapfile -t files < <(printf '%s\n' "${product[@]}" | grep '^lib/.*\.h$' |
        grep -v '_internal\.h$')
    for file in "${files[@]}"; do
        run bash -c 'grep -rlF "#include \"$1\"" lib kernels tools bench |
            grep -vE "^$2/[^/]*(\.c|_internal\.h)$"' - "${file#lib/}" "${file%/*}"
        [ -n "$output" ] || fail "$file: only its own folder includes it: ${file%.h}_internal.h"
    done
}

@test "pointers and sizes are written in one way" {
    finds style 'if (p != NULL)\n'
    finds style 'if (p == NULL)\n'
    finds style 'n = sizeof(*p);\n'
    finds style 'n = sizeof(p->x);\n'
    finds style 'n = sizeof p[0];\n'
    clean style "${product[@]}"
}

@test "no files call each other in a circle" {
    [ -e "$FX_BUILD/libfusion.a" ] || skip "nothing is built in $FX_BUILD"
    run python3 tests/circles.py "$FX_BUILD"
    assert_success
    assert_output ""
}

@test "only the registry knows which back ends there are" {
    finds backends '#if FX_HAVE_DNNL\n'
    clean backends "${c_files[@]}"
}

@test "calls that have one home stay there" {
    finds homes 'void f(void)\n{\n    exit(1);\n}\n'
    finds homes '    fprintf(stderr, "x");\n'
    finds homes '    return atoi(s);\n'
    finds homes '    out = open_memstream(&text, &n);\n'
    finds homes '    goto again;\n'
    clean homes "${product[@]}"
}

@test "clang-format would change nothing" {
    judges "clang-format version 14." clang-format --version
    run clang-format --dry-run -Werror "${c_files[@]}"
    assert_success
}

@test "cppcheck finds nothing" {
    judges "Cppcheck 2.10" cppcheck --version
    mkdir -p "$CPPCHECK_DIR"
    run cppcheck -q -j2 --cppcheck-build-dir="$CPPCHECK_DIR" --std=c11 -Ilib -DFX_HAVE_DNNL=1 \
        -DFX_HAVE_CUDA=0 '-DFX_VERSION="0"' --enable=warning,portability,performance \
        --inline-suppr --suppressions-list=tests/cppcheck.txt --error-exitcode=1 lib tools
    assert_success
    assert_output ""
}

@test "shellcheck finds nothing" {
    judges "version: 0.9." shellcheck --version
    # Bats stops a test at a failed cd, and sets output, lines and stderr; bash -c wants quotes.
    run shellcheck -x -e SC2016,SC2154,SC2164 "${scripts[@]}" tests/helper.bash
    assert_success
    assert_output ""
}

@test "man pages are clean mdoc" {
    judges 1.14.6 dpkg-query -W -f '${Version}' mandoc
    run mandoc -T lint -W warning man/*.[1357]
    assert_success
    assert_output ""
    # mdoc joins a full stop that stands alone, a folder of an example, to the word before it.
    run -1 grep -nE '^\.Dl .* \.( |$)' man/*.[1357]
}

@test "man pages have no line that a terminal of 78 columns breaks" {
    broken() { # PAGE...
        local page
        for page; do
            mandoc -T ascii -O width=78 "$page" | col -bx | grep -E '^.{79}' | sed "s|^|$page: |"
        done
    }
    printf '.Dd June 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Dl %075d\n' 0 >"$BATS_TEST_TMPDIR/x.1"
    [ -n "$(broken "$BATS_TEST_TMPDIR/x.1")" ]
    run broken man/*.[1357]
    assert_output ""
}

@test "the workflow of the public CI is clean YAML" {
    command -v yamllint >/dev/null || skip "no yamllint"
    run yamllint -s .github/workflows/*.yml
    assert_success
    assert_output ""
}

@test "no file above 256 KiB is kept in the tree" {
    git rev-parse --is-inside-work-tree >/dev/null 2>&1 || skip "not a git checkout"
    run bash -c 'git ls-files -z | xargs -0 -r du -k | awk "\$1 > 256"'
    assert_output ""
}
