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

@test "a run that went on beyond the steps that it was started with has its epochs again" {
    # 10 steps an epoch; two epochs are over.
    sed -i '1s/"epochs"/"steps":25,"epochs"/' runs/under/way/history.jsonl
    run -0 fusion-top --once runs/under
    assert_regex "${lines[1]}" '^way +dead +2/3 '
    sed -i '1s/"steps":25/"steps":15/' runs/under/way/history.jsonl
    run -0 fusion-top --once runs/under
    assert_regex "${lines[1]}" '^way +dead +2/4 '
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
    run -0 on_terminal 160x30 'see IMG/S' fits 'size 80x24' fits 'size 60x7' 'see 1-4 of 9' fits \
        'gone IMG/S' 'size 40x4' fits 'size 200x50' 'see COURSE' fits 'key q' \
        -- fusion-top runs
    assert_output "exit 0"
}

@test "Ctrl-C and signals leave the terminal as it was" {
    run -0 on_terminal 80x24 'see RUN' 'key ^C' -- fusion-top runs
    assert_output "exit 0"
    for signal in TERM:15 INT:2 HUP:1 QUIT:3 PIPE:13 ABRT:6; do
        run -0 on_terminal 80x24 'see RUN' "kill ${signal%:*}" -- fusion-top runs
        assert_output "signal ${signal#*:}"
    done
}

@test "stopped, it gives the terminal back, and takes it again when it goes on" {
    run -0 on_terminal 80x24 'see RUN' 'key ^Z' paused 'kill CONT' taken \
        'kill TSTP' paused 'kill CONT' taken 'key q' -- fusion-top --interval 0.2 runs
    assert_output "exit 0"
}

@test "more runs than lines: arrows, pages, the first and the last" {
    for i in $(seq 30); do mkdir "runs/r$i" && cp runs/done/history.jsonl "runs/r$i"; done
    run -0 on_terminal 80x24 'see 1-21 of 39' fits 'first <b>' 'key Down' 'see 2-22 of 39' \
        'first broken' 'key jj' 'see 4-24 of 39' 'key k' 'key Up' 'see 2-22' 'key PageDown' \
        'see 19-39 of 39' fits 'key PageUp' 'see 1-21' 'key End' 'see 19-39' 'key Home' 'see 1-21' \
        'key G' 'see 19-39' 'size 80x14' 'see 19-29' 'key G' 'see 29-39' 'size 80x50' 'gone of 39' \
        'first <b>' 'key q' -- fusion-top runs
    assert_output "exit 0"
}

@test "runs are ordered by the key that was asked for, and by the next one with s" {
    names() { # OPTION...
        fusion-top --once "$@" runs | sed 1d | cut -d ' ' -f 1 | paste -sd ' '
    }
    assert_equal "$(names --sort name)" \
        "<b>&\"evil' broken dead diverged done fresh single stopped under/way"
    assert_equal "$(names --sort name --reverse)" \
        "under/way stopped single fresh done diverged dead broken <b>&\"evil'"
    # What has no value is last, whichever way.
    assert_equal "$(names --sort fused)" \
        "<b>&\"evil' single diverged dead under/way stopped done broken fresh"
    assert_equal "$(names --sort fused --reverse)" \
        "done stopped under/way dead diverged single <b>&\"evil' broken fresh"
    assert_equal "$(names --sort experts | cut -d ' ' -f 7-)" "broken fresh single"
    assert_equal "$(names --sort epoch | cut -d ' ' -f 1-3)" "done stopped under/way"
    for key in best ensemble loss rate eta seen state; do
        assert_equal "$(names --sort $key | wc -w)" 9
    done
    # The column that decides stays where there is little room.
    run -0 on_terminal 54x24 'see by state' 'key s' 'see by name' 'key r' 'see by name, reversed' \
        'first under/way' 'key r' 'key ssss' 'see by best' 'see BEST' 'first <b>' 'key ssssss' \
        'see by state' 'gone BEST' 'key q' -- fusion-top --sort state runs
    run -2 fusion-top --sort size runs
}

@test "names can be filtered, in either case, while one types too" {
    run -0 fusion-top --filter UNDER runs
    assert_equal "${#lines[@]}" 2
    assert_regex "${lines[1]}" '^under/way '
    run -0 on_terminal 100x24 'see stopped  ' 'key /' 'see filter: _' 'key qS' 'key Backspace' \
        'key Backspace' 'key S' 'key ing' 'see filter: Sing_' 'gone stopped  ' 'see single' \
        'key Enter' 'see filter: Sing  ' 'key s' 'see by name' 'key /' 'key x' \
        'see no run has this in its name' 'key Escape' 'see stopped  ' fits 'key q' \
        -- fusion-top runs
    assert_output "exit 0"
    run -0 on_terminal 100x24 'see filter: dead' 'gone stopped  ' 'key q' -- \
        fusion-top --filter dead runs
    run -2 fusion-top --filter "$(printf '%200s' '')" runs
}

@test "it waits for a directory that is not there yet, and says where there are no runs" {
    mv runs later
    run -0 on_terminal 80x24 'see waiting for runs: there is no such directory yet' fits \
        'run mkdir runs' 'see no runs below runs' 'run cp -r later/done runs' 'see 1 run: 1 done' \
        'run rm -r runs' 'see waiting for runs' 'key q' -- fusion-top --interval 0.2 runs
    assert_output "exit 0"
    # Elsewhere there is nobody who waits.
    fails_with 1 "fusion-top: runs: No such file or directory" fusion-top --once runs
}

@test "a clock that is set back does not stop the view" {
    cat >back.c <<'END'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time)
{
    long failed = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME && access("back", F_OK) == 0)
        time->tv_sec -= 3600;
    return (int)failed;
}
END
    cc -shared -fPIC -o back.so back.c
    local line='{"event":"epoch","epoch":3,"step":30,"val_accuracy":88.5,"expert_accuracy":[1]}'
    run -0 on_terminal 160x30 'see 9 runs' 'run touch back' 'run sleep 0.5' \
        "run echo '$line' >>runs/under/way/history.jsonl" 'see 88.50' 'key q' \
        -- env LD_PRELOAD="$PWD/back.so" fusion-top --interval 0.2 runs
    assert_output "exit 0"
}

@test "it ends when there is no one at the keyboard any more" {
    run -0 timeout 60 python3 - <<'END'
import os, pty, subprocess, time
keys, keys_end = pty.openpty()
screen, screen_end = pty.openpty()
top = subprocess.Popen(["fusion-top", "runs"], stdin=keys_end, stdout=screen_end,
                       env={**os.environ, "TERM": "xterm"})
os.close(keys_end)
while b"RUN" not in os.read(screen, 65536):
    pass
os.close(keys)
assert top.wait() == 0, top.returncode
END
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
    assert_line --partial 'a\x1b[2Jb\x0ac '
    run -0 on_terminal 160x24 'see a\x1b[2Jb\x0ac ' 'key /' $'key \302\233' 'see \u009b_' 'key ^C' \
        -- fusion-top runs
}

@test "a run that cannot be read is broken, and hides no other" {
    mkdir runs/unreadable
    ln -s /proc/self/mem runs/unreadable/history.jsonl
    run -0 fusion-top runs
    assert_line --regexp '^unreadable +broken '
    assert_line --regexp '^done +done '
}

@test "what is no directory is refused; an empty one has no runs" {
    fails_with 1 "fusion-top: nothing: No such file or directory" fusion-top nothing
    fails_with 3 "fusion-top: runs/dead/lock: is empty, not a directory of runs; *" \
        fusion-top runs/dead/lock
    run -2 fusion-top a b
    run -2 fusion-top --interval 0
    mkdir empty
    run -0 --separate-stderr fusion-top empty
    assert_equal "${#lines[@]}" 1
    assert_equal "$stderr" "fusion-top: warning: no runs below empty"
    run -1 --separate-stderr bash -c 'fusion-top runs >/dev/full'
    assert_equal "$stderr" "fusion-top: stdout: No space left on device"
}
