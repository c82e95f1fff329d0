#!/usr/bin/env bats
# Every tool with standard input, output and error closed: what it writes is the same, byte by byte,
# and what can only go to standard output is an error.

# shellcheck disable=SC2030,SC2031  # `how` is each test's own
load ../helper
load ../tiny
load inputs

setup_file() {
    attack_inputs
    python3 "$ROOT/tests/track/make_runs.py"
}

# Into the folder `made`; D is the folder of the inputs.  No -q: what is said must go nowhere else.
writing="
cifar-prep -v -o made/data.safetensors D/cifar.tar.gz
cifar-view -v -o made/sheet.png D/data.safetensors
cifar-corrupt -v --limit 1 -o made/corrupted.safetensors D/data.safetensors
expert-train -v --arch $tiny_arch --expert 0 --steps 2 --batch 8 --device ref --data \
    D/data.safetensors --checkpoint-dir made/run -o made/expert.pth
expert-load -v --count 1 --arch $tiny_arch --classes 5 -o made/stream.safetensors D/expert.pth
fusion-train -v --fusion multiplicative --steps 2 --batch 8 --device ref --data \
    D/data.safetensors --experts D/experts.safetensors --checkpoint-dir made/run -o \
    made/metrics.jsonl
fusion-eval -v --device ref --data D/data.safetensors -o made/eval.jsonl --logits made/logits \
    D/run/best.safetensors
ckpt-split -v -d made/parts D/run/best.safetensors
ckpt-join -v -o made/joined.safetensors D/parts/*/*.safetensors
ckpt-export -v -o made/model.onnx D/run/best.safetensors
metrics-csv -v -o made/table.csv D/run.jsonl
metrics-wandb -v -d made --run-id same D/run.jsonl
metrics-tensorboard -v -d made D/run.jsonl
runs-report -v -o made/page.html D/runs/done
"
# To standard output.
printing="
cifar-view D/data.safetensors
cifar-corrupt --limit 1 --corruptions fog D/data.safetensors
expert-load --arch $tiny_arch --classes 5 --init 1
expert-load --list D/expert.pth
fusion-train -q --fusion multiplicative --steps 2 --batch 8 --device ref --data \
    D/data.safetensors --experts D/experts.safetensors --checkpoint-dir made/run
fusion-eval --device ref --data D/data.safetensors D/run/best.safetensors
fusion-predict -q --device ref D/run/best.safetensors D/picture.png
ckpt-split --list D/run/best.safetensors
ckpt-export D/run/best.safetensors
metrics-csv D/run.jsonl
metrics-wandb -q -d made D/run.jsonl
metrics-tensorboard -q -d made D/run.jsonl
runs-report D/runs/done
fusion-top D/runs/done
"

# each TEXT FUNCTION: calls it with the words of every line.
each() {
    local line
    while read -r line; do
        # shellcheck disable=SC2086
        [ -z "$line" ] || "$2" ${line//D\//"$BATS_FILE_TMPDIR/"}
    done <<<"$1"
}

# with_closed REDIRECTIONS COMMAND...: its exit status in `how`.
with_closed() {
    local closing=$1
    shift
    how=0
    bash -c '"$@" '"$closing" -- "$@" || how=$?
}

# What the clock decides is taken out.
timeless() { # FOLDER
    find "$1" -name '*.jsonl' -exec sed -Ei \
        's/"(timestamp|seconds|val_seconds|images_per_second)": ?("[^"]*"|[0-9.e+-]+)/"\1":0/g' {} +
    find "$1" \( -name clock -o -name latest-run \) -exec rm {} +
    find "$1" \( -name 'offline-run-*' -o -name 'events.out.*' \) -prune \
        -execdir mv -T {} named-by-the-clock \;
}

same_with_closed() { # COMMAND...
    local closing
    rm -rf made whole
    mkdir made
    "$@" >/dev/null 2>said || fail "$(cat said)"
    timeless made
    mv made whole
    for closing in '<&-' '2>&-' '<&- 2>&-'; do
        mkdir made
        with_closed ">out $closing" "$@" 2>err
        assert_equal "$closing $how $*" "$closing 0 $*"
        timeless made
        diff -r whole made
        rm -r made
    done
    mkdir made
    with_closed '>&- <&- 2>&-' "$@"
    case $1 in
        metrics-wandb | metrics-tensorboard) assert_equal "$how" 1 ;; # they print a name
        expert-train) assert_equal "$how" 1 ;;                       # and this one its metrics
        *)
            assert_equal "$how $*" "0 $*"
            timeless made
            diff -r whole made
            ;;
    esac
    rm -r made whole
}

@test "what is written to files is the same whatever is closed" {
    each "$writing" same_with_closed
}

fails_when_closed() { # COMMAND...
    mkdir made
    with_closed '>&- 2>said' "$@"
    assert_equal "$how $*" "1 $*"
    assert_equal "$(cat said)" "$1: stdout: Bad file descriptor"
    with_closed '>&- <&- 2>&-' "$@"
    assert_equal "$how $*" "1 $*"
    assert_equal "$(find made -name '*.tmp')" ""
    rm -r made
}

@test "standard output that is needed and closed is an error" {
    each "$printing" fails_when_closed
}

@test "standard input that is needed and closed is an error" {
    local tool
    for tool in cifar-corrupt cifar-prep cifar-view ckpt-split ckpt-export expert-load fusion-eval \
        fusion-predict fusion-train metrics-csv metrics-tensorboard metrics-wandb; do
        local -a more=()
        case $tool in
            cifar-corrupt | cifar-prep | cifar-view | ckpt-export) more=(-o made) ;;
            ckpt-split) more=(-d made) ;;
            expert-load) more=(--list -) ;;
            fusion-eval) more=(--data "$data" --device ref) ;;
            fusion-predict) more=(-q --device ref "$BATS_FILE_TMPDIR/run/best.safetensors") ;;
            fusion-train) more=(-q --fusion multiplicative --data "$data" --checkpoint-dir run) ;;
        esac
        how=0
        "$tool" "${more[@]}" <&- >out 2>said || how=$?
        assert_equal "$how $(cat said)" "1 $tool: stdin: Bad file descriptor"
        assert_not_exists made
        assert_equal "$(cat out)" ""
    done
}

# What make curves and make table run; gnuplot writes files and warns.
@test "the scripts, too" {
    local closing script
    command -v gnuplot >/dev/null || skip "no gnuplot"
    metrics-csv -q -o log.csv "$BATS_FILE_TMPDIR/run.jsonl"
    plot-curves -d whole log.csv
    for closing in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
        with_closed "$closing" plot-curves -d made log.csv 2>/dev/null
        assert_equal "$closing $how" "$closing 0"
        diff -r whole made
        rm -r made
    done
    for script in fusion-table fusion-spread; do
        "$script" "$BATS_FILE_TMPDIR/runs/done" >whole.txt
        for closing in '<&-' '2>&-'; do
            with_closed "$closing" "$script" "$BATS_FILE_TMPDIR/runs/done" >out
            assert_equal "$script $closing $how" "$script $closing 0"
            cmp whole.txt out
        done
        with_closed '>&-' "$script" "$BATS_FILE_TMPDIR/runs/done" 2>said
        [ "$how" != 0 ] || fail "$script succeeds with nowhere to write"
    done
}

@test "make and the shells of its recipes, too" {
    local closing
    unset_make
    for closing in '' '<&-' '>&-' '2>&-'; do
        with_closed ">said 2>&1 $closing" make --no-print-directory -f \
            "$ROOT/pipelines/fusions.mk" DATA="$BATS_FILE_TMPDIR/cifar.tar.gz" OUT=out INIT=1 \
            CLASSES=5 EPOCHS=1 STEPS=2 BATCH=8 THREADS=1 DEVICE=ref ARCH_resnet="$tiny_arch" \
            resnet-concatenation
        assert_equal "$closing $how" "$closing 0"
        timeless out
        find out -name '*.csv' -exec sed -i 's/,[^,]*seconds.*//; 2,$d' {} +
        if [ -z "$closing" ]; then mv out whole; else diff -r whole out && rm -r out; fi
    done
    for closing in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
        FUSION_TASK=task with_closed "$closing" "$ROOT/pipelines/train-shell" -c \
            'cat | tee copy >made; echo said >&2; exit 7' 2>/dev/null
        assert_equal "$closing $how" "$closing 7"
        cmp made copy && rm made copy
    done
}

@test "what would be submitted goes to standard output, or nowhere" {
    local closing
    submit-all-fusions --dry-run INIT=1 DATA="$data" resnet-concatenation >whole.txt
    for closing in '<&-' '2>&-' '<&- 2>&-'; do
        with_closed ">out $closing" submit-all-fusions --dry-run INIT=1 DATA="$data" \
            resnet-concatenation
        assert_equal "$closing $how" "$closing 0"
        cmp whole.txt out
    done
    with_closed '>&-' submit-all-fusions --dry-run INIT=1 DATA="$data" resnet-concatenation 2>said
    [ "$how" != 0 ] || fail "submit-all-fusions succeeds with nowhere to write"
}

@test "every tool is among them" {
    local tool
    for tool in "$FX_BUILD"/bin/*; do
        [[ $writing$printing == *$'\n'"${tool##*/} "* ]] || fail "${tool##*/}"
    done
}
