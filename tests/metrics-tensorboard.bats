#!/usr/bin/env bats
# metrics-tensorboard: the event file is decoded by tests/track/read_tensorboard.py, and, where the
# package tensorboard is installed, by that.  Streams are written by hand from fusion-metrics(5).

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    export TZ=UTC
    sed 's/ at "/"timestamp":"2026-01-02 /' >metrics.jsonl <<'END'
{"event":"start","arch":"resnet18","experts":2, at "03:04:05"}
{"event":"eval","split":"val","epoch":0,"accuracy":1, at "03:04:06"}
{"event":"step","epoch":1,"step":1,"loss_total":1.25,"grad_norm":null}
{"event":"epoch","epoch":1,"step":1,"val_accuracy":12.25, "expert_accuracy":[9,8.5], at "03:04:07"}
{"event":"end","status":"done","test_accuracy":11.5, at "03:05:06"}
END
    file=$(metrics-tensorboard -d named metrics.jsonl)
    file=${file##*/}
    rm -r named
    cat >wanted <<'END'
1767323045 version brain.Event:2
1767323046 0 val/accuracy 1
1767323046 1 step/loss_total 1.25
1767323046 1 step/grad_norm nan
1767323047 1 epoch 1
1767323047 1 val/accuracy 12.25
1767323047 1 val/expert_0_accuracy 9
1767323047 1 val/expert_1_accuracy 8.5
1767323106 1 test/accuracy 11.5
END
}

read_back() { # FILE
    python3 "$ROOT/tests/track/read_tensorboard.py" "$1"
}

@test "a run becomes an event file named after its start" {
    run -0 --separate-stderr metrics-tensorboard -d tb/first metrics.jsonl
    assert_equal "$output" "tb/first/$file"
    assert_regex "$file" '^events\.out\.tfevents\.1767323045\.fusion-tools\.[0-9a-f]{8}$'
    assert_equal "$stderr" ""
    read_back "tb/first/$file" | diff - wanted
    metrics-tensorboard <metrics.jsonl
    cmp "$file" "tb/first/$file"
}

@test "a resumed run writes the same file anew" {
    head -n 3 metrics.jsonl >cut.jsonl
    run -3 metrics-tensorboard cut.jsonl
    run -0 metrics-tensorboard metrics.jsonl
    assert_equal "$(ls events*)" "$file"
    read_back "$file" | diff - wanted
}

@test "--pass hands every line on as it was" {
    metrics-tensorboard --pass metrics.jsonl | cmp - metrics.jsonl
    metrics-wandb --quiet --pass metrics.jsonl | metrics-tensorboard --pass -d b >passed
    cmp passed metrics.jsonl
    cmp "$file" "b/$file"
}

@test "values are in the file while the run goes on" {
    mkfifo pipe
    metrics-tensorboard pipe >out &
    exec 5>pipe
    head -n 3 metrics.jsonl >&5
    there() { [ "$(read_back "$file" 2>/dev/null)" = "$(head -n 4 wanted)" ]; }
    eventually there
    tail -n +4 metrics.jsonl >&5
    exec 5>&-
    wait $!
    read_back "$file" | diff - wanted
}

@test "cut after any event, the file is whole up to there" {
    known=(0 1 2 4 8)
    for n in 1 2 3 4; do
        head -n "$n" metrics.jsonl >cut.jsonl
        fails_with 3 "metrics-tensorboard: cut.jsonl: stream ends without an end event" \
            metrics-tensorboard cut.jsonl
        read_back "$file" | diff - <(head -n "${known[n]}" wanted)
    done
    fails_with 3 "metrics-tensorboard: stdin: stream ends without an end event" \
        metrics-tensorboard </dev/null
}

@test "a folder that cannot be made and a full disk are reported" {
    echo >plain
    run -1 --separate-stderr metrics-tensorboard -d plain/tb metrics.jsonl
    assert_regex "$stderr" '^metrics-tensorboard: plain'
    run -1 --separate-stderr bash -c 'metrics-tensorboard --pass metrics.jsonl >/dev/full'
    assert_equal "$stderr" "metrics-tensorboard: stdout: No space left on device"
    fails_with 1 "metrics-tensorboard: ./$file: File too large" \
        bash -o pipefail -c '{
            (ulimit -f 0 && metrics-tensorboard metrics.jsonl) 2>&1 >&3 | cat >&2
        } 3>&1'
    run -2 metrics-tensorboard a b
    run -1 metrics-tensorboard no-such-file
}

@test "a link, a pipe or another run's file of this name is left alone" {
    echo precious >other
    ln -s other "$file"
    fails_with 1 "metrics-tensorboard: ./$file: is a symbolic link: remove it" \
        metrics-tensorboard metrics.jsonl
    assert_equal "$(cat other)" precious
    rm "$file"
    mkfifo "$file"
    run -1 timeout 60 metrics-tensorboard metrics.jsonl
    rm "$file"
    # Another run that began in the same second has a file of its own.
    metrics-tensorboard metrics.jsonl
    sed 's/resnet18/densenet121/' metrics.jsonl >second.jsonl
    run -0 metrics-tensorboard second.jsonl
    assert_not_equal "$output" "./$file"
    # One process at a time writes a file.
    mkfifo pipe
    metrics-tensorboard pipe >out 2>&1 &
    exec 5>pipe
    head -n 1 metrics.jsonl >&5
    eventually is_locked "$file"
    fails_with 1 "metrics-tensorboard: ./$file: is being written: give each run a -d of its own" \
        metrics-tensorboard metrics.jsonl
    tail -n +2 metrics.jsonl >&5
    exec 5>&-
    wait $!
    read_back "$file" | diff - wanted
}

@test "names that are not known are taken as they are" {
    sed -i '3i{"event":"new%%","% of all":1,"%s%d":[2],"é'"$(printf 'é%.0s' {1..80})"'":3}' \
        metrics.jsonl
    run -0 metrics-tensorboard metrics.jsonl
    run -0 read_back "$output"
    assert_line "1767323046 0 new%%/% of all 1"
    assert_line "1767323046 0 new%%/%s%d_0 2"
    assert_line --regexp "^1767323046 0 new%%/(é)+ 3$"
    metrics-wandb --quiet metrics.jsonl
}

@test "counts that no run can have are refused" {
    for tool in metrics-tensorboard metrics-wandb metrics-csv; do
        for count in 9223372036854775807 9007199254740993 -1; do
            sed "s/\"step\":1,/\"step\":$count,/" metrics.jsonl >cut.jsonl
            run -3 --separate-stderr $tool cut.jsonl
            assert_regex "${stderr_lines[-1]}" "^$tool: cut.jsonl: line 3: step: out of range$"
        done
    done
    sed 's/"experts":2/"experts":2,"steps":9223372036854775807,"steps_per_epoch":2/' metrics.jsonl \
        >history.jsonl
    run -0 fusion-top .
    assert_line --regexp ' broken '
    # A length of time that is none.
    sed 's/"status":"done"/&,"seconds":1e300/' metrics.jsonl >long.jsonl
    metrics-wandb --quiet long.jsonl
}

@test "TensorBoard's own reader agrees" {
    python3 -c 'import tensorboard' 2>/dev/null || skip "no Python package tensorboard"
    metrics-tensorboard -d tb metrics.jsonl
    python3 - >values <<'END'
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("tb")
events.Reload()
for tag in events.Tags()["scalars"]:
    for point in events.Scalars(tag):
        print(f"{point.wall_time:.0f} {point.step} {tag} {point.value:.6g}")
END
    diff <(sort values) <(tail -n +2 wanted | sort)
}
