#!/usr/bin/env bats
# Runs as make targets with the real tools, one tiny family: how they finish, go on, are watched,
# and what they keep.

load helper
load run_files

setup() {
    enter_test
    unset_make
    mkcifar --train 200 --test 20 --classes 5 -o tiny.tar.gz
}

# real WORD...: one tiny family, the real tools.
# shellcheck disable=SC2054  # the commas are ours
tiny=(DATA=tiny.tar.gz OUT=out EXPERTS=ex CLASSES=5 BATCH=8 THREADS=1 DEVICE=ref
    ARCH_resnet=resnet18:width=2,blocks=1-1-1-1 TRAIN_FLAGS='--augment none'
    EXPERT_FLAGS='--batch 32')
real() {
    make -f "$ROOT/pipelines/fusions.mk" "${tiny[@]}" "$@"
}

@test "a finished run with other settings says what is different; a longer one goes on" {
    real INIT=1 EPOCHS=2 STEPS=3 resnet-concatenation
    finished resnet-concatenation
    run -0 real INIT=1 EPOCHS=2 STEPS=3 resnet-concatenation
    local is='[task-1-resnet-concatenation] fusion-train: out/runs/resnet-concatenation'
    assert_output "$is: finished: 0 epochs, 3 steps; nothing to be done"
    run -2 real INIT=1 EPOCHS=2 STEPS=3 ALPHA=0.5 resnet-concatenation
    assert_line "$is: cannot resume: alpha: the run was started with 1, not 0.5; other settings \
need another --checkpoint-dir (make: OUT=)"
    run -2 real INIT=1 EPOCHS=3 STEPS=3 resnet-concatenation
    assert_line --partial "cannot resume: epochs: the run was started with 2, not 3; "
    finished resnet-concatenation
    real INIT=1 EPOCHS=2 resnet-concatenation
    assert_equal "$(cut -d , -f 1 <"$(csv resnet concatenation)" | xargs)" "epoch 1 2"
    run -0 real INIT=1 EPOCHS=2 resnet-concatenation
    assert_output --partial "finished: 2 epochs, 50 steps; nothing to be done"
    run -2 real INIT=12 EPOCHS=2 resnet-concatenation
    assert_line --partial "out/runs/resnet-concatenation: the run was started with --classes 5 \
--init 1 --count 4 and not --classes 5 --init 12 --count 4; other experts need another OUT"
    finished resnet-concatenation
}

@test "experts too; one that was not trained here is left alone" {
    real EXPERT_EPOCHS=1 resnet-expert-1
    run -0 real EXPERT_EPOCHS=1 resnet-expert-1
    assert_output "[expert-resnet-1] expert-train: ex/runs/resnet-1: finished: 1 epochs, 3 steps; \
nothing to be done"
    run -2 real EXPERT_EPOCHS=2 resnet-expert-1
    assert_line --partial "epochs: the run was started with 1, not 2; other settings need another \
--checkpoint-dir (make: EXPERTS=)"
    touch ex/resnet/expert_2_best.pth
    real EXPERT_EPOCHS=2 resnet-expert-2
    assert_equal "$(stat -c %s ex/resnet/expert_2_best.pth)" 0
}

@test "a run of an earlier version, or one whose finish was lost, is finished by its checkpoint" {
    real INIT=1 EPOCHS=1 resnet-concatenation
    sums() {
        (cd out && sha256sum runs/*/*.safetensors runs/*/*.jsonl ./*_fusions/*/*/* csv_logs/*/*)
    }
    sums >before
    rm -r out/runs/resnet-concatenation/finished out/resnet_fusions
    : >"$(csv resnet concatenation)"
    real INIT=1 EPOCHS=1 resnet-concatenation
    finished resnet-concatenation
    sums | diff before -
}

@test "the table can be followed from the first epoch on, through a stop, and has no line twice" {
    local log
    log=$(csv resnet concatenation)
    longer_than() { [ -e "$log" ] && [ "$(wc -l <"$log")" -gt "$1" ]; }
    train() { # sets make to the process
        make -f "$ROOT/pipelines/fusions.mk" "${tiny[@]}" INIT=1 EPOCHS=400 resnet-concatenation \
            >/dev/null 2>said 3>&- &
        make=$!
    }
    real out/data.safetensors
    train
    eventually longer_than 2
    tail -n +1 -f "$log" >followed 2>tail.err 3>&- &
    tail=$!
    kill -TERM $make
    wait $make || assert_equal $? 143
    unfinished resnet-concatenation
    n=$(wc -l <"$log")
    train
    eventually longer_than $((n + 1))
    kill -TERM $make
    wait $make || assert_equal $? 143
    grep -q ' resuming at epoch' said
    same() { cmp -s followed "$log"; }
    eventually same
    kill $tail
    assert_equal "$(<tail.err)" ""
    assert_equal "$(cut -d , -f 1 <"$log")" "$(echo epoch && seq $(($(wc -l <"$log") - 1)))"
}

@test "every line of a run has its task, whoever writes it" {
    real INIT=1 EPOCHS=1 out/data.safetensors 2>/dev/null
    real INIT=1 EPOCHS=1 WANDB=1 TENSORBOARD=tb resnet-concatenation 2>said
    for tool in expert-load fusion-train ckpt-split metrics-wandb; do
        grep -q "^\[task-1-resnet-concatenation\] $tool: " said
    done
    mkdir -p out/runs/resnet-multiplicative/metrics.jsonl # tee cannot write it
    run -2 --separate-stderr real INIT=1 ARCH_resnet=resnet18:width=2,blocks=x \
        resnet-multiplicative
    grep -v '^make: ' <<<"$stderr" >said
    # tee writes its line in pieces, and another tool's may come between them.
    grep -q '\] tee: ' said
    grep -q 'out/runs/resnet-multiplicative/metrics.jsonl: Is a directory$' said
    assert_equal "$(grep -vc '^\[task-1-resnet-multiplicative\] ' said)" 0
    FUSION_TASK=mine run -2 --separate-stderr metrics-csv --frobnicate
    assert_equal "$(grep -c '^\[mine\] ' <<<"$stderr")" 2
}

@test "trackers are added to every run, once, through a longer run and for experts" {
    local trackers=(WANDB=logs TENSORBOARD=tb)
    real INIT=1 EPOCHS=2 STEPS=6 "${trackers[@]}" resnet-concatenation
    real INIT=1 EPOCHS=2 "${trackers[@]}" resnet-concatenation
    real INIT=1 EPOCHS=2 "${trackers[@]}" resnet-concatenation
    run -0 python3 "$ROOT/tests/track/read_tensorboard.py" tb/resnet-concatenation/events*
    assert_equal "$(grep -c ' val/expert_3_accuracy ' <<<"$output")" 2
    assert_equal "$(grep -c ' test/accuracy ' <<<"$output")" 1
    # Two parts of one run at W&B: the second has what the first had not.
    assert_equal "$(find logs/wandb -name '*.wandb' | sed 's/.*-//' | sort -u | wc -l)" 1
    assert_equal "$(find logs/wandb -name '*.wandb' | wc -l)" 2
    real EXPERT_EPOCHS=1 "${trackers[@]}" resnet-expert-0
    run -0 python3 "$ROOT/tests/track/read_tensorboard.py" tb/resnet-expert-0/events*
    assert_output --partial ' test/accuracy '
    assert_equal "$(find logs/wandb -name '*.wandb' | wc -l)" 3
}

@test "a tracker that fails says so; the run is finished without it" {
    touch plain
    run -0 --separate-stderr real INIT=1 EPOCHS=1 WANDB=plain TENSORBOARD=plain \
        resnet-concatenation
    assert_regex "$stderr" '\[task-1-resnet-concatenation\] metrics-wandb: plain/wandb: Not a dir'
    assert_regex "$stderr" '\[task-1-resnet-concatenation\] metrics-tensorboard: plain'
    finished resnet-concatenation
    assert_equal "$(wc -l <"$(csv resnet concatenation)")" 2
}

# proof WORD...: two seeds of one tiny family, two steps each.
proof() {
    real SEEDS='1 2' STEPS=2 BATCH=32 TRAIN_FLAGS= EXPERT_FLAGS= \
        PROOF_RUNS=resnet-concatenation PROOF_HOLDOUT_RUNS=resnet-multiplicative proof "$@"
}

@test "proof: experts, singles, recipe and control of every seed, and a table; it goes on" {
    proof -j2 -k >first
    local n='[0-9]+\.[0-9]{2}' of
    of="( +-?$n \+- +$n){5} +[0-9]+( +-?$n \+- +$n){2} +[0-9]+ +$n \+- +$n"
    grep -Eq "^resnet-concatenation +ensemble +all +1 +2$of\$" first
    grep -Eq "^resnet-concatenation +mission +holdout +1 +2$of\$" first
    grep -Eq "^resnet-multiplicative +ensemble +holdout +1 +2$of\$" first
    grep -Eq "^resnet-multiplicative +mission +holdout +1 +2$of\$" first
    for seed in 1 2; do # every expert and run under its own seed, the control without what is new
        for run in experts/runs/resnet-{0,3,all,wide} {all,control}/runs/resnet-concatenation; do
            grep -q "\"seed\":$seed," "out/proof/seed-$seed/$run/history.jsonl"
        done
    done
    grep -q '"augment":"basic","mix":"none"' out/proof/seed-1/control/runs/*/history.jsonl
    grep -q '"augment":"basic","mix":"none"' out/proof/seed-1/experts/runs/resnet-wide/history.jsonl
    rm -r out/proof/seed-2/all
    proof >again 2>said
    diff <(grep ^resnet- first) <(grep ^resnet- again)
    assert_equal "$(grep -c 'nothing to be done' said)" 19
    run -0 real slim
    assert_equal "$(find out/proof -name last.safetensors | wc -l)" 0
}

@test "single networks see at least as many images as an expert, before it is fused and after" {
    seen() { metrics-csv --quiet --events end "$1" | awk -F, 'NR == 1 { for (i = 1; i <= NF; i++)
        if ($i == "images_seen") n = i } END { print $n }'; }
    local settings=(EXPERT_EPOCHS=3 EPOCHS=3 TRAIN=all)
    real "${settings[@]}" resnet-experts resnet-single
    real "${settings[@]}" resnet-concatenation table >out/table
    # 3 x 88 and 3 x 196: 4.3 times 196.
    assert_equal "$(seen ex/runs/resnet-0) $(seen out/runs/resnet-concatenation)" "264 588"
    assert_equal "$(seen ex/runs/resnet-all)" $((5 * 196))
    run -0 real "${settings[@]}" resnet-single
    assert_output --partial "finished: 5 epochs"
    run -2 real "${settings[@]}" SINGLE_EPOCHS=2 resnet-single
    assert_output --partial "epochs: the run was started with 5, not 2"
    rm out/data.safetensors # without it the number is not known, and what is there stays
    run -0 real "${settings[@]}" resnet-single
    assert_output ""
}

@test "slim: finished runs lose their state and stay what they are; others are left alone" {
    real INIT=1 EPOCHS=1 resnet-concatenation
    real EXPERT_EPOCHS=1 resnet-expert-1
    assert_not_exists out/runs/resnet-concatenation/last.previous.safetensors
    mkdir out/runs/started
    head -n 2 out/runs/resnet-concatenation/history.jsonl >out/runs/started/history.jsonl
    touch out/runs/started/{last,best}.safetensors
    hold_lock out/runs/resnet-concatenation/lock
    run -0 real slim
    release_lock
    assert_line "out/runs/resnet-concatenation: a process is training here: left as it is"
    assert_exists out/runs/resnet-concatenation/last.safetensors
    assert_not_exists ex/runs/resnet-1/last.safetensors
    run -0 real slim
    assert_line --regexp '^out/runs/resnet-concatenation: [0-9.]+KiB$'
    assert_line --regexp '^freed: [0-9.]+KiB$'
    assert_exists out/runs/started/last.safetensors
    assert_not_exists out/runs/resnet-concatenation/last.safetensors
    run -0 real INIT=1 EPOCHS=1 resnet-concatenation
    assert_output --partial "nothing to be done"
    real EXPERT_EPOCHS=1 resnet-expert-1
    run -2 real INIT=1 EPOCHS=1 STEPS=9 ALPHA=2 resnet-concatenation
    assert_output --partial "alpha: the run was started with 1, not 2"
}
