#!/usr/bin/env bats
# submit-all-fusions on a real Slurm, which slurm-cluster starts: one made node with four made GPUs.
# Tiny runs on the CPU; a stand-in for fusion-train notes which GPU each step was given, and holds
# runs in their middle until they are told to stop.  What comes out is compared, byte by byte, with
# runs that knew nothing of Slurm and were never stopped.

load helper
unset CUDA_VISIBLE_DEVICES # which Slurm sets

# shellcheck disable=SC2054  # the commas are ours
tiny=(CLASSES=5 INIT=1 BATCH=8 EPOCHS=8 THREADS=1 TRAIN_FLAGS=--log-steps
    ARCH_densenet=densenet121:growth=2,blocks=1-1-1-1
    ARCH_resnet=resnet18:width=2,blocks=1-1-1-1
    ARCH_improved_wide_resnet=improved_wideresnet28_10:depth=10,width=1
    ARCH_resnext=preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=4)
tiny+=("DEVICE=$([ "${HAVE_DNNL:-1}" = 1 ] && echo cpu || echo ref)")
mission=(densenet-multiplicative resnet-multiplicativeAddition
    improved_wide_resnet-TransformerBase resnext-concatenation)
shared=$BATS_FILE_TMPDIR
export SLURM_CONF=$shared/cluster/slurm.conf
unset_make

has_slurm() {
    local name
    for name in slurmctld slurmd munged; do
        [ -x "/usr/sbin/$name" ] || command -v "$name" >/dev/null || return
    done
    command -v sbatch >/dev/null
}

setup_file() {
    has_slurm || return 0
    cd "$shared"
    "$ROOT/tests/slurm-cluster" start "$shared/cluster"
    mkcifar --train 200 --test 20 --classes 5 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
    mkdir whole
    make -s -C whole -f "$ROOT/pipelines/fusions.mk" -j2 DATA="$shared/data.safetensors" OUT=out \
        "${tiny[@]}" all-fusions >whole.log 2>&1

    # steps/JOB: a line for each training, "NAME GPU". together: wait for as many at once.
    # hold/NAME: after the first epoch wait for a signal; held/NAME says that it does.
    mkdir bin
    cat >bin/fusion-train <<'END'
#!/bin/bash
exec 3<&0
real=$FX_BUILD/bin/fusion-train
[ "$1" != --finished ] || exec "$real" "$@"
for word; do [ "$before" = --task ] && name=${word#task-?-}; before=$word; done
mkdir -p steps held
echo "$name $CUDA_VISIBLE_DEVICES" >>"steps/$SLURM_JOB_ID"
if [ -e together ]; then
    until [ "$(cat steps/* | wc -l)" -ge "$(<together)" ]; do sleep 0.1; done
fi
[ -e "hold/$name" ] || exec "$real" "$@" <&3
trap 'told=1' USR1 TERM
exec 4< <(exec "$real" "$@" <&3)
training=$!
while [ -z "$told" ] && IFS= read -r line <&4; do
    printf '%s\n' "$line"
    if [[ $line == '{"event":"epoch"'* ]]; then
        kill -STOP $training
        touch "held/$name"
        until [ -n "$told" ]; do sleep 0.1; done
        kill -CONT $training
    fi
done
cat <&4
wait $training
END
    chmod +x bin/fusion-train
}

teardown_file() {
    ! has_slurm || "$ROOT/tests/slurm-cluster" stop "$shared/cluster"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    has_slurm || skip "no Slurm here (slurmctld, slurmd, slurm-client, munge)"
    PATH=$shared/bin:$PATH
    mkdir hold
}

teardown() {
    ! has_slurm || scancel --user="$(id -un)"
}

# submit WORD...: sets job, the last one submitted.
submit() {
    run -0 "$ROOT/pipelines/slurm/submit-all-fusions" DATA="$shared/data.safetensors" OUT=out \
        "${tiny[@]}" "$@"
    job=$(sed -n 's/^job \([0-9]*\):.*/\1/p' <<<"$output" | tail -n 1)
}

hold() { # NAME...
    touch "${@/#/hold/}"
}

until_true() { # COMMAND...: within five minutes
    local end=$((SECONDS + 300))
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $*
$(scontrol show job -o; cat logs/*.out)"
        sleep 0.2
    done
}

state() { # JOB
    scontrol show job -o "$1" | grep -o ' JobState=[A-Z]*' | cut -d = -f 2 | sort -u | xargs
}

is() { # STATE JOB
    [ "$(state "$2")" = "$1" ]
}

waits_again() { # JOB
    scontrol show job -o "$1" | grep -q ' JobState=PENDING .* Restarts=[1-9]'
}

# goes_back JOB: it was put back into the queue.  Slurm lets it wait there for two minutes, for the
# node to be done with it; a few seconds are enough here.
goes_back() {
    until_true waits_again "$1"
    scontrol update jobid="$1" StartTime=now+3
}

# As fusion-metrics(5) says: only these members are not the same.
timeless() { # FILE
    sed -E 's/"(timestamp|seconds|val_seconds|images_per_second)":("[^"]*"|[0-9.e+-]+)//g' "$1"
}

# same_run NAME [OUT]: as if it had never been stopped, all files.
same_run() {
    local ours=${2:-out} whole=$shared/whole/out family=${1%-*} fusion=${1#*-} file
    for file in best last; do
        cmp "$whole/runs/$1/$file.safetensors" "$ours/runs/$1/$file.safetensors"
    done
    for file in metrics history; do
        diff <(timeless "$whole/runs/$1/$file.jsonl") <(timeless "$ours/runs/$1/$file.jsonl")
    done
    diff -r "$whole/${family}_fusions/$fusion" "$ours/${family}_fusions/$fusion"
    file=csv_logs/${family}_fusions/${family}_${fusion}_training_log.csv
    diff <(cut -d , -f 1-10 "$whole/$file") <(cut -d , -f 1-10 "$ours/$file")
}

@test "one command: four runs at once, each with its own GPU" {
    echo 4 >together
    submit
    log=logs/all_fusions_4gpu_$job.out
    assert_line "job $job: make -j4 all-fusions, 4 GPUs, 16 CPUs"
    assert_line "  log:   $log"
    assert_line "  watch: squeue -j $job"
    assert_line --regexp "^ +tail -F $log$"
    assert_line --regexp "^ +grep '.\[task-0-densenet-multiplicative.\]' $log$"
    until_true is COMPLETED "$job"
    assert_equal "$(cut -d ' ' -f 2 "steps/$job" | sort | xargs)" "0 1 2 3"
    assert_equal "$(cut -d ' ' -f 1 "steps/$job" | sort)" "$(printf '%s\n' "${mission[@]}" | sort)"
    for name in "${mission[@]}"; do
        same_run "$name"
        grep -qx "summary: $name: done" "$log"
    done
    grep -q '\[task-0-densenet-multiplicative\] .*epoch 8/8' "$log"
    submit
    assert_output "all runs are done"
}

@test "at the time limit the runs stop, the job goes back and ends with the same bytes" {
    hold "${mission[@]}"
    submit --time 1 --grace 45
    goes_back "$job"
    rm hold/*
    until_true is COMPLETED "$job"
    log=logs/all_fusions_4gpu_$job.out
    for name in "${mission[@]}"; do # a slow machine is stopped again
        same_run "$name"
        grep -qx "summary: $name: stopped, to go on" "$log"
    done
    assert_equal "$(grep '^summary: ' "$log" | tail -n 4 | grep -c ': done$')" 4
    assert_equal "$(grep -c "^job $job, attempt 2, on " "$log")" 1
}

@test "told to stop by hand: what is done is not run again, what waits is not begun" {
    hold resnet-concatenation densenet-multiplicative
    submit -j2 resnet-multiplicativeAddition resnet-concatenation densenet-multiplicative \
        densenet-concatenation
    until_true test -e held/resnet-concatenation -a -e held/densenet-multiplicative
    scancel --signal=USR1 "$job"
    goes_back "$job"
    log=logs/fusions_2gpu_$job.out
    grep -qx 'summary: resnet-multiplicativeAddition: done' "$log"
    grep -qx 'summary: resnet-concatenation: stopped, to go on' "$log"
    grep -qx 'summary: densenet-concatenation: stopped, to go on' "$log"
    grep -q '"event":"epoch"' out/runs/resnet-concatenation/history.jsonl
    assert_equal "$(grep -c densenet-concatenation "steps/$job")" 0
    rm hold/*
    until_true is COMPLETED "$job"
    assert_equal "$(grep -c resnet-multiplicativeAddition "steps/$job")" 1
    assert_equal "$(grep -c resnet-concatenation "steps/$job")" 2
    same_run resnet-multiplicativeAddition
    same_run densenet-multiplicative
}

@test "a preempted job goes on as well" {
    hold "${mission[@]}"
    submit
    until_true test -e held/densenet-multiplicative -a -e held/resnet-multiplicativeAddition -a \
        -e held/improved_wide_resnet-TransformerBase -a -e held/resnext-concatenation
    sbatch -p urgent --gpus=4 -o /dev/null --wrap 'sleep 1'
    goes_back "$job"
    for name in "${mission[@]}"; do
        assert_exists "out/runs/$name/last.safetensors"
    done
    rm hold/*
    until_true is COMPLETED "$job"
    for name in "${mission[@]}"; do
        same_run "$name"
    done
}

@test "a cancelled job stays away, with the state of its runs; sent again, they go on" {
    hold densenet-multiplicative
    submit -j1 densenet-multiplicative
    until_true test -e held/densenet-multiplicative
    scancel "$job"
    until_true is CANCELLED "$job"
    assert_exists out/runs/densenet-multiplicative/last.safetensors
    rm hold/*
    submit -j1 densenet-multiplicative
    until_true is COMPLETED "$job"
    same_run densenet-multiplicative
    assert_equal "$(squeue -h)" ""
}

@test "a failed run does not stop the others; the summary says why" {
    submit ARCH_resnext=preact_resnext29_8x64d:depth=12
    until_true is FAILED "$job"
    log=logs/all_fusions_4gpu_$job.out
    for name in "${mission[@]:0:3}"; do
        same_run "$name"
        grep -qx "summary: $name: done" "$log"
    done
    local why='failed, exit status 2'
    grep -q "^summary: resnext-concatenation: $why: expert-load: .*depth" "$log"
    # And in the training itself.
    submit TRAIN_FLAGS=--lr-fusion=1e30 -c2 OUT=out2 resnet-concatenation densenet-concatenation
    until_true is FAILED "$job"
    log=logs/fusions_4gpu_$job.out
    assert_equal "$(grep -c "^summary: .*: $why: fusion-train: --lr-fusion 1e30" "$log")" 2
}

@test "an array: one element and one GPU for each run, seed and alpha" {
    echo 4 >together
    submit --array --seeds 0,3 resnet-multiplicativeAddition densenet-multiplicative
    assert_line --partial "an array of 4, each 1 GPU, 4 CPUs"
    until_true is COMPLETED "$job"
    assert_equal "$(cat steps/* | cut -d ' ' -f 2 | sort | xargs)" "0 1 2 3"
    run -0 grep -h ^summary: logs/fusions_"$job"_*.out
    assert_line --regexp '^summary: resnet-multiplicativeAddition SEED=3 ALPHA=1 OUT=.*: done$'
    assert_equal "${#lines[@]}" 4
    # They lie where make looks for repeats: it has nothing to run, and prints the spread.
    cat steps/* >before
    run -0 make -f "$ROOT/pipelines/fusions.mk" DATA="$shared/data.safetensors" OUT=out \
        "${tiny[@]}" SEEDS='0 3' RUNS=densenet-multiplicative repeats
    assert_line --regexp '^densenet-multiplicative +ensemble +all +1 +2 '
    assert_equal "$(cat steps/*)" "$(<before)"
}

@test "experts first: the fusions of a family start when its four are trained" {
    local experts=(EXPERTS=ex INIT= EXPERT_EPOCHS=1 'EXPERT_FLAGS=--batch 32 --quiet')
    submit --array --experts "${experts[@]}" resnet-concatenation resnet-multiplicative
    assert_line --regexp '^job [0-9]+: an array of 4, '
    assert_line --regexp '^job [0-9]+: an array of 2, '
    until_true is COMPLETED "$job"
    for k in 0 1 2 3; do
        assert_exists "ex/resnet/expert_${k}_best.pth"
    done
    assert_equal "$(grep -h ^summary: logs/resnet_experts_*.out | grep -c ': done$')" 4
    assert_equal "$(grep -h ^summary: logs/fusions_resnet_*.out | grep -c ': done$')" 2
    # An expert that fails withdraws the runs that wait for it.
    submit --array --experts "${experts[@]}" ARCH_densenet=densenet121:growth=0 \
        densenet-concatenation
    until_true is CANCELLED "$job"
    assert_not_exists logs/fusions_densenet_"$job"_1.out
}

@test "on nodes without GPUs" {
    submit --no-gpu -j 2 -c 2 --name small resnet-multiplicativeAddition densenet-multiplicative
    assert_line "job $job: make -j2 resnet-multiplicativeAddition densenet-multiplicative, 4 CPUs"
    until_true is COMPLETED "$job"
    assert_exists "logs/small_$job.out"
    assert_equal "$(cut -d ' ' -f 2 "steps/$job" | sort -u)" ""
    same_run resnet-multiplicativeAddition
    same_run densenet-multiplicative
}
