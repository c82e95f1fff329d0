#!/usr/bin/env bats
# What submit-all-fusions would hand to sbatch, and what it refuses.  What becomes of it is tested
# in slurm.bats.

# shellcheck disable=SC2030,SC2031  # each test has its own PATH
load helper

submit=$ROOT/pipelines/slurm/submit-all-fusions
unset_make

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    mkcifar --train 200 --test 20 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir bin
    PATH=$PWD/bin:$PATH
    cp "$BATS_FILE_TMPDIR/data.safetensors" .
    export DATA=data.safetensors INIT=1
}

# The calls of sbatch, each on a line.
calls() {
    "$submit" --dry-run "$@" | grep sbatch
}

@test "by itself: one job of four GPUs and 16 CPUs; nothing about the cluster is assumed" {
    run -0 calls
    assert_equal "${#lines[@]}" 1
    for word in --job-name=all_fusions_4gpu --output=logs/%x_%j.out --nodes=1 --ntasks-per-node=4 \
        --cpus-per-task=4 --gpus-per-node=4 --requeue --open-mode=append --signal=USR1@120 \
        "--chdir=$PWD"; do
        assert_output --partial " $word "
    done
    assert_output --regexp "/job -d .* -j 4 -c 4 -g 1 -r 100 all-fusions\)$"
    for word in --partition --account --time --mem --qos --dependency; do
        refute_output --partial "$word"
    done
    assert_not_exists logs
}

@test "options go to sbatch, what follows -- as it is, variables to make" {
    run -0 calls -pgpu --account me -t 1:00:00 --mem=64G --nodes 2 -c 8 --grace=300 --restarts 3 \
        EPOCHS=2 'TRAIN_FLAGS=--mix none' resnet-concatenation -- --qos=high '--comment=two words'
    for word in --partition=gpu --account=me --time=1:00:00 --mem=64G --nodes=2 --cpus-per-task=8 \
        --ntasks-per-node=2 --gpus-per-node=2 --signal=USR1@300 --qos=high \
        '--comment=two\ words' '-c 8 -g 1 -r 3 EPOCHS=2 TRAIN_FLAGS=--mix\ none'; do
        assert_output --partial " $word "
    done
    assert_output --partial " --job-name=resnet_concatenation_4gpu "
    run -0 calls --no-gpu -j2
    refute_output --partial gpus
    assert_output --partial " --job-name=all_fusions_2cpu "
}

@test "sixteen experts, then sixteen fusions" {
    run -0 calls INIT= --experts all-pairs
    assert_equal "${#lines[@]}" 2
    assert_line --index 0 --regexp '^JOB_1=.* --job-name=experts_4gpu .* experts\)$'
    assert_line --index 1 --regexp '^JOB_2=.* --dependency=afterany:.JOB_1 .* all-pairs\)$'
    run -0 calls INIT= --experts --array all-pairs
    assert_equal "${#lines[@]}" 8
    assert_line --index 4 --regexp '^JOB_5=.* --job-name=resnet_experts .* --array=1-4 '
    assert_line --index 5 --regexp '^JOB_6=.* --dependency=afterok:.JOB_5 .* --array=1-4 '
    # Only the families that are asked for, only what is not there.
    mkdir -p ex/resnet
    touch ex/resnet/expert_{0,2}_best.pth
    run -0 calls INIT= EXPERTS=ex --experts resnet-concatenation
    assert_line --index 0 --partial ' EXPERTS=ex resnet-expert-1 resnet-expert-3)'
    touch ex/resnet/expert_{1,3}_best.pth
    run -0 calls INIT= EXPERTS=ex --experts resnet-concatenation
    assert_equal "${#lines[@]}" 1
    refute_output --partial dependency
}

@test "experts of mixed runs are trained once, and no others" {
    run -0 calls INIT= --experts mixed-gated resnet-gated
    assert_line --index 0 --regexp \
        ' INIT= (resnet-expert-. ){4}densenet-expert-0 [^ ]*-2 resnext-expert-3\)$'
    run -0 "$submit" -n INIT= --experts --array MIXED='resnet densenet' mixed-gated resnet-gated
    assert_equal "$(grep -c '^resnet-expert-.$' <<<"$output")" 4
    assert_equal "$(grep -c '^densenet-expert-[13]$' <<<"$output")" 2
    run grep -o 'name=[a-z_]*\|dependency=[^ ]*' <<<"$output"
    assert_output 'name=resnet_experts
name=fusions_resnet
dependency=afterok:$JOB_1
name=mixed_experts
name=fusions_mixed
dependency=afterok:$JOB_1:$JOB_3'
    # As many as all families have, but not theirs.
    run -0 calls INIT= --experts EXPERT_COUNT=8 resnet-gated preact_resnet-gated
    assert_line --index 0 --regexp ' EXPERT_COUNT=8 (preact_resnet-expert-. ){8}resnet-expert-0 '
}

@test "an array has a line for each run that is not done, with every seed and alpha" {
    local again=fusion_checkpoints/repeats
    mkdir -p $again/seed-2-alpha-0.5/runs/resnet-concatenation bin
    touch $again/seed-2-alpha-0.5/runs/resnet-concatenation/finished
    printf '#!/bin/bash\n[ "$1" = --finished ]' >bin/fusion-train
    chmod +x bin/fusion-train
    PATH=$PWD/bin:$PATH
    run -0 "$submit" -n --array -j 3 --seeds 1,2 --alphas 0.5,1 resnet-concatenation
    assert_line --index 1 \
        "resnet-concatenation SEED=1 ALPHA=0.5 OUT=$again/seed-1-alpha-0.5"
    assert_line --index 3 \
        "resnet-concatenation SEED=2 ALPHA=1 OUT=$again/seed-2-alpha-1"
    assert_line --partial " --array=1-3%3 "
    run -0 "$submit" -n --array --seeds 2 --alphas 0.5 resnet-concatenation
    assert_output "all runs are done"
    run -0 calls --array --seeds "$(seq -s, 1 50)" all-pairs
    assert_output --partial " --array=1-800 "
}

@test "the commands of --dry-run are a script that submits the same" {
    mkdir logs
    printf '#!/bin/bash\nprintf "<%%s>" "$@" >>calls; echo >>calls; echo $((++n))\n' >bin/sbatch
    chmod +x bin/sbatch
    "$submit" -n --experts INIT= 'TRAIN_FLAGS=--mix  none' >script
    bash -eu script
    "$submit" -n --experts INIT= 'TRAIN_FLAGS=--mix  none' >/dev/null
    assert_equal "$(wc -l <calls)" 2
    grep -q '<TRAIN_FLAGS=--mix  none>' calls
    grep -q '<--dependency=afterany:1>' calls
}

refused() { # STATUS MESSAGE OPTION...
    fails_with "$1" "submit-all-fusions: $2" "$submit" "${@:3}"
}

@test "a run that was started with other experts is not submitted, nor a seed of it" {
    local run=runs/resnet-concatenation again=out/repeats/seed-2-alpha-1 said
    mkdir -p out/$run $again/$run
    touch {out,$again}/$run/history.jsonl # they have begun
    echo '--init 1 --count 4' | tee out/$run/experts >$again/$run/experts
    said="the run was started with --init 1 --count 4 and not --init 2 --count 4; other experts \
need another OUT"
    refused 2 "out/$run: $said" -n INIT=2 OUT=out resnet-concatenation
    rm -r out/runs
    refused 2 "$again/$run: $said" -n INIT=2 OUT=out --array --seeds 1,2 resnet-concatenation
    run -0 calls INIT=1 OUT=out --array --seeds 1,2 resnet-concatenation
    assert_output --partial " --array=1-2 "
}

@test "what cannot be is refused before it waits in a queue" {
    refused 2 "resnet: no such run; there are densenet-multiplicative *" -n resnet
    refused 2 "resnet-concatenate: no such run, perhaps resnet-concatenation; *" resnet-concatenate
    refused 2 "--time: wants a value" --time
    refused 2 "--jobs 0: wants a number from 1 on" --jobs 0
    refused 2 "-N two: wants a number from 1 on" -Ntwo
    refused 2 "--seeds and --alphas are for an --array" -n --seeds 1
    refused 2 "1,,2: wants numbers joined by commas" --array --seeds 1,,2
    refused 2 "--name a/b: wants letters, digits, _ . -" --name a/b
    refused 2 "--experts trains experts, INIT=1 makes fresh ones: which[?]" -n --experts
    refused 2 "experts are trained once, *" -n --array --seeds 1,2 experts
    printf '#!/bin/sh\nexit 1\n' >bin/sbatch
    chmod +x bin/sbatch
    # In the words of make, from the same script.
    local fresh="make experts trains them, INIT=1 takes fresh ones"
    refused 3 "DATA=none.tar.gz: no such file; get https://*/cifar-100-python.tar.gz" \
        DATA=none.tar.gz
    refused 3 "EXPERTS=*: no such file: densenet/expert_0_best.pth and 15 more; $fresh" INIT=
    refused 3 "DATA=none: no such file; *gz" --experts DATA=none INIT=
    fails_with 2 "*.mk:*: ??? OUT=a b: one folder, without blanks, *" "$submit" OUT="a b"
    touch archive
    refused 3 "HOLDOUT=none: no such file; *" DATA=archive HOLDOUT=none
    refused 2 "DEVICE=gpu: unknown; there are auto, cpu, ref, cuda, cuda:N" DEVICE=gpu
    assert_not_exists logs
    refused 1 "sbatch failed"
}

@test "an element whose list is gone, or has no such line, fails" {
    printf 'resnet-gated\n' >list
    export SLURM_JOB_ID=1 SLURM_ARRAY_TASK_ID=2
    for list in list gone; do
        fails_with 1 "*job: $list: has no run 2" "${submit%/*}/job" -d "${submit%/*}" -t bin -j 1 \
            -c 1 -g 0 -r 1 -l "$list" "DATA=$DATA"
    done
}

@test "--help names every option that is read" {
    run -0 "$submit" --help
    for option in $(sed -n 's/^    \(-[^)]*\)).*/\1/p' "$submit" | tr -d '|' | grep -v '[*]'); do
        assert_output --partial " $option"
    done
}
