#!/usr/bin/env bats
# Names that are no UTF-8, or could do something to a terminal or a spreadsheet: nothing is lost
# on them, and nothing of them gets through.

load helper
load tiny

setup_file() {
    tiny_data
}

train() { # OPTION...
    fusion-train --quiet --data "$data" --fusion concatenation --epochs 1 --batch 20 --steps 1 \
        --threads 1 "$@" <"$experts"
}

@test "bytes that are no UTF-8 in names become U+FFFD in what is written" {
    local odd=$'odd\xff'
    mkdir "$odd"
    cp "$data" "$odd/data.safetensors"
    expert-load -q --arch "$tiny_arch" --classes 5 --init 1 --count 1 -o "$odd/one.safetensors"
    train --task "t$odd" --data "$odd/data.safetensors" --checkpoint-dir "$odd/run" >metrics.jsonl
    assert_equal "$(events metrics.jsonl start 'e["task"]')" "todd�"
    assert_equal "$(events metrics.jsonl end 'e["status"]')" "done"
    # The same name is the same setting when it goes on.
    train --task "t$odd" --data "$odd/data.safetensors" --checkpoint-dir "$odd/run" --resume |
        cmp - metrics.jsonl
    fusion-eval --data "$odd/data.safetensors" "$odd/run/best.safetensors" >eval.jsonl
    assert_regex "$(events eval.jsonl start 'e["command_line"]')" "odd�/data.safetensors"
    ckpt-split -d "$odd/parts" "$odd/run/best.safetensors"
    python3 -c 'import json, sys; [json.load(open(name)) for name in sys.argv[1:]]' \
        "$odd"/parts/*/*.json
}

@test "a run that fails has its end, whatever is in the reason" {
    local odd=$'odd\xff' how=0
    (ulimit -f 8 && train --checkpoint-dir "$odd") >metrics.jsonl 2>said || how=$?
    assert_equal "$how" 1
    assert_regex "$(events metrics.jsonl end 'e["status"], e["reason"]')" "failed.*odd�.*too large"
    assert_regex "$(cat said)" 'fusion-train: odd\\xff/.*: File too large$'
}

@test "a command line is cut between characters" {
    local long
    long=$(printf 'é%.0s' $(seq 3000))
    for word in "$long" "x$long"; do
        fusion-eval --quiet --data "$data" --task "$word" "$experts" >eval.jsonl
        run events eval.jsonl start 'len(e["command_line"].encode()), e["command_line"][-1]'
        assert_regex "$output" "\(409[45], 'é'\)"
    done
}

# hostile FILE: a safetensors file with names that clear the screen, ring, turn the text around.
hostile() {
    python3 - "$1" <<'END'
import json, struct, sys
names = ["a\033[2J", "bell\a", "line\nbreak", "c1\x9b31m", "turned\u202e"]
header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
                     for i, name in enumerate(names)} | {"__metadata__": {"k\033": "v\x9b"}})
header += " " * (-len(header) % 8)
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<Q", len(header.encode())) + header.encode() + bytes(4 * len(names)))
END
}

@test "names in files cannot do anything to a terminal" {
    hostile hostile.safetensors
    for tool in "expert-load --list -v" "ckpt-split --list" "fusion-eval --data $data" \
        "cifar-view -o x.png" "expert-load --arch resnet18" "ckpt-join --arch resnet18" \
        ckpt-export; do
        # shellcheck disable=SC2086
        $tool hostile.safetensors >said 2>&1 || true
        run -1 env LC_ALL=C.UTF-8 grep -nP '[\x00-\x08\x0b-\x1f\x7f-\x9f\x{202e}]' said
    done
    run expert-load --list hostile.safetensors
    assert_line $'a\\x1b[2J\tF32\t(1,)'
    assert_line $'line\\x0abreak\tF32\t(1,)'
    assert_line $'c1\\u009b31m\tF32\t(1,)'
    assert_line $'turned\\u202e\tF32\t(1,)'
    # Nor can those of files, and of tasks.
    fails_with 1 'expert-load: no\\x1b\[2J\\xff: No such file or directory' \
        expert-load --list $'no\033[2J\xff'
    run -1 --separate-stderr fusion-train --task $'t\033c' --data "$data" --fusion concatenation \
        --checkpoint-dir /dev/null/x <"$experts"
    assert_regex "${stderr_lines[0]}" '^\[t\\x1bc\] fusion-train: '
}

@test "names cannot be formulas of a spreadsheet" {
    mkdir -- '=HYPERLINK("x")' -2+3 plain
    for run in '=HYPERLINK("x")' -2+3 plain; do
        printf '%s\n' '{"event":"start","arch":"@SUM(1)","fusion":"+1","task":"-x","experts":0}' \
            '{"event":"end","status":"done","test_accuracy":-1.5}' >"./$run/metrics.jsonl"
    done
    run -0 --separate-stderr metrics-csv --events end -- *
    assert_line --regexp "^\"'=HYPERLINK\(\"\"x\"\"\)\",done,.*,'\+1,'@SUM\(1\),'-x,,$"
    assert_line --regexp "^'-2\+3,done,.*,-1.5,"
    assert_line --regexp "^plain,done,"
}

@test "an output may have the longest name, and keeps the permissions of what it replaces" {
    local name mode
    name=$(printf 'n%.0s' {1..255})
    mkcifar --train 20 --test 20 -o "$name"
    for mode in 600 664; do
        chmod "$mode" "$name"
        mkcifar --train 20 --test 20 -o "$name"
        assert_equal "$(stat -c %a "$name")" "$mode"
    done
    name=$(printf '\xe2\x82\xac%.0s' {1..85}) # 255 bytes, 3 a character
    mkcifar --train 20 --test 20 -o "$name"
    assert_equal "$(find . -type f | wc -l)" 2
}

@test "the reason is said behind a path of any length" {
    local folder path
    folder=$(printf 'd%.0s' {1..250})
    path=$folder/$folder/$folder/none
    fails_with 1 "metrics-csv: $path: No such file or directory" metrics-csv "$path"
    fails_with 1 "cifar-prep: $path: No such file or directory" cifar-prep -o made "$path"
    fails_with 1 "cifar-prep: $path: No such file or directory" cifar-prep -o "$path" "$data"
}

# Of a folder of runs from elsewhere: in make's recipes and in what gnuplot reads.
@test "names of logs and runs, and what a run was started with, are no commands" {
    # shellcheck disable=SC2016
    local odd='a`touch 1`$(touch 2);touch 3;"'"'x" run=out/runs/resnet-concatenation
    local log=out/csv_logs/r
    unset_make
    mkdir -p "$run" "out/runs/$odd" $log
    cp "$data" out/data.safetensors
    echo '{"event":"start"}' | tee $run/history.jsonl >"out/runs/$odd/history.jsonl"
    printf '%s\e[2J\n' "$odd" >$run/experts
    train --checkpoint-dir run | metrics-csv | tee "$log/${odd}_training_log.csv" \
        >"$log/<touch 4; echo x_training_log.csv"
    pipelines() {
        make --no-print-directory -f "$ROOT/pipelines/fusions.mk" DATA="$data" OUT=out INIT=1 \
            DEVICE=ref "$@"
    }
    run -2 pipelines resnet-concatenation
    assert_line --partial "was started with $odd?[2J and not --init 1"
    run -0 pipelines slim
    run -0 pipelines table
    mkdir "out/runs/"$'\e[2J'
    run -0 pipelines table
    assert_line --partial "?[2J"
    if command -v gnuplot >/dev/null; then
        run -0 pipelines curves
        assert_equal "$(find out/curves -type f | wc -l)" 6
        plot-curves -t "$log/<touch 4; echo x_training_log.csv" >drawn
    fi
    run find . -name '[1-4]'
    assert_output ""
}

@test "make writes nothing behind links in folders of runs" {
    local folder
    unset_make
    echo mine >mine
    for folder in out/runs/resnet-concatenation out/resnet_fusions/concatenation \
        ex/runs/resnet-0; do
        rm -rf out ex
        mkdir -p "$folder"
        ln -s "$PWD/mine" "$folder/metrics.jsonl"
        run -2 make --no-print-directory -f "$ROOT/pipelines/fusions.mk" DATA="$data" OUT=out \
            EXPERTS=ex INIT=1 DEVICE=ref STEPS=1 \
            "$([[ $folder == ex* ]] && echo resnet-expert-0 || echo resnet-concatenation)"
        assert_line --partial \
            "make: ${folder/resnet_fusions*/runs/resnet-concatenation}: has a symbolic link in it"
        assert_equal "$(cat mine)" mine
    done
    mkdir -p out/runs/linked
    ln -s "$PWD/made" out/runs/linked/lock
    run -0 make --no-print-directory -f "$ROOT/pipelines/fusions.mk" DATA="$data" OUT=out slim
    assert_line "out/runs/linked: its lock is a symbolic link: left as it is"
    assert_not_exists made
}
