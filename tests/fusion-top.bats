#!/usr/bin/env bats
# fusion-top: the table of the runs of tests/track/make_runs.py, and the view on a pseudo terminal
# that tests/track/terminal.py provides.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    python3 "$ROOT/tests/track/make_runs.py"
}

on_terminal() { # SIZE STEP... -- COMMAND...
    TERM=xterm LC_ALL=C.UTF-8 python3 "$ROOT/tests/track/terminal.py" "$@"
}

teardown() {
    release_lock
}

@test "elsewhere than on a terminal, the table is printed once" {
    fusion-top runs | sed -E 's/ +[0-9]+[smhd]$//; s/  +/ | /g' >table
    diff table - <<'END'
RUN | STATE | EPOCH | LOSS | FUSED | BEST | EXPERTS | ENS | IMG/S | ETA | SEEN
<b>&"evil' | failed | 1/4 | 4.500 | 71.00 | 71.00 | 67.8 66.5 | 69.00 | 250.5 | -
broken | broken | 0/4 | - | - | - | - | - | - | -
dead | dead | 1/4 | 4.500 | 31.00 | 31.00 | 27.8 26.5 | 29.00 | 250.5 | -
diverged | diverged | 1/4 | 4.500 | 51.00 | 51.00 | 47.8 46.5 | 49.00 | 250.5 | -
done | done | 4/4 | 4.500 | 14.00 | 14.00 | 10.8 9.5 | 12.00 | 250.5 | -
fresh | dead | - | - | - | - | - | - | - | -
single | done | 1/4 | 4.500 | 61.00 | 61.00 | - | - | 250.5 | -
stopped | stopped | 2/4 | 4.500 | 19.00 | 20.00 | 15.8 14.5 | 17.00 | 250.5 | -
under/way | dead | 2/4 | 4.500 | 22.00 | 22.00 | 18.8 17.5 | 20.00 | 250.5 | -
END
}

@test "a run whose lock is held is running, comes first, and has an ETA" {
    hold_lock runs/under/way/lock
    # Its last epoch, of 100 seconds, ended 40 seconds ago; two of four are left.
    sed -i "s/2026-01-02 04:02:00/$(date -d '-40 seconds' '+%F %T')/" runs/under/way/history.jsonl
    run -0 fusion-top --once runs
    assert_regex "${lines[1]}" '^under/way +running +2/4 .* 2:[34][0-9] +[0-9]s$'
    assert_regex "${lines[4]}" '^dead +dead '
}

@test "the loss of a step that is newer than the last epoch is shown" {
    echo '{"event":"step","epoch":3,"step":21,"loss_total":7.125}' >>runs/under/way/history.jsonl
    run -0 fusion-top runs/under
    assert_regex "${lines[1]}" '^way +dead +2/4 +7.125 '
    run -0 fusion-top runs/under/way/
    assert_regex "${lines[1]}" '^way +dead '
}

@test "on a terminal, the view follows the runs and q ends it" {
    local line='{"event":"epoch","epoch":3,"step":30,"val_accuracy":88.5,"expert_accuracy":[1]}'
    run -0 on_terminal 160x30 'see 9 runs: 2 done, 1 stopped, 1 diverged, 1 failed, 3 dead' \
        'see ▁▃▆█' fits \
        "run echo '$line' >>runs/under/way/history.jsonl" 'see 88.50' 'see 3/4' \
        'run rm -r runs/dead' 'see 8 runs' 'key x' 'key q' \
        -- fusion-top --interval 0.2 runs
    assert_output "exit 0"
}

@test "it fits every size of terminal, also when that changes" {
    run -0 on_terminal 160x30 'see IMG/S' fits 'size 80x24' fits 'size 60x7' 'see and 6 more' fits \
        'gone IMG/S' 'size 40x4' fits 'size 160x30' 'see COURSE' fits 'key q' \
        -- fusion-top runs
    assert_output "exit 0"
}

@test "Ctrl-C and signals leave the terminal as it was" {
    run -0 on_terminal 80x24 'see RUN' 'key ^C' -- fusion-top runs
    assert_output "exit 0"
    for signal in TERM:15 INT:2 HUP:1; do
        run -0 on_terminal 80x24 'see RUN' "kill ${signal%:*}" -- fusion-top runs
        assert_output "signal ${signal#*:}"
    done
    run -0 on_terminal 80x24 'see RUN' 'run rm -r runs' -- fusion-top --interval 0.2 runs
    assert_line "exit 1"
    assert_line "fusion-top: runs: No such file or directory"
}

@test "--once, TERM=dumb and NO_COLOR are respected" {
    python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' \
        env TERM=xterm fusion-top --once runs >once
    python3 -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)' \
        env TERM=dumb fusion-top runs >dumb
    run ! grep -q $'\033' once dumb
    grep -q '^stopped  *stopped ' once
    grep -q '^stopped  *stopped ' dumb
    run -0 on_terminal 80x24 'see RUN' coloured 'key q' -- fusion-top runs
    run -0 on_terminal 80x24 'see RUN' plain 'key q' -- env NO_COLOR=1 fusion-top runs
}

@test "names cannot move the cursor" {
    mkdir $'runs/a\033[2Jb\nc'
    cp runs/done/history.jsonl $'runs/a\033[2Jb\nc'
    run -0 fusion-top runs
    assert_line --partial 'a?[2Jb?c '
}

@test "what is no directory is refused; an empty one has no runs" {
    fails_with 1 "fusion-top: nothing: No such file or directory" fusion-top nothing
    fails_with 1 "fusion-top: runs/dead/lock: not a directory" fusion-top runs/dead/lock
    run -2 fusion-top a b
    run -2 fusion-top --interval 0
    mkdir empty
    run -0 fusion-top empty
    assert_equal "${#lines[@]}" 1
    run -1 --separate-stderr bash -c 'fusion-top runs >/dev/full'
    assert_equal "$stderr" "fusion-top: stdout: No space left on device"
}
