#!/usr/bin/env bats
# metrics-wandb: the log that it writes is decoded by tests/track/read_wandb.py and protoc, and,
# where W&B's own client is installed, by that.  Streams are written by hand from fusion-metrics(5).

load helper

start='{"event":"start","tool":"fusion-train","arch":"resnet18:width=8","fusion":"multiplicative",'
start+='"experts":2,"alpha":0.5,"timestamp":"2026-01-02 03:04:05"}'
end='{"event":"end","status":"done","best_epoch":2,"best_val_accuracy":12.25,"test_accuracy":11.5,'
end+='"test_expert_accuracy":[9,8],"seconds":61.5,"timestamp":"2026-01-02 03:05:06"}'
eval='{"event":"eval","split":"val","epoch":0,"images":4,"loss":4.5,"accuracy":1,'
eval+='"expert_accuracy":[2,3],"timestamp":"2026-01-02 03:04:06"}'

epoch() { # NUMBER
    echo '{"event":"epoch","epoch":'"$1"',"step":'$((2 * $1))',"train_loss":'"$1.5"',' \
        '"loss_total":4.5,"val_loss_global":null,"val_accuracy":12.25,"expert_accuracy":[9,8.5],' \
        '"best":true,"images_per_second":25.5,"timestamp":"2026-01-02 03:04:1'"$1"'","new":7}'
}

step() { # NUMBER
    echo '{"event":"step","epoch":1,"step":'"$1"',"loss_total":'"$1.25"',"grad_norm":7.25}'
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    unset "${!WANDB_@}"
    export TZ=UTC
    whole=("$start" "$eval" "$(step 1)" "$(step 2)" "$(epoch 1)" "$(step 3)" "$(step 4)"
        "$(epoch 2)" "$end")
    printf '%s\n' "${whole[@]}" >metrics.jsonl
    printf '{"event":"end","status":"stopped","seconds":9}\n' >stopped.jsonl
}

# The records of a run folder, each on one line, and of these the parts that matter.
records() { # DIR
    python3 "$ROOT/tests/track/read_wandb.py" "$1"/run-*.wandb | tr -s ' \n' '  ' |
        sed 's/record { /\n/g' | sed 1d
}
kinds() {
    records "$1" | awk '{ print $3 }' | xargs
}
items() { # KIND: "key=value" of each item in the records of that kind
    { grep -E "^num: [0-9]+ $1 " || true; } |
        grep -oE '(item|update) \{ key: "[^"]*" value_json: "([^"\]|\\.)*" \}' |
        sed -E 's/^[a-z]* \{ key: "([^"]*)" value_json: "(.*)" \}$/\1=\2/'
}
steps() { # DIR: the steps of its rows
    records "$1" | items history | sed -n 's/^_step=//p' | xargs
}

needs_protoc() {
    command -v protoc >/dev/null || skip "no protoc"
}

@test "a run becomes header, run, rows, summaries, exit, final and footer" {
    needs_protoc
    run -0 --separate-stderr metrics-wandb -d logs metrics.jsonl
    dir=$output
    assert_regex "$dir" '^logs/wandb/offline-run-[0-9]{8}_[0-9]{6}-[a-z0-9]{8}$'
    assert_dir_exists "$dir/files"
    assert_dir_exists "$dir/logs"
    assert_equal "$(readlink logs/wandb/latest-run)" "${dir##*/}"
    assert_exists "$dir/run-${dir: -8}.wandb"
    assert_equal "$stderr" \
        "metrics-wandb: $dir: run ${dir: -8} of project MCN_ResNet_Fusion"
    assert_equal "$(kinds "$dir")" "header run history history history summary history history \
summary summary exit final footer"
    assert_equal "$(records "$dir" | awk '{ print $2 }' | xargs)" "$(seq -s ' ' 13)"
}

@test "rows have the values of their step, under names in groups, and their time" {
    needs_protoc
    dir=$(metrics-wandb metrics.jsonl)
    epoch_items='val/loss_global=NaN val/accuracy=12.25 val/expert_0_accuracy=9'
    epoch_items+=' val/expert_1_accuracy=8.5 speed/images_per_second=25.5 epoch/new=7'
    records "$dir" | items history | awk '{ printf "%s%s", $0, /^_runtime/ ? "\n" : " " }' >lines
    diff lines - <<END
val/loss_global=4.5 val/accuracy=1 val/expert_0_accuracy=2 val/expert_1_accuracy=3 \
_step=0 _timestamp=1767323046 _runtime=1
step/loss_total=1.25 step/grad_norm=7.25 _step=1 _timestamp=1767323046 _runtime=1
step/loss_total=2.25 step/grad_norm=7.25 epoch=1 train/loss=1.5 $epoch_items \
_step=2 _timestamp=1767323051 _runtime=6
step/loss_total=3.25 step/grad_norm=7.25 _step=3 _timestamp=1767323051 _runtime=6
step/loss_total=4.25 step/grad_norm=7.25 epoch=2 train/loss=2.5 $epoch_items \
_step=4 _timestamp=1767323052 _runtime=7
END
    run records "$dir"
    assert_line --partial 'step { num: 4 }'
}

@test "configuration, summary and exit code are those of the run" {
    needs_protoc
    dir=$(metrics-wandb metrics.jsonl)
    run records "$dir"
    assert_line --partial 'config { update { key: "tool" value_json: "\"fusion-train\"" } update {'\
' key: "arch" value_json: "\"resnet18:width=8\"" } update { key: "fusion" value_json: '\
'"\"multiplicative\"" } update { key: "experts" value_json: "2" } update { key: "alpha" '\
'value_json: "0.5" } update { key: "timestamp" value_json: "\"2026-01-02 03:04:05\"" } }'
    assert_line --partial 'start_time { seconds: 1767323045 }'
    assert_equal "$(records "$dir" | items summary | tail -n 7 | paste -sd " ")" \
        "best/epoch=2 best/val_accuracy=12.25 test/accuracy=11.5 test/expert_0_accuracy=9 \
test/expert_1_accuracy=8 speed/run_seconds=61.5 status=\\\"done\\\""
    assert_line --partial 'exit { runtime: 61 }'
    for how in diverged:4 failed:1; do
        rm -rf wandb
        sed "s/\"done\"/\"${how%:*}\"/" metrics.jsonl >other.jsonl
        run records "$(metrics-wandb other.jsonl)"
        assert_line --partial "exit { exit_code: ${how#*:} runtime: 61 }"
    done
}

@test "options win over the environment, which wins over what the run says" {
    needs_protoc
    export WANDB_PROJECT=theirs WANDB_ENTITY=team WANDB_NAME=nameless WANDB_RUN_GROUP=g \
        WANDB_TAGS=a,b WANDB_RUN_ID=run-7 WANDB_JOB_TYPE=test WANDB_NOTES=hm WANDB_DIR=$PWD/there
    dir=$(metrics-wandb metrics.jsonl)
    assert_regex "$dir" "^$PWD/there/wandb/offline-run-[0-9]{8}_[0-9]{6}-run-7$"
    run records "$dir"
    assert_line --partial 'run { run_id: "run-7" entity: "team" project: "theirs" config {'
    assert_line --partial '} run_group: "g" job_type: "test" display_name: "nameless" '\
'notes: "hm" tags: "a" tags: "b" host: "'
    dir=$(metrics-wandb -d here --project ours --entity me --name n --group h --tags x \
        --run-id other metrics.jsonl)
    run records "$dir"
    assert_line --partial 'run { run_id: "other" entity: "me" project: "ours" config {'
    assert_line --partial '} run_group: "h" job_type: "test" display_name: "n" notes: "hm" '\
'tags: "x" host: "'
    WANDB_MODE=disabled run -0 metrics-wandb -d nowhere metrics.jsonl
    assert_output ""
    assert_not_exists nowhere
}

@test "each family has its project" {
    needs_protoc
    while read -r arch project; do
        sed "s/resnet18:width=8/$arch/" metrics.jsonl >one.jsonl
        run records "$(metrics-wandb one.jsonl)"
        assert_line --partial " project: \"$project\" "
    done <<'END'
densenet121 MCN_DenseNet_Fusion
resnet18 MCN_ResNet_Fusion
resnet18;resnet18:width=8 MCN_ResNet_Fusion
improved_wideresnet28_10:depth=10 MCN_ImprovedWideResNet_Fusion
preact_resnext29_8x64d MCN_ResNeXt_Fusion
preact_resnet18 MCN_PreActResNet_Fusion
resnet18;densenet121 MCN_Fusion
other MCN_Fusion
END
}

@test "--pass hands every line on as it was; without it only the folder is printed" {
    metrics-wandb --pass metrics.jsonl | cmp - metrics.jsonl
    run -0 --separate-stderr bash -c 'set -o pipefail
        metrics-wandb --quiet --pass -d b <metrics.jsonl | tail -n 1'
    assert_equal "$output" "$end"
    run -0 --separate-stderr metrics-wandb -d b <metrics.jsonl
    assert_regex "$output" '^b/wandb/offline-run-'
}

@test "records are in the log while the run goes on" {
    needs_protoc
    mkfifo pipe
    metrics-wandb pipe >out &
    exec 5>pipe
    printf '%s\n' "${whole[@]:0:5}" >&5
    wanted="header run history history history summary"
    there() { [ "$(kinds wandb/latest-run 2>/dev/null)" = "$wanted" ]; }
    eventually there
    printf '%s\n' "${whole[@]:5}" >&5
    exec 5>&-
    wait $!
    assert_equal "$(steps wandb/latest-run)" "0 1 2 3 4"
}

@test "cut after any event, the log is whole up to there and without an exit" {
    needs_protoc
    wanted=("" "header run" "header run history" "header run history" "header run history history"
        "header run history history history summary" "header run history history history summary"
        "header run history history history summary history"
        "header run history history history summary history history summary")
    for n in 1 2 3 4 5 6 7 8; do
        rm -rf wandb
        head -n "$n" metrics.jsonl >cut.jsonl
        fails_with 3 "metrics-wandb: cut.jsonl: stream ends without an end event" \
            metrics-wandb --quiet cut.jsonl
        assert_equal "$(kinds wandb/latest-run)" "${wanted[n]}"
    done
    head -c -3 metrics.jsonl >cut.jsonl
    rm -rf wandb
    fails_with 3 "metrics-wandb: cut.jsonl: line 9: cut off before its end" \
        metrics-wandb --quiet cut.jsonl
    assert_equal "$(kinds wandb/latest-run)" "${wanted[8]}"
    fails_with 3 "metrics-wandb: stdin: stream ends without an end event" metrics-wandb </dev/null
}

@test "taken up again, a run keeps its id and every row is told once" {
    needs_protoc
    metrics-wandb --quiet -d whole metrics.jsonl
    records whole/wandb/latest-run | items history >rows.wanted
    for n in 1 2 3 4 5 6 7 8; do
        rm -rf wandb
        head -n "$n" metrics.jsonl >cut.jsonl
        run -3 metrics-wandb --quiet cut.jsonl
        # Stopped by a signal the next time, which no row is lost by either.
        { cat cut.jsonl stopped.jsonl; } >twice.jsonl
        metrics-wandb --quiet twice.jsonl
        metrics-wandb --quiet metrics.jsonl
        for dir in wandb/offline-run-*; do
            assert_equal "${dir: -8}" "$(readlink whole/wandb/latest-run | tail -c 9)"
            records "$dir" | items history || true
        done >rows
        diff rows rows.wanted
        run records wandb/latest-run
        assert_line --partial 'exit { runtime: 61 }'
        [ "$n" -lt 4 ] || assert_line --regexp ' starting_step: [1-9]'
    done
}

@test "a log cut at any byte is read up to there, and completed" {
    needs_protoc
    dir=$(metrics-wandb metrics.jsonl)
    log=("$dir"/run-*.wandb)
    cp "${log[0]}" whole.wandb
    n=$(stat -c %s whole.wandb)
    for ((at = 8; at < n; at += 151)); do
        rm -rf "$PWD"/wandb/offline-run-*
        mkdir -p "$dir"
        head -c "$at" whole.wandb >"${log[0]}"
        run -0 python3 "$ROOT/tests/track/read_wandb.py" "${log[0]}"
        before=$(steps "$dir")
        run -0 metrics-wandb --quiet metrics.jsonl
        if [ "$output" = "$dir" ]; then
            assert_equal "$before" "0 1 2 3 4"
        else
            assert_equal "$(echo "$before" "$(steps "$output")" | xargs)" "0 1 2 3 4"
        fi
    done
}

@test "a run that was told already is left alone; a run id belongs to one run" {
    first=$(metrics-wandb metrics.jsonl)
    run -0 --separate-stderr metrics-wandb metrics.jsonl
    assert_equal "$output" "$first"
    assert_equal "$stderr" "metrics-wandb: $first: holds all of run ${first: -8} already"
    assert_equal "$(find wandb -name 'offline-run-*' | wc -l)" 1
    dir=$(metrics-wandb --run-id mine metrics.jsonl)
    sed 's/03:04:05/03:04:04/' metrics.jsonl >other.jsonl
    fails_with 2 "metrics-wandb: ./wandb/offline-run-*-mine: run id mine belongs to another run: \
give --run-id" metrics-wandb --run-id mine other.jsonl
    second=$(metrics-wandb other.jsonl)
    [ "${second: -8}" != "${first: -8}" ]
}

@test "records longer than a block are cut into chunks" {
    needs_protoc
    told() { # SIZE: the run with a configuration that much longer
        text=$(head -c "$1" /dev/zero | tr '\0' x)
        sed "1s/\"tool\"/\"pad\":\"$text\",\"tool\"/" metrics.jsonl >long.jsonl
        dir=$(metrics-wandb --quiet long.jsonl)
        run records "$dir"
        assert_equal "${#lines[@]}" 13
        [[ ${lines[1]} == *"\"\\\"$text\\\"\""* ]] || fail "the $1 bytes came back changed"
    }
    told 100000
    # The run record is the second: where it ends, with what is left of the block from 9 bytes to
    # none, and beyond it.  Less than 7 bytes hold no chunk, 7 hold an empty one.
    head -n 1 metrics.jsonl >first.jsonl
    sed -i "1s/\"tool\"/\"pad\":\"$(head -c 32000 /dev/zero | tr '\0' x)\",\"tool\"/" first.jsonl
    run -3 metrics-wandb -d first first.jsonl
    n=$(cat first/wandb/latest-run/run-*.wandb | wc -c)
    for left in 9 8 7 6 5 4 3 2 1 0 -1; do
        told $((32000 + 32768 - n - left))
    done
}

@test "names that W&B does not take are refused" {
    fails_with 2 "metrics-wandb: project 'a/b': must not contain any of /\\\\#?%:" \
        metrics-wandb --project a/b metrics.jsonl
    fails_with 2 "metrics-wandb: run id '../x': must not contain any of :;,#?/'" \
        metrics-wandb --run-id ../x metrics.jsonl
    fails_with 2 "metrics-wandb: project '*': more than 128 characters" \
        metrics-wandb --project "$(head -c 129 /dev/zero | tr '\0' x)" metrics.jsonl
    run -2 metrics-wandb a b
    run -1 metrics-wandb no-such-file
    assert_not_exists wandb
}

@test "a folder that cannot be written and a full disk are reported" {
    echo >file
    run -1 --separate-stderr metrics-wandb -d file metrics.jsonl
    assert_regex "$stderr" '^metrics-wandb: file/wandb.*: Not a directory|: not a directory'
    run -1 --separate-stderr bash -c 'metrics-wandb --quiet metrics.jsonl >/dev/full'
    assert_equal "$stderr" "metrics-wandb: stdout: No space left on device"
    rm -rf wandb
    run -1 --separate-stderr bash -c 'metrics-wandb --quiet --pass metrics.jsonl >/dev/full'
    assert_equal "$stderr" "metrics-wandb: stdout: No space left on device"
}

@test "what the reader of the pipe does not want ends it, and the trainer before it" {
    { echo "$start"; for i in $(seq 3000); do step "$i"; done; echo "$end"; } >long.jsonl
    run --separate-stderr bash -c \
        'metrics-wandb --quiet --pass long.jsonl | head -n 1; exit ${PIPESTATUS[0]}'
    assert_equal "$status" 141
}

@test "W&B's own reader agrees" {
    command -v wandb >/dev/null && wandb leet inspect --help >/dev/null 2>&1 ||
        skip "no wandb with 'leet inspect'"
    dir=$(metrics-wandb --quiet metrics.jsonl)
    run -0 wandb leet inspect --summary "$dir"
    assert_line --regexp '^state +finished \(exit code 0\)'
    assert_line --regexp '^ +test/accuracy +11.5'
    assert_line --regexp '^ +arch +resnet18:width=8'
}
