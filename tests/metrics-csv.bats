#!/usr/bin/env bats
# metrics-csv: the columns of the original in the original's order, live, and nothing from a stream
# that has no end.  Streams are written by hand from fusion-metrics(5).

load helper

start='{"event":"start","arch":"resnet18:width=8","fusion":"multiplicative","experts":2,'
start+='"alpha":0.5,"val":"holdout"}'
end='{"event":"end","status":"done"}'

epoch() { # NUMBER
    echo '{"event":"epoch","epoch":'"$1"',"step":70,"train_loss":4.5,"loss_global":1.5,' \
        '"loss_individual":6,"loss_total":4.5,"train_accuracy":10,"val_loss":0.1,' \
        '"val_loss_global":null,"val_accuracy":12.25,"expert_accuracy":[9,8.5],' \
        '"expert_loss":[4.25,4.75],"ensemble_accuracy":11,"ensemble_loss":2.5,"lr_experts":1e-05,' \
        '"lr_fusion":0.001,"lr_global_head":0.002,"best":true,"images_per_second":25.5,' \
        '"seconds":3,"val_seconds":1,"timestamp":"2026-01-02 03:04:05","later":[{}]}'
}

step() { # NUMBER
    echo '{"event":"step","epoch":1,"step":'"$1"',"loss_total":23.1,"loss_global":4.6,' \
        '"loss_individual":18.5,"grad_norm":7.25,"lr_experts":1e-05,"lr_fusion":0.0005}'
}

titles=epoch,train_loss,val_loss,val_accuracy,experts_lr,fusion_lr,global_head_lr
titles+=,loss_global,loss_individual,loss_total
titles+=,expert_0_accuracy,expert_1_accuracy,expert_0_loss,expert_1_loss
titles+=,alpha,fusion_type,model_architecture,timestamp
titles+=,step,train_accuracy,ensemble_accuracy,val_loss_global,images_per_second,seconds,val
titles+=,ensemble_loss,val_ece

row() { # NUMBER
    local row=$1,4.5,0.1,12.25,1e-05,0.001,0.002,1.5,6,4.5,9,8.5,4.25,4.75,0.5,multiplicative
    echo "$row,resnet18:width=8,2026-01-02 03:04:05,70,10,11,nan,25.5,3,holdout,2.5,"
}

left() { # every file in the folder, without those of bats
    ls -A -I 'separate-stderr*'
}

stream() { # LINE...
    printf '%s\n' "$@" >metrics.jsonl
}

@test "epochs become the original's columns, then ours" {
    stream "$start" "$(step 1)" "$(epoch 1)" '{"event":"of a later version"}' "$(epoch 2)" "$end"
    metrics-csv metrics.jsonl >out.csv
    diff out.csv - <<<"$titles
$(row 1)
$(row 2)"
    metrics-csv <metrics.jsonl | cmp - out.csv
    metrics-csv -o again.csv - <metrics.jsonl
    cmp again.csv out.csv
}

@test "steps become rows with --events step" {
    stream "$start" "$(step 1)" "$(step 2)" "$(epoch 1)" "$end"
    run -0 --separate-stderr metrics-csv --events step metrics.jsonl
    assert_equal "${lines[0]}" "epoch,step,experts_lr,fusion_lr,loss_global,loss_individual,\
loss_total,grad_norm,alpha,fusion_type,model_architecture"
    assert_equal "${lines[2]}" \
        "1,2,1e-05,0.0005,4.6,18.5,23.1,7.25,0.5,multiplicative,resnet18:width=8"
    assert_equal "${#lines[@]}" 3
}

@test "measurements and the end become rows with --events eval and end, each with its run" {
    local eval='{"event":"eval","split":"test","images":40,"expert_accuracy":[9,8.5],'
    eval+='"expert_loss":[4.25,4.75],"ensemble_accuracy":11,"images_per_second":25.5,"seconds":3,'
    eval+='"timestamp":"2026-01-02 03:04:05"}'
    local ece='"ece":1.5,"expert_ece":[1,2],"ensemble_loss":3.5,"ensemble_ece":2.5'
    stream "${start/\"arch\"/\"task\":\"task-1\",\"arch\"}" "$eval" "$(epoch 1)" \
        "${eval/\"images\"/\"epoch\":1,\"loss\":2,$ece,\"images\"}" \
        "${end%\}},\"epoch\":1,\"test_accuracy\":12.5,\"test_ece\":3.5,\
\"test_expert_accuracy\":[10,11]}"
    run -0 --separate-stderr metrics-csv --events eval metrics.jsonl
    local rest='resnet18:width=8,task-1,2026-01-02 03:04:05'
    # Behind these stand the columns of fusion-eval alone.
    assert_regex "${lines[0]}" ',top5,expert_0_top5,expert_1_top5,ensemble_top5,.*,bootstrap,'
    output=$(cut -d , -f 1-24 <<<"$output")
    assert_equal "$output" "run,epoch,split,images,loss,accuracy,ece,expert_0_accuracy,\
expert_1_accuracy,expert_0_loss,expert_1_loss,expert_0_ece,expert_1_ece,ensemble_accuracy,\
ensemble_loss,ensemble_ece,images_per_second,seconds,fusion_type,model_architecture,task,timestamp,\
fused_only,ensemble_only
metrics.jsonl,,test,40,,,,9,8.5,4.25,4.75,,,11,,,25.5,3,multiplicative,$rest,,
metrics.jsonl,1,test,40,2,,1.5,9,8.5,4.25,4.75,1,2,11,3.5,2.5,25.5,3,multiplicative,$rest,,"
    run -0 --separate-stderr metrics-csv --events end metrics.jsonl
    assert_equal "$output" "run,status,epoch,step,best_epoch,best_val_accuracy,test_images,\
test_loss,test_accuracy,test_ece,test_expert_0_accuracy,test_expert_1_accuracy,\
test_ensemble_accuracy,test_fused_only,test_ensemble_only,test_expert_mean,test_expert_best,\
test_gain,test_gain_95,images_seen,train_images,seed,recipe,train,val,alpha,fusion_type,\
model_architecture,task,seconds,timestamp
metrics.jsonl,done,1,,,,,,12.5,3.5,10,11,,,,10.5,11,,,,,,,,holdout,0.5,multiplicative,\
resnet18:width=8,task-1,,"
    # Details of an evaluation; an array of another length is refused.
    local class='{"event":"class","split":"test","class":3,"name":"a,b","images":4,'
    class+='"expert_accuracy":[1,2],"ensemble_accuracy":null,"predicted":[0,0,1,3]}'
    stream "$start" "$class" "$end"
    run -0 --separate-stderr metrics-csv --events class metrics.jsonl
    assert_equal "$output" "run,split,class,name,superclass,images,accuracy,expert_0_accuracy,\
expert_1_accuracy,ensemble_accuracy
metrics.jsonl,test,3,\"a,b\",,4,,1,2,nan"
    stream "$start" "${class/1,2/1}" "$end"
    run -3 --separate-stderr metrics-csv --events class metrics.jsonl
    assert_equal "$stderr" "metrics-csv: metrics.jsonl: line 2: expert_accuracy: not an array with \
a value for each expert"
    # A run that was stopped before its first epoch has none of the results.
    stream "$start" '{"event":"end","status":"stopped"}'
    run -0 --separate-stderr metrics-csv --events end <metrics.jsonl
    assert_equal "${lines[1]}" \
        "stdin,stopped,,,,,,,,,,,,,,,,,,,,,,,holdout,0.5,multiplicative,resnet18:width=8,,,"
}

@test "of the end: the gain over the ensemble with its interval, and how many images were seen" {
    local more='"train_images":100,"batch":8,"accumulate":2,"steps_per_epoch":7,"arch"'
    local counts='"test_images":40,"test_fused_only":5,"test_ensemble_only":2'
    seen() { # EPOCH STEP
        stream "${start/\"arch\"/$more}" "${end%\}},\"epoch\":$1,\"step\":$2,$counts}"
        metrics-csv --quiet --events end metrics.jsonl | python3 -c '
import csv, sys
row, = csv.DictReader(sys.stdin)
print(row["test_gain"], round(float(row["test_gain_95"]), 3), row["images_seen"])'
    }
    # 196 sqrt((7/40 - (3/40)^2) / 40); whole epochs, and two steps of 2 x 8 beyond them.
    assert_equal "$(seen 3 21)" "7.5 12.754 300"
    assert_equal "$(seen 2 16)" "7.5 12.754 232"
    assert_equal "$(seen 0 2)" "7.5 12.754 32"
}

# Three runs with 2, 4 and 1 experts: a folder of fusion-train, one of a pipe, a file.
three_runs() {
    mkdir -p runs/a runs/b,c
    stream "$start" "$(epoch 1)" "$(epoch 2)" "$end"
    cp metrics.jsonl runs/a/history.jsonl
    echo "not looked at" >runs/a/metrics.jsonl
    sed 's/\[9,8.5\]/[1,2,3,4]/; s/\[4.25,4.75\]/[5,6,7,8]/; s/"experts":2/"experts":4/' \
        metrics.jsonl >runs/b,c/metrics.jsonl
    sed 's/\[9,8.5\]/[9]/; s/\[4.25,4.75\]/[4.25]/; s/"experts":2/"experts":1/' \
        metrics.jsonl >single.jsonl
}

@test "many runs share one table, with a column for the run and those of all experts" {
    three_runs
    run -0 --separate-stderr metrics-csv runs/a/ runs/b,c/metrics.jsonl - <single.jsonl
    assert_equal "${#lines[@]}" 7
    assert_regex "${lines[0]}" '^run,epoch,train_loss,.*,expert_0_accuracy,expert_1_accuracy,'\
'expert_2_accuracy,expert_3_accuracy,expert_0_loss,expert_1_loss,expert_2_loss,expert_3_loss,alpha,'
    assert_regex "${lines[1]}" '^runs/a,1,4.5,.*,4.5,9,8.5,,,4.25,4.75,,,0.5,multiplicative,'
    assert_regex "${lines[2]}" '^runs/a,2,'
    assert_regex "${lines[3]}" '^"runs/b,c",1,4.5,.*,4.5,1,2,3,4,5,6,7,8,0.5,multiplicative,'
    assert_regex "${lines[5]}" '^stdin,1,4.5,.*,4.5,9,,,,4.25,,,,0.5,multiplicative,'
    # The number of fields is that of the titles in every row, of whichever kind.
    for kind in epoch end step; do
        metrics-csv --quiet --events $kind runs/* single.jsonl | python3 -c '
import csv, sys
rows = list(csv.reader(sys.stdin))
assert len({len(row) for row in rows}) == 1 and rows[0][0] == "run", rows'
    done
    # One folder is one run, and its table that of its file.
    metrics-csv runs/a >one.csv
    metrics-csv runs/a/history.jsonl | cmp - one.csv
    assert_equal "$(head -n 1 one.csv)" "$titles"
}

@test "of many runs, those without an end are named, and the others are written all the same" {
    three_runs
    stream "$start" "$(epoch 1)"
    : >empty.jsonl
    run -3 --separate-stderr metrics-csv --events end metrics.jsonl runs/a empty.jsonl runs/b,c
    assert_equal "${#lines[@]}" 3
    assert_regex "${lines[1]}" '^runs/a,done,'
    assert_regex "${lines[2]}" '^"runs/b,c",done,'
    assert_equal "$stderr" "metrics-csv: metrics.jsonl: stream ends without an end event
metrics-csv: empty.jsonl: is empty, not a metrics stream; fusion-train writes one to standard \
output"
    run -3 metrics-csv -o out.csv metrics.jsonl runs/a
    assert_not_exists out.csv
    # Names that lead nowhere are mistakes: nothing is written.
    fails_with 1 "metrics-csv: runs/none: No such file or directory" metrics-csv runs/a runs/none
    fails_with 3 "metrics-csv: runs: no run: it has no history.jsonl and no metrics.jsonl" \
        metrics-csv runs/a runs
    fails_with 2 "metrics-csv: -: standard input is one run only" metrics-csv - - <single.jsonl
}

@test "four experts give the header of the original" {
    stream "${start/\"experts\":2/\"experts\":4}" "$end"
    run -0 --separate-stderr metrics-csv metrics.jsonl
    assert_regex "$output" '^epoch,train_loss,val_loss,val_accuracy,experts_lr,fusion_lr,'\
'global_head_lr,loss_global,loss_individual,loss_total,expert_0_accuracy,expert_1_accuracy,'\
'expert_2_accuracy,expert_3_accuracy,expert_0_loss,expert_1_loss,expert_2_loss,expert_3_loss,'\
'alpha,fusion_type,model_architecture,timestamp,'
    assert_equal "$stderr" \
        "metrics-csv: warning: there is no epoch event: the table has no rows"
}

@test "numbers keep their value, text with commas and quotes is quoted" {
    local precise=0.1234567890123456
    local odd='{"event":"start","arch":"densenet121:growth=8,blocks=2-2","fusion":"a \"b\"",'
    stream "$odd"'"experts":2}' "$(epoch 1 | sed "s/12.25/$precise/")" "$end"
    run -0 metrics-csv metrics.jsonl
    assert_regex "${lines[1]}" ",$precise,"
    assert_regex "${lines[1]}" ',,"a ""b""","densenet121:growth=8,blocks=2-2",'
}

@test "a row appears while the run goes on" {
    mkfifo pipe
    metrics-csv pipe >out.csv &
    exec 5>pipe
    printf '%s\n' "$start" "$(epoch 1)" >&5
    two_lines() { [ "$(wc -l <out.csv)" = 2 ]; }
    eventually two_lines
    assert_equal "$(cat out.csv)" "$titles
$(row 1)"
    echo "$end" >&5
    exec 5>&-
    wait $!
}

@test "any end is an end; one that is not done is reported" {
    for how in stopped diverged failed; do
        stream "$start" "$(epoch 1)" '{"event":"end","status":"'$how'","reason":"because"}'
        run -0 --separate-stderr metrics-csv metrics.jsonl
        assert_equal "$stderr" \
            "metrics-csv: warning: metrics.jsonl: the run ended with status '$how': because"
        assert_equal "${lines[1]}" "$(row 1)"
    done
}

@test "a stream without an end is refused and leaves no file" {
    stream "$start" "$(epoch 1)" "$(epoch 2)"
    run -3 --separate-stderr bash -c 'set -o pipefail; cat metrics.jsonl | metrics-csv -o out.csv'
    assert_equal "$output" ""
    assert_equal "$stderr" "metrics-csv: stdin: stream ends without an end event"
    assert_equal "$(left)" metrics.jsonl
    # On stdout the rows that were complete have been written.
    run -3 --separate-stderr metrics-csv metrics.jsonl
    assert_equal "${lines[2]}" "$(row 2)"
    fails_with 3 "metrics-csv: stdin: stream ends without an end event" metrics-csv </dev/null
}

@test "a stream cut in the middle of a line is refused" {
    stream "$start" "$(epoch 1)" "$end"
    head -c -9 metrics.jsonl >cut.jsonl
    fails_with 3 'metrics-csv: cut.jsonl: line 3: cut off before its end' \
        metrics-csv -o out.csv cut.jsonl
    assert_not_exists out.csv
}

refused() { # WHY LINE...
    local why=$1
    shift
    stream "$@"
    fails_with 3 "metrics-csv: metrics.jsonl: line $#: $why" metrics-csv -o out.csv metrics.jsonl
    assert_equal "$(left)" metrics.jsonl
}

@test "what is no event is refused with its line" {
    refused "*" "$start" 'epoch 1'
    refused "*" "$start" ''
    refused "not a JSON object" "$start" '[1]'
    refused "*" "$start" '{"event":"end","status":"done"} {}'
    refused "*" "$start" '{"event":"end","event":"end","status":"done"}'
    refused "not an event: has no text 'event'" "$start" '{"status":"done"}'
    refused "not an event: has no text 'event'" "$start" '{"event":3}'
}

@test "events that do not fit together are refused with their line" {
    refused "stands before the start event" "$(epoch 1)"
    refused "stands before the start event" "$end"
    refused "a second start event" "$start" "$(epoch 1)" "$start"
    refused "stands after the end event" "$start" "$end" "$(epoch 1)"
    refused "stands after the end event" "$start" "$end" "$end"
    refused "epoch: does not ascend" "$start" "$(epoch 2)" "$(epoch 2)"
    refused "epoch: does not ascend" "$start" "$(epoch 0)"
    local why="status: not one of done, stopped, diverged, failed"
    refused "$why" "$start" '{"event":"end","status":"so so"}'
    refused "$why" "$start" '{"event":"end"}'
}

@test "members that are missing or of another kind are refused with their line" {
    refused "val_accuracy: is missing" "$start" "$(epoch 1 | sed 's/"val_accuracy"/"accuracy"/')"
    refused "val_accuracy: neither a number nor text" "$start" "$(epoch 1 | sed 's/12.25/[1]/')"
    refused "expert_loss: not an array with a value for each expert" "$start" \
        "$(epoch 1 | sed 's/\[4.25,4.75\]/[4.25]/')"
    refused "expert_loss: not a number" "$start" "$(epoch 1 | sed 's/4.75/"4.75"/')"
    refused "epoch: not a whole number" "$start" "$(epoch 1.5)"
    refused "epoch: not a whole number" "$start" "$(epoch '"1"')"
    refused "experts: not a number of experts" "${start/\"experts\":2/\"experts\":-1}"
    refused "experts: not a number of experts" "${start/\"experts\":2/\"experts\":1000000000}"
    refused "experts: not a number of experts" '{"event":"start"}'
}

@test "a producer that dies is noticed, a consumer that dies ends it quietly" {
    stream "$start" "$(epoch 1)"
    run -3 --separate-stderr bash -c 'set -o pipefail
        { cat metrics.jsonl; kill -KILL $BASHPID; } | metrics-csv -o out.csv'
    assert_equal "${stderr_lines[-1]}" "metrics-csv: stdin: stream ends without an end event"
    assert_not_exists out.csv

    { echo "$start"; for i in $(seq 2000); do epoch "$i"; done; echo "$end"; } >long.jsonl
    run --separate-stderr bash -c 'metrics-csv long.jsonl | head -n 1; exit ${PIPESTATUS[0]}'
    assert_equal "$status" 141
    assert_equal "$stderr" ""
}

# from_broken_terminal TEXT COMMAND...: its standard input gives the text and then EIO: a terminal
# whose other side is gone.
from_broken_terminal() {
    python3 - "$@" <<'END'
import os, pty, subprocess, sys, tty
near, far = pty.openpty()
tty.setraw(far)
os.write(far, sys.argv[1].encode())
command = subprocess.Popen(sys.argv[2:], stdin=near, pass_fds=[], close_fds=True)
os.close(far)
sys.exit(command.wait())
END
}

@test "an error of the disk is one, also within a line" {
    for text in "$start" "${start:0:20}" "$start
$(epoch 1 | head -c 50)"; do
        for tool in metrics-csv "metrics-tensorboard -d log" "metrics-wandb -d log"; do
            # shellcheck disable=SC2086
            run -1 --separate-stderr from_broken_terminal "$text" $tool
            assert_regex "${stderr_lines[-1]}" "^${tool%% *}: stdin: Input/output error"
        done
    done
}

@test "a full disk is noticed" {
    stream "$start" "$(epoch 1)" "$end"
    run -1 --separate-stderr bash -c 'metrics-csv metrics.jsonl >/dev/full'
    assert_equal "$stderr" "metrics-csv: stdout: No space left on device"
}

@test "killed in the middle, it leaves nothing under the final name" {
    mkfifo pipe
    metrics-csv -o out.csv pipe &
    exec 5>pipe
    printf '%s\n' "$start" "$(epoch 1)" >&5
    sleep 0.2
    kill -TERM $!
    local how=0
    wait $! || how=$?
    assert_equal "$how" 143
    exec 5>&-
    rm pipe
    assert_equal "$(left)" ""
}

@test "command lines that make no sense exit 2" {
    run -2 metrics-csv --events hours
    run -1 metrics-csv no-such.jsonl
}

@test "a table does not take the place of its metrics, however they are spelled" {
    local kept=$BATS_TEST_TMPDIR/kept.jsonl
    cd "$BATS_TEST_TMPDIR"
    echo '{"event":"end"}' >kept.jsonl
    ln -s kept.jsonl link
    ln kept.jsonl hard
    for out in kept.jsonl ./kept.jsonl "$kept" link hard; do
        fails_with 2 "metrics-csv: $out: is an input, too" metrics-csv --live -o "$out" kept.jsonl
        fails_with 2 "metrics-csv: $out: is an input, too" metrics-csv -o "$out" - <kept.jsonl
        assert_equal "$(<kept.jsonl)" '{"event":"end"}'
    done
}

@test "--live leaves the rows that stand already, and goes on from the first difference" {
    local metrics=$BATS_TEST_TMPDIR/live.jsonl
    live() { metrics-csv --live -o live.csv "$@"; }
    start='{"event":"start","arch":"a","experts":1}'
    epoch() { # NUMBER LOSS
        echo '{"event":"epoch","epoch":'"$1"',"step":1,"train_loss":'"$2"',"val_loss":1,' \
            '"val_accuracy":1,"lr_experts":1,"lr_fusion":1,"lr_global_head":1,"loss_global":1,' \
            '"loss_individual":1,"loss_total":1,"train_accuracy":1,"expert_accuracy":[1],' \
            '"expert_loss":[1],"ensemble_accuracy":1,"val_loss_global":1,' \
            '"images_per_second":1,"seconds":1,"timestamp":"2026-01-02 03:04:05"}'
    }
    end='{"event":"end","status":"done"}'
    { echo "$start" && epoch 1 1.5 && epoch 2 2.5 && epoch 3 3.5 && echo "$end"; } >"$metrics"
    metrics-csv -o whole.csv "$metrics"
    # A file that is there: cut, ahead, of another run, empty.  It keeps its inode.
    for n in 0 5 200 400 $(($(stat -c %s whole.csv) - 1)) $(stat -c %s whole.csv); do
        head -c "$n" whole.csv >live.csv
        inode=$(stat -c %i live.csv)
        live "$metrics"
        cmp whole.csv live.csv
        assert_equal "$(stat -c %i live.csv)" "$inode"
    done
    printf '%s\nmore\n' "$(<whole.csv)" >live.csv
    live "$metrics"
    cmp whole.csv live.csv
    { head -n 3 whole.csv && echo '3,9,old' && echo '4,9,old'; } >live.csv
    live "$metrics"
    cmp whole.csv live.csv
    # A stream that breaks off removes nothing; one without a line makes nothing.
    head -n 2 "$metrics" >cut.jsonl
    run -3 live cut.jsonl
    cmp whole.csv live.csv
    rm live.csv
    run -3 live /dev/null
    assert_not_exists live.csv
    fails_with 2 "metrics-csv: --live: which file[?] give -o FILE" metrics-csv --live "$metrics"
    fails_with 1 "metrics-csv: none/x.csv: No such file or directory" \
        metrics-csv --live -o none/x.csv "$metrics"
}
