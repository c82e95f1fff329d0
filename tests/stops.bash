# Loaded by the tests of runs that are stopped and go on (`load stops`, behind `load tiny`): a small
# run in the folder DIR that is killed at random moments, and the bytes it must end with.
# The array `settings` holds what is particular to a test; SEED=n repeats a failure.

# train DIR OPTION...: starts or goes on.  $under stands before the program.
train() {
    local dir=$1
    shift
    ${under:-} fusion-train -q --fusion multiplicative --data "$data" --experts "$experts" \
        --checkpoint-dir "$dir" --resume --epochs 3 --batch 8 --augment strong --log-steps \
        --checkpoint-minutes 0 "${settings[@]}" "$@"
}

# Metrics without what depends on the clock.
timeless() { # FILE
    sed -E 's/"(timestamp|seconds|val_seconds|images_per_second)":("[^"]*"|[0-9.e+-]+)//g' "$1"
}

# same_run A B: checkpoints, metrics and table of two finished runs, in A, A.jsonl, B, B.jsonl.
same_run() {
    cmp "$1/best.safetensors" "$2/best.safetensors"
    cmp "$1/last.safetensors" "$2/last.safetensors"
    diff <(timeless "$1.jsonl") <(timeless "$2.jsonl")
    diff <(timeless "$1.jsonl") <(timeless "$2/history.jsonl")
    assert_equal "$(metrics-csv "$1.jsonl" | cut -d , -f 1-10)" \
        "$(metrics-csv "$2.jsonl" | cut -d , -f 1-10)"
    # Nothing is left over.
    run -1 bash -c 'ls -A "$1" | grep -E "tmp$|^best.previous"' - "$2"
}

now_ms() {
    echo $(($(date +%s%N) / 1000000))
}

# stop_after MS SIGNAL DIR: runs until the signal comes; the exit status is the run's.
stop_after() {
    local under
    printf -v under 'timeout --preserve-status -s %s %d.%03d' "$2" $(($1 / 1000)) $(($1 % 1000))
    train "$3" >"$3.jsonl" 2>"$3.err"
}

# kill_often N SIGNAL...: N stops at random moments of as many runs as that takes, each compared
# with a run that was left alone.
kill_often() {
    local n=$1 start length status signal
    shift
    start=$(now_ms)
    train whole >whole.jsonl
    length=$(($(now_ms) - start))
    while [ "$n" -gt 0 ]; do
        signal=${*:$((RANDOM % $# + 1)):1}
        status=0
        stop_after $((RANDOM % (length / 2) + 1)) "$signal" often || status=$?
        case $signal:$status in
        *:0)
            same_run whole often
            rm -r often
            ;;
        KILL:137 | TERM:75 | USR1:75 | INT:130 | TERM:143 | USR1:138) # the last two: at start
            n=$((n - 1))
            ;;
        *)
            cat often.err
            fail "SIG$signal ended the run with status $status"
            ;;
        esac
    done
    train often >often.jsonl
    same_run whole often
}

# stop_at_line N: the run in the folder often, stopped soon after its Nth line by its consumer.  One
# that was done before the consumer was gone does not count.
stop_at_line() {
    local definitions
    definitions="$(declare -f train); $(declare -p data experts settings)"
    for _ in {1..20}; do
        run bash -o pipefail -c '"$@" | head -n '"$1"' >/dev/null' - bash -c \
            "$definitions; exec 2>/dev/null; train often"
        [ "$status" -eq 0 ] || break
        rm -r often
    done
    assert_equal "$status" 141
}
