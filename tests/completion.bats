#!/usr/bin/env bats
# Completion in bash, zsh and fish, as installed: options and what they take, read from --help.

load helper

setup_file() {
    unset_make
    export PREFIX=$BATS_FILE_TMPDIR/there
    make -s --no-print-directory -C "$ROOT" B="$FX_BUILD" PREFIX="$PREFIX" install
    mkdir "$BATS_FILE_TMPDIR/here"
}

setup() {
    cd "$BATS_FILE_TMPDIR/here" || return
    PATH=$PREFIX/bin:/usr/bin:/bin
    families=$(sed -n '/^.Sh ARCH/,/^.Sh FUSIONS/s/^.It Cm //p' "$ROOT/man/fusion-tools.7" |
        sort | xargs)
    touch some.safetensors
    mkdir -p folder
}

@test "every option of --help is in the table that the shells read" {
    table() { "$1" --help | "$PREFIX/share/fusion-tools/completion/option-table"; }
    for tool in "$PREFIX"/bin/*; do
        diff <(table "$tool" | cut -f 2) <("$tool" --help | sed '/^Options:/,/^$/!d' |
            grep -oE '^  (-., |    )--[a-z-]+' | grep -oE -e '--.*')
        run -1 grep -vP '^(-|-[a-zA-Z])\t--[a-z-]+\t[^\t]+\t[^\t]+\t[^\t]+$' <(table "$tool")
    done
}

# completions WORD...: what bash offers for the last word, sorted, in one line.
completions() {
    COMPREPLY=() COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _fusion_tools "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
    printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
}

@test "bash" {
    # shellcheck source=/dev/null
    source "$PREFIX/share/bash-completion/completions/cifar-prep"
    assert_equal "$(completions cifar-prep --hold)" "--holdout --holdout-fraction"
    assert_equal "$(completions expert-load --arch '')" "$families"
    assert_equal "$(completions expert-load --arch = res)" resnet18
    assert_equal "$(completions expert-load --arch =)" "$families"
    assert_equal "$(completions ckpt-join --fusion multiplicativeA)" multiplicativeAddition
    assert_equal "$(completions fusion-train --checkpoint-dir '')" folder
    assert_equal "$(completions fusion-train --epochs '')" ""
    assert_equal "$(completions expert-load -o '')" "folder some.safetensors"
    assert_equal "$(completions expert-load --init 1 so)" some.safetensors
    assert_equal "$(completions submit-all-fusions --part)" --partition
    complete -p fusion-table submit-all-fusions fusion-train >/dev/null
}

@test "fish" {
    command -v fish >/dev/null || skip "no fish"
    export HOME=$BATS_TEST_TMPDIR XDG_DATA_DIRS=$PREFIX/share
    offers() { fish -c "complete -C '$1'" | cut -f 1 | sort | xargs; }
    assert_equal "$(offers 'cifar-prep --hold')" "--holdout --holdout-fraction"
    assert_equal "$(offers 'expert-load --arch ')" "$families"
    assert_equal "$(offers 'expert-load --arch=res')" --arch=resnet18
    assert_equal "$(offers 'fusion-train --checkpoint-dir ')" folder/
    assert_equal "$(offers 'fusion-train --epochs ')" ""
    assert_equal "$(offers 'expert-load -o so')" some.safetensors
    assert_equal "$(offers 'submit-all-fusions --part')" --partition
    run -0 fish -c 'complete -C "expert-load --verb"'
    assert_line "--verbose	log more"
}

# typed LINE: the line as zsh has it after a Tab at its end.
typed() {
    TYPED=$1 zsh -f <<'END'
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1= RPS1= fpath=($PREFIX/share/zsh/site-functions \$fpath)"
zpty -w shell 'unsetopt zle_bracketed_paste prompt_cr; autoload -U compinit; compinit -D -u'
zpty -w shell 'show() { BUFFER="print -r -- \"<$BUFFER>\""; zle accept-line }; zle -N show'
zpty -w shell 'bindkey "^X" show; setopt no_list_beep; print ready-$((1 + 1))'
zpty -r -m shell said '*ready-2*'
zpty -n -w shell "$TYPED"$'\t\x18'
zpty -r -m shell said $'*\n<*>*'
print -r -- "${${said##*$'\n'<}%%>*}"
zpty -d shell
END
}

@test "zsh" {
    command -v zsh >/dev/null || skip "no zsh"
    assert_equal "$(typed 'expert-load --arch res')" "expert-load --arch resnet18 "
    assert_equal "$(typed 'expert-load --arch=impr')" \
        "expert-load --arch=improved_wideresnet28_10 "
    assert_equal "$(typed 'ckpt-join --fusion multiplicativeA')" \
        "ckpt-join --fusion multiplicativeAddition "
    assert_equal "$(typed 'cifar-prep --holdo')" "cifar-prep --holdout"
    assert_equal "$(typed 'fusion-train --checkpoint-dir fo')" \
        "fusion-train --checkpoint-dir folder/"
    assert_equal "$(typed 'fusion-train --epochs so')" "fusion-train --epochs so"
    assert_equal "$(typed 'expert-load -o so')" "expert-load -o some.safetensors "
    assert_equal "$(typed 'submit-all-fusions --part')" "submit-all-fusions --partition="
}
