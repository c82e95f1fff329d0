#!/usr/bin/env bats
# A run can be killed anywhere: whatever stopped it, the same command with --resume ends with the
# bytes of a run that was never stopped, times apart.  Tiny runs with a checkpoint after every step
# are killed at random moments; SEED=n repeats a failure.

# shellcheck disable=SC2030,SC2031  # each test has its own settings
load helper
load tiny
load stops

setup_file() {
    tiny_data
    echo "# resume.bats: SEED=${SEED:=$RANDOM}" >&3
    export SEED
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    settings=(--device ref)
    RANDOM=$SEED
}

@test "20 times SIGKILL" {
    kill_often 20 KILL
}

@test "20 times SIGTERM, SIGUSR1 or SIGINT" {
    kill_often 20 TERM USR1 INT
}

@test "with few checkpoints, accumulation, mixup, and no shuffle" {
    settings+=(--checkpoint-minutes 10 --accumulate 2 --mix mixup --no-shuffle --val test)
    kill_often 8 KILL TERM
}

@test "with the recipe that starts from the ensemble" {
    settings+=(--recipe ensemble --train holdout --kd-experts 0.2)
    kill_often 8 KILL TERM
}

@test "with experts that are frozen" {
    settings+=(--freeze --fused residual)
    kill_often 4 KILL TERM
}

@test "with moving averages of the weights" {
    settings+=(--ema 0.8)
    kill_often 8 KILL TERM
}

@test "on two threads of the cpu back end" {
    [ "${HAVE_DNNL:-1}" = 1 ] || skip "no oneDNN"
    settings=(--device cpu --threads 2)
    kill_often 8 KILL TERM
}

@test "in bf16" {
    [ "${HAVE_DNNL:-1}" = 1 ] || skip "no oneDNN"
    settings=(--device cpu --precision bf16)
    run train probe --steps 1
    [ "$status" -ne 77 ] || skip "no bf16 on this processor"
    kill_often 8 KILL TERM
}

@test "an expert alone" {
    train() {
        local dir=$1
        shift
        ${under:-} expert-train -q --arch "$tiny_arch" --expert 1 --data "$data" \
            --checkpoint-dir "$dir" --resume --epochs 3 --batch 32 --augment strong --log-steps \
            --checkpoint-minutes 0 --device ref "$@"
    }
    kill_often 8 KILL TERM
}

# started DIR: waits until the run in the background says something.
started() {
    eventually test -s "$1.jsonl"
}

@test "a stop says which signal it was, in the stream and on stderr" {
    settings+=(--epochs 500)
    under="exec" train often >often.jsonl 2>often.err &
    started often
    kill -s TERM $!
    wait $! || assert_equal $? 75
    assert_equal "$(events often.jsonl end 'e["status"], e["reason"][:18]')" \
        "('stopped', 'stopped by SIGTERM')"
    assert_equal "$(cat often.err)" \
        "fusion-train: stopped by SIGTERM; run the same command with --resume to go on"
    run -0 metrics-csv often.jsonl
}

@test "a terminal that is gone stops a run with its state saved, except under nohup" {
    settings+=(--epochs 500)
    under="exec env --default-signal=HUP" train often >often.jsonl 2>often.err &
    started often
    kill -s HUP $!
    wait $! || assert_equal $? 129
    assert_equal "$(cat often.err)" \
        "fusion-train: stopped by SIGHUP; run the same command with --resume to go on"
    settings=(--device ref)
    train whole >whole.jsonl
    (
        trap '' HUP
        under="exec" train deaf >deaf.jsonl
    ) &
    started deaf
    kill -s HUP $!
    wait $!
    same_run whole deaf
}

@test "a consumer that dies ends the run with its state saved" {
    train whole >whole.jsonl
    for lines in 1 3 6 9; do
        stop_at_line $lines
    done
    assert_exists often/last.safetensors
    train often >often.jsonl
    same_run whole often
}

# damage FILE AT: flips a bit.
damage() {
    python3 - "$@" <<'END'
import sys
f = open(sys.argv[1], "r+b")
f.seek(int(sys.argv[2]))
byte = f.read(1)[0]
f.seek(-1, 1)
f.write(bytes([byte ^ 4]))
END
}

@test "a damaged last.safetensors is noticed, and the one before is used" {
    train whole >whole.jsonl
    stop_at_line 9
    cp -r often kept
    size=$(stat -c %s often/last.safetensors)
    for at in 3 40 $((RANDOM % size)) $((RANDOM % size)) $((size - 200)) $((size - 2)); do
        rm -r often
        cp -r kept often
        damage often/last.safetensors "$at"
        run -0 --separate-stderr train often
        echo "$output" >often.jsonl
        assert_regex "${stderr_lines[0]}" \
            "^fusion-train: warning: often/last.safetensors: .*; going back to the checkpoint bef"
        same_run whole often
    done
}

@test "a torn or missing last.safetensors is noticed, and the one before is used" {
    train whole >whole.jsonl
    stop_at_line 9
    cp -r often kept
    for n in 0 7 1000 -1; do
        rm -r often
        cp -r kept often
        head -c "$n" kept/last.safetensors >often/last.safetensors
        [ "$n" -gt 0 ] || rm often/last.safetensors
        train often >often.jsonl 2>often.err
        grep -q "going back to the checkpoint before it" often.err
        same_run whole often
    done
}

@test "two damaged generations are refused, and nothing is touched" {
    stop_at_line 9
    damage often/last.safetensors 5000
    damage often/last.previous.safetensors 5000
    sum=$(cat often/*.safetensors often/history.jsonl | sha256sum)
    run -3 --separate-stderr train often
    assert_regex "${stderr_lines[-1]}" \
        "^fusion-train: neither generation of the checkpoint can be read: "
    assert_equal "$(cat often/*.safetensors often/history.jsonl | sha256sum)" "$sum"
}

@test "a damaged best.safetensors is made again, or refused, never passed on" {
    train whole >whole.jsonl
    train often --steps 7 >/dev/null 2>&1
    damage often/best.safetensors 5000
    run train often
    [ "$status" -eq 3 ] || { echo "$output" >often.jsonl && same_run whole often; }
    # At the end: the file that is tested is the file that was written.
    rm -r often
    cp -r whole often
    sed -i '$d' often/history.jsonl
    damage often/best.safetensors 5000
    run train often
    [ "$status" -eq 3 ] || { echo "$output" >often.jsonl && same_run whole often; }
}

@test "a line that was cut is replaced, a history that is too short is refused" {
    train whole >whole.jsonl
    stop_at_line 9
    cp often/history.jsonl kept.jsonl
    printf '{"event":"st' >>often/history.jsonl
    train often >often.jsonl
    same_run whole often
    rm -r often
    stop_at_line 9
    sed -i '$d' often/history.jsonl
    run -3 --separate-stderr train often
    assert_regex "${stderr_lines[0]}" \
        "^fusion-train: often/history.jsonl: .* lines where the checkpoint"
}

@test "a disk that is full in the middle of a checkpoint" {
    train whole >whole.jsonl
    size=$(stat -c %s whole/last.safetensors)
    definitions="$(declare -f train); $(declare -p data experts settings)"
    # The signal of the limit is ignored: write(2) fails, as on a full disk.
    for kib in 1 $((size / 2048)) $((size / 1024)); do
        run -1 --separate-stderr bash -c "$definitions
            trap '' XFSZ; ulimit -f $kib; train often"
        assert_regex "${stderr_lines[*]}" "File too large"
        run -1 bash -c 'ls -A often | grep "tmp$"'
    done
    train often >often.jsonl
    same_run whole often
}

@test "a setting that decides the result is refused by its name, the others are free" {
    train often --steps 2 >/dev/null
    for option in "alpha 0.5" "seed 1" "batch 7" "augment none" "mix none" "label-smoothing 0.2" \
        "lr-experts 1" "lr-fusion 1" "experts-lr-scale 1" "weight-decay 1" "schedule constant" \
        "epochs 9" "val test" "val-limit 3" "clip 2" "clip-experts 2" "accumulate 2" "distill 1" \
        "dropout 0.3" "expert-dropout 0.3" "patience 3" "precision bf16" "cutmix-alpha 2" \
        "fusion concatenation" "recipe reported" "fused residual" "norms slots" "kd 0.5" \
        "kd-experts 0.1" "train all" "choose last"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr train often --steps 2 --$option
        assert_regex "${stderr_lines[0]}" \
            "^fusion-train: often: cannot resume: ${option%% *}: the run was started with .*, not"
    done
    fails_with 2 "*: expert-dropout: the run was started with its default, not 0.1; *" \
        train often --expert-dropout 0.1
    fails_with 2 "*cannot resume: freeze: the run was started with no, not yes; *" \
        train often --steps 2 --freeze
    fails_with 2 "*cannot resume: ema: the run was started with 0, not 0.9; *" \
        train often --steps 2 --ema 0.9
    fails_with 2 "*cannot resume: shuffle: the run was started with yes, not no; *" \
        train often --steps 2 --no-shuffle
    fails_with 2 "fusion-train: --steps 1: the run has done 2 already" train often --steps 1
    cifar-prep -q --seed 3 -o other.safetensors "$BATS_FILE_TMPDIR/cifar.tar.gz"
    fails_with 2 "*cannot resume: data: the run was started with *" \
        train often --steps 2 --data other.safetensors
    train often --steps 2 --threads 1 --task t --checkpoint-minutes 3 >/dev/null
}

@test "--steps can be raised: the longer run is that of one command" {
    train whole --initial >whole.jsonl
    train often --steps 2 --initial >/dev/null
    train often --steps 7 --initial >/dev/null
    train often --initial >often.jsonl
    sed -i 's/"steps":2,//' often.jsonl often/history.jsonl
    same_run whole often
}

@test "--epochs can be raised with constant rates" {
    settings+=(--schedule constant)
    train whole >whole.jsonl
    train often --epochs 1 >/dev/null
    train often >often.jsonl
    cmp whole/best.safetensors often/best.safetensors
    diff <(timeless whole.jsonl | tail -n +2) <(timeless often.jsonl | tail -n +2)
}

@test "a finished run is repeated, byte for byte" {
    train whole >whole.jsonl
    sum=$(cat whole/* | sha256sum)
    train whole | cmp - whole.jsonl
    assert_equal "$(cat whole/* | sha256sum)" "$sum"
}

@test "a second process in the same directory is refused" {
    settings+=(--epochs 500)
    under="exec" train often >often.jsonl 2>/dev/null &
    started often
    fails_with 1 "fusion-train: often: another process is training here" train often
    kill -s TERM $!
    wait $! || assert_equal $? 75
}

@test "the experts on standard input are read and checked, and not used" {
    train whole >whole.jsonl
    train often --steps 2 --initial >/dev/null
    expert-load -q --arch "$tiny_arch" --classes 5 --init 9 |
        train often --experts - --initial >often.jsonl
    sed -i 's/"steps":2,//' often.jsonl often/history.jsonl
    same_run whole often
    run -3 --separate-stderr train often --experts - </dev/null
}

@test "rates that blow up end the run with status 4 and the last good state" {
    run -4 --separate-stderr train often --lr-experts 1000 --lr-fusion 1000 --experts-lr-scale 1000
    where='epoch [0-9]+, step [0-9]+: training diverged: '
    assert_regex "${stderr_lines[0]}" "^fusion-train: $where"
    assert_regex "${lines[-1]}" "\"event\":\"end\",\"status\":\"diverged\",\"reason\":\"$where"
    python3 - <<'END'
import json, math, struct
f = open("often/last.safetensors", "rb")
n, = struct.unpack("<Q", f.read(8))
header, body = json.loads(f.read(n)), f.read()
for name, t in header.items():
    if name != "__metadata__" and t["dtype"] == "F32":
        raw = body[slice(*t["data_offsets"])]
        assert all(map(math.isfinite, struct.unpack("<%df" % (len(raw) // 4), raw))), name
END
}

@test "a finished run without its state repeats itself and cannot go on" {
    train whole --steps 7 >whole.jsonl
    assert_not_exists whole/last.previous.safetensors
    rm whole/last.safetensors
    sum=$(cat whole/* | sha256sum)
    train whole --steps 7 | cmp - whole.jsonl
    fails_with 2 "fusion-train: whole: cannot go on: last.safetensors is gone, *" train whole
    fails_with 2 "*cannot resume: seed: the run was started with 42, not 1; *" \
        train whole --steps 7 --seed 1
    assert_equal "$(cat whole/* | sha256sum)" "$sum"
}

@test "a process killed as it ended the run leaves nothing for good" {
    train whole >whole.jsonl
    mkdir often
    # The end event stands in the history, and what was kept for less has not gone yet.
    cp whole/* often
    cp whole/last.safetensors often/last.previous.safetensors
    cp whole/best.safetensors often/best.previous.safetensors
    train often >often.jsonl
    same_run whole often
}

@test "a finished part of the first epoch has no best before" {
    train whole --steps 1 >whole.jsonl
    mkdir often
    cp whole/* often
    cp whole/best.safetensors often/best.previous.safetensors
    train often --steps 1 >often.jsonl
    same_run whole often
}

@test "a finished run with the best of a part of an epoch keeps the one before for a longer run" {
    settings+=(--choose last --initial)
    train whole >whole.jsonl
    train often --steps 7 >/dev/null
    assert_exists often/best.previous.safetensors
    train often --steps 7 >/dev/null
    assert_exists often/best.previous.safetensors
    train often >often.jsonl
    sed -i 's/"steps":7,//' often.jsonl often/history.jsonl
    same_run whole often
}

@test "--finished: 0 for a finished run, 1 for what --resume would do, 2 for other settings" {
    fails_with 1 "fusion-train: often: not finished with these settings" train often --finished
    assert_not_exists often
    train often --steps 7 >/dev/null
    settings+=(--finished)
    train often --steps 7
    train often --steps 7 --threads 1
    fails_with 1 "fusion-train: often: not finished with these settings" train often
    fails_with 2 "*: cannot resume: --steps 6: the run has done 7 already" train often --steps 6
    fails_with 2 "*: mix: the run was started with cutmix, not none; *" \
        train often --steps 7 --mix none
    sed -i '$d' often/history.jsonl
    fails_with 1 "fusion-train: often: not finished with these settings" train often --steps 7
}

@test "after a damaged last.safetensors, the good generation is never the one that goes" {
    stop_at_line 9
    damage often/last.safetensors 5000
    sum=$(sha256sum <often/last.previous.safetensors)
    run -2 train often --seed 7
    assert_equal "$(sha256sum <often/last.safetensors)" "$sum"
    assert_not_exists often/last.previous.safetensors
}

@test "without hard links, a save that fails twice leaves the only generation there is" {
    stop_at_line 9
    cc -shared -fPIC -o "$BATS_TEST_TMPDIR/links.so" -xc - <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
int link(const char *from, const char *to)
{
    (void)from, (void)to;
    errno = EPERM;
    return -1;
}
int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) =
        (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    errno = ENOSPC;
    return strstr(from, ".tmp") ? -1 : real(from, to);
}
END
    under="env LD_PRELOAD=$BATS_TEST_TMPDIR/links.so" run -1 train often
    assert_file_exist often/last.previous.safetensors
    train whole >whole.jsonl
    train often >often.jsonl
    same_run whole often
}

@test "a run whose checkpoints are gone is not begun anew" {
    stop_at_line 9
    grep -q '"epoch":2' often/history.jsonl
    rm often/last*.safetensors
    cp -r often kept
    fails_with 3 "*: often: cannot go on: last.safetensors and the one before it are gone, *" \
        train often
    diff -r kept often
    rm often/history.jsonl
    fails_with 3 "*: often: cannot go on: *" train often
    rm -r often
}
