#!/usr/bin/env bats
# The runs as make targets: which commands they make of the variables, what they leave behind, what
# happens when one fails or is stopped.  Stand-ins for the tools record how they were called;
# pipeline_inputs.bats has what is asked before, pipeline_runs.bats uses the real tools.

load helper
load stand_ins

in_background() { # WORD...: as fusions; sets make to the process
    make -f "$ROOT/pipelines/fusions.mk" DATA=archive.tar.gz OUT=out "$@" >said 2>&1 3>&- &
    make=$!
}

# column N TABLE: column N of the rows of a table in lib/net.
column() {
    sed -n 's/ //g; s/^FX_[A-Z]*(\(.*\))$/\1/p' "$ROOT/lib/net/$2" | cut -d, -f"$1"
}

@test "every architecture with every fusion is a target, from the tables of the library" {
    local folders fusions pairs
    mapfile -t folders < <(column 3 architectures.def)
    mapfile -t fusions < <(column 2 fusions.def)
    [ "${#folders[@]}" -ge 4 ] && [ "${#fusions[@]}" -ge 6 ]
    for folder in "${folders[@]}"; do
        pairs=("${fusions[@]/#/$folder-}")
        run -0 fusions -n INIT=1 "$folder-expert-0" "$folder-single" "${pairs[@]}"
        assert_equal "$(grep -c 'fusion-train .*--checkpoint' <<<"$output")" "${#fusions[@]}"
    done
}

@test "without runs, table and curves say so and what to do" {
    for target in table curves; do
        run -2 --separate-stderr make -s --no-print-directory -C "$ROOT" B="$FX_BUILD" \
            OUT="$PWD/none" "$target"
        assert_equal "$output" ""
        assert_regex "${stderr_lines[0]}" "^make: $target: no .*runs in $PWD/none; make all-fusions"
        assert_equal "${#stderr_lines[@]}" 2 # the other is make's own: Error 1
    done
}

@test "logs of runs in their first epoch are no error; those that have one are drawn" {
    mkdir -p out/csv_logs/{resnet,densenet}_fusions
    echo epoch,val_accuracy >"$(csv resnet concatenation)"
    : >"$(csv densenet concatenation)"
    run -0 fusions curves
    assert_output "make: curves: no run in out has finished its first epoch yet: nothing to draw"
    assert_not_exists out/curves
    run -3 "$ROOT/pipelines/plot-curves" out/csv_logs/*/*.csv
    assert_output "plot-curves: $(csv densenet concatenation): no epoch in it yet, nor in 1 more"
    echo 1,2 >>"$(csv resnet concatenation)"
    echo 2,4 >>"$(csv resnet concatenation)"
    run -0 --separate-stderr "$ROOT/pipelines/plot-curves" -t out/csv_logs/*/*.csv
    assert_output --partial "resnet concatenation"
    assert_equal "$stderr" "plot-curves: $(csv densenet concatenation): no epoch in it yet"
}

@test "all-fusions is the four runs of the mission, each with its task" {
    run -0 fusions -j4 INIT=1 densenet-multiplicative resnet-multiplicativeAddition \
        improved_wide_resnet-TransformerBase resnext-concatenation
    assert_equal "$(wc -l <calls)" 4
    run sort calls
    assert_line --partial "--fusion multiplicative --data out/data.safetensors --checkpoint-dir \
out/runs/densenet-multiplicative --resume --device auto:0"
    assert_line --regexp '--fusion multiplicativeAddition .*--task task-1-resnet-multiplicativeA'
    assert_line --regexp '--fusion TransformerBase .*--task task-2-improved_wide_resnet-Transf'
    assert_line --regexp '--fusion concatenation .*--task task-3-resnext-concatenation'
    assert_exists "$(csv densenet multiplicative)"
    assert_exists "$(csv improved_wide_resnet TransformerBase)"
    assert_exists out/resnext_fusions/concatenation/parts
    finished resnext-concatenation
    run -0 fusions -n -j4 INIT=1 all-fusions
    assert_line --partial "/fusion-table -e expert_training/checkpoints out/runs/densenet-mul"
}

@test "by itself it says how it is used and starts nothing" {
    run -0 fusions
    assert_line --partial "make -j4 all-fusions DATA=cifar-100-python.tar.gz"
    assert_not_exists out
}

@test "every one of the pairs is a target, and make again does nothing" {
    for family in densenet resnet improved_wide_resnet resnext; do
        for fusion in multiplicative multiplicativeAddition TransformerBase concatenation \
            simpleAddition multiplicativeShifted; do
            fusions INIT=1 $family-$fusion
            assert_exists "$(csv $family $fusion)"
            finished $family-$fusion
        done
    done
    assert_equal "$(wc -l <calls)" 24
    run -0 fusions INIT=1 resnet-simpleAddition
    assert_output "nothing to be done"
    assert_equal "$(wc -l <calls)" 24
}

@test "a run is known again by its experts, however long their names are" {
    local names folder
    for n in 4 40 80 120 160; do
        folder=$(printf "%0${n}d" 0)
        mkdir -p "$folder/resnet"
        touch "$folder"/resnet/expert_{0..3}_best.pth
        names=("EXPERTS=$folder" "OUT=$folder" resnet-concatenation)
        fusions "${names[@]}"
        run -0 fusions "${names[@]}"
        assert_output "nothing to be done"
    done
}

@test "variables become options; empty ones do not" {
    fusions INIT=7 EPOCHS=3 BATCH=16 STEPS=5 SEED=9 ALPHA=0.5 VAL=test VAL_LIMIT=64 AUGMENT=none \
        RECIPE=reported THREADS=3 DEVICE=ref 'TRAIN_FLAGS=--mix none --clip 2' resnet-concatenation
    run cat calls
    assert_output --partial "--device ref --threads 3 --task task-1-resnet-concatenation \
--recipe reported --epochs 3 --batch 16 --steps 5 --seed 9 --alpha 0.5 --val test --val-limit 64 \
--augment none --mix none --clip 2"
    fusions INIT=7 THREADS=1 OUT=out2 densenet-concatenation
    run tail -n 1 calls
    assert_output "--fusion concatenation --data out2/data.safetensors --checkpoint-dir \
out2/runs/densenet-concatenation --resume --device auto:0 --threads 1 --task \
task-0-densenet-concatenation --recipe ensemble"
}

@test "a data set that is ready is used as it is, an archive is prepared once" {
    touch ready.safetensors
    fusions INIT=1 DATA=ready.safetensors resnet-concatenation
    assert_not_exists out/data.safetensors
    run cat calls
    assert_output --partial "--data ready.safetensors"
    run -0 fusions -n INIT=1 -j4 all-fusions
    assert_equal "$(grep -c cifar-prep <<<"$output")" 1
    run -2 fusions INIT=1 DATA=missing.tar.gz resnet-concatenation OUT=out3
    assert_output --partial "DATA=missing.tar.gz: no such file"
}

@test "experts are found in both layouts, and as safetensors" {
    mkdir -p a/resnet b
    touch a/resnet/expert_{0..2}_best.pth a/resnet/expert_3_best.safetensors
    touch b/best_iid_wideresnet28_10_expert_{0..3}.pth
    run -0 fusions -n EXPERTS=a resnet-concatenation
    assert_line --partial "expert-load --arch 'resnet18' a/resnet/expert_0_best.pth \
a/resnet/expert_1_best.pth a/resnet/expert_2_best.pth a/resnet/expert_3_best.safetensors |"
    run -0 fusions -n EXPERTS=b improved_wide_resnet-concatenation
    assert_line --partial "b/best_iid_wideresnet28_10_expert_0.pth \
b/best_iid_wideresnet28_10_expert_1.pth"
    run -0 fusions -n EXPERTS=none ARCH_resnext=preact_resnext29_8x64d:width=8 resnext-concatenation
    assert_line --partial "--arch 'preact_resnext29_8x64d:width=8' none/resnext/expert_0_best.pth"
}

@test "runs side by side share the cores and the GPUs" {
    stand_in nproc 'echo 8'
    threads() {
        fusions -n INIT=1 "$@" | grep -o -e '--threads [0-9]*' | uniq
    }
    assert_equal "$(threads all-fusions)" "--threads 8"
    assert_equal "$(threads -j4 all-fusions)" "--threads 2"
    assert_equal "$(threads -j2 all-fusions)" "--threads 4"
    assert_equal "$(threads -j all-fusions)" "--threads 2"
    assert_equal "$(threads -j4 resnet-concatenation)" "--threads 8"
    assert_equal "$(threads -j16 all-pairs)" "--threads 1"
    assert_equal "$(threads -j4 resnet-experts)" "--threads 2"
    assert_equal "$(threads -j4 resnet-experts resnet-single)" "--threads 2"
    assert_equal "$(threads -j8 resnet-experts resnet-single)" "--threads 1"
    devices() {
        fusions -n INIT=1 DEVICE="$1" all-fusions | grep -o -e '--device [^ ]*' | cut -c10- | xargs
    }
    assert_equal "$(devices auto)" "auto:0 auto:1 auto:2 auto:3"
    assert_equal "$(devices cuda)" "cuda:auto:0 cuda:auto:1 cuda:auto:2 cuda:auto:3"
    assert_equal "$(devices cuda:1)" "cuda:1 cuda:1 cuda:1 cuda:1"
    assert_equal "$(devices cpu)" "cpu cpu cpu cpu"
}

@test "a run that fails is not finished, and nothing of the others is lost" {
    EXIT_resnet=4 run -2 fusions -j4 INIT=1 all-fusions
    assert_output --partial "Error 4"
    unfinished resnet-multiplicativeAddition
    assert_not_exists out/resnet_fusions
    finished densenet-multiplicative
    finished resnext-concatenation
}

@test "a stop reaches make; the same command goes on" {
    EXIT_resnet=75 run -2 fusions INIT=1 resnet-concatenation
    assert_output --partial "Error 75"
    unfinished resnet-concatenation
    run -0 fusions INIT=1 resnet-concatenation
    finished resnet-concatenation
    assert_equal "$(wc -l <calls)" 2
}

@test "a make that is told to stop stops the trainings below it, and waits for them" {
    # It saves its state when it is told to, which takes a moment.
    stand_in fusion-train 'for word; do [ "$previous" = --checkpoint-dir ] && dir=$word
            previous=$word
        done
        cat >/dev/null
        trap "sleep 0.5; touch $dir/saved; exit 75" TERM
        touch "$dir/started"
        until [ -e stop ]; do sleep 0.05; done'
    in_background -j2 INIT=1 resnet-concatenation densenet-concatenation
    eventually test -e out/runs/resnet-concatenation/started
    eventually test -e out/runs/densenet-concatenation/started
    kill -TERM $make
    status=0
    wait $make || status=$?
    touch stop
    assert_equal "$status" 143
    assert_exists out/runs/resnet-concatenation/saved
    assert_exists out/runs/densenet-concatenation/saved
    unfinished resnet-concatenation
    assert_equal "$(grep -c 'Error 75' said)" 2
}

@test "a make that is told to stop before there is a training ends at once" {
    # Until the test is over, when its folder may be gone.
    stand_in expert-load 'touch loading; while [ -e loading ] && [ ! -e stop ]; do sleep 0.05; done'
    in_background INIT=1 resnet-concatenation
    eventually test -e loading
    kill -TERM $make
    status=0
    wait $make || status=$?
    touch stop
    assert_equal "$status" 143
}

@test "experts that cannot be read stop the run before anything is final" {
    stand_in expert-load 'exit 3'
    run -2 fusions INIT=1 resnet-concatenation
    assert_output --partial "Error 3"
    unfinished resnet-concatenation
}

@test "the table shows what the runs reached, and nothing for a run that is not done" {
    rm bin/metrics-csv
    mkdir -p out/runs/{resnet-concatenation,densenet-concatenation,resnext-concatenation}
    local start='{"event":"start","arch":"densenet121:growth=8,blocks=2-2","experts":4}'
    local end='{"event":"end","status":"done","test_images":40,"test_accuracy":12.5,'
    end+='"test_expert_accuracy":[10,11,12,13.25],"test_ensemble_accuracy":15,'
    end+='"test_fused_only":3,"test_ensemble_only":4}'
    printf '%s\n' "$start" "$end" >out/runs/densenet-concatenation/metrics.jsonl
    printf '%s\n' "$start" '{"event":"end","status":"stopped"}' \
        >out/runs/resnet-concatenation/metrics.jsonl
    echo "$start" >out/runs/resnext-concatenation/metrics.jsonl
    run -0 fusions table
    assert_line --regexp '^densenet-concatenation +- +10.00 +11.00 +12.00 +13.25 +11.56 +13.25 +15.'
    # 7 of 40 images differ: 196 sqrt((7/40 - (1/40)^2) / 40)
    assert_line --regexp ' 12.50 +-2.50 \+-12.94( +-){4} +40$'
    assert_line --regexp '^resnet-concatenation( +-){14} +stopped$'
    assert_line --regexp '^resnext-concatenation( +-){14} +unfinished$'
}

@test "the table shows the experts before, and the single network, where they were trained here" {
    rm bin/metrics-csv
    local start='{"event":"start","arch":"resnet18","experts":4,"train_images":2000}' k=0
    for member in 0 1 2 3 all wide; do
        mkdir -p ex/runs/resnet-$member
        k=$((k + 1))
        printf '%s\n' "$start" \
            '{"event":"end","status":"done","epoch":'$k',"test_accuracy":'$((9 + k))'.5}' \
            >ex/runs/resnet-$member/metrics.jsonl
    done
    mkdir -p out/runs/resnet-concatenation
    echo "$start" >out/runs/resnet-concatenation/metrics.jsonl
    run -0 fusions EXPERTS=ex table
    assert_line --regexp '^resnet-concatenation +12.00( +-){9} +2 +14.50 +10 +15.50 +unfinished$'
}

# The run has waited for the experts of its family.
last_of_resnet() {
    assert_equal "$(grep -oE 'task (task-1|expert)-resnet' calls | tail -n 1)" "task task-1-resnet"
}

@test "experts are trained on request, each in its own run; runs asked for too wait for them" {
    stand_in expert-train '[ "$1" != --finished ] || exit 0
        echo "expert-train $*" >>calls
        while [ $# -gt 0 ]; do [ "$1" = -o ] && touch "$2"; shift; done
        echo "{\"event\":\"end\"}"'
    run -0 fusions EXPERTS=ex EXPERT_EPOCHS=2 EXPERT_FLAGS='--batch 8' SEED=3 resnet-expert-2
    run cat calls
    assert_output --partial "--arch resnet18 --expert 2 --data out/data.safetensors \
--checkpoint-dir ex/runs/resnet-2 --resume -o ex/runs/resnet-2/expert_2_best.pth --device auto:2"
    assert_output --partial "--task expert-resnet-2 --epochs 2 --seed 3 --batch 8"
    run -0 fusions -j4 EXPERTS=ex experts resnet-concatenation
    assert_equal "$(grep -c '^expert-train' calls)" 16
    last_of_resnet
    # The experts of one family, too; the table comes last.
    rm calls
    run -0 fusions -j8 EXPERTS=one OUT=one table resnet-multiplicative resnet-experts
    assert_equal "$(grep -c '^expert-train' calls)" 4
    last_of_resnet
    assert_line --index $((${#lines[@]} - 1)) --regexp '^resnet-multiplicative  '
    run -0 fusions -n EXPERTS=none densenet-concatenation
    refute_output --partial expert-train
    run -0 fusions EXPERTS=ex densenet-single
    assert_exists ex/densenet/single_best.pth
    run -0 fusions -n -j4 EXPERTS=new OUT=new everything
    assert_equal "$(grep -c '^expert-train' <<<"$output")" 16
    assert_equal "$(grep -c '^expert-load' <<<"$output")" 16
}

@test "curves are drawn of every log, and of all together" {
    local titles=epoch,train_loss,val_loss,val_accuracy,experts_lr,fusion_lr,global_head_lr
    titles+=,loss_global,val_loss_global,expert_0_accuracy,expert_1_accuracy,ensemble_accuracy
    mkdir -p out/csv_logs/{resnet,densenet}_fusions
    for family in resnet densenet; do
        printf '%s\n' "$titles" 1,9,9,10,1e-4,1e-3,1e-3,4,4,8,9,11 \
            2,8,8,20,1e-4,1e-3,1e-3,3,3,12,13,21 >"$(csv $family concatenation)"
    done
    fusions curves
    for name in resnet_concatenation densenet_concatenation all; do
        assert_equal "$(head -c 4 out/curves/$name.png | tail -c 3)" PNG
        grep -q '</svg>' out/curves/$name.svg
    done
    # shellcheck disable=SC2016
    run -1 bash -c 'ulimit -f 4; exec "$0" -d cut "$1"' "$ROOT/pipelines/plot-curves" \
        "$(csv resnet concatenation)"
    assert_line "plot-curves: cut/resnet_concatenation.png: could not be written"
    assert_equal "$(ls -A cut)" ""
    run -0 "$ROOT/pipelines/plot-curves" -t "$(csv resnet concatenation)"
    assert_output --partial "resnet concatenation"
    printf '%s\n' "$titles" 1,9,9,0,1e-4,1e-3,1e-3,4,4,0,0,0 >one.csv # an epoch of nothing but 0
    for option in -t -dcurves; do
        run -0 --separate-stderr "$ROOT/pipelines/plot-curves" $option one.csv
        assert_equal "$stderr" ""
    done
    echo "$titles" >empty.csv
    run -3 "$ROOT/pipelines/plot-curves" empty.csv
    assert_output "plot-curves: empty.csv: no epoch in it yet"
}

# Their standard output is a pipe that is there before the tool looks for the lock.
@test "where another process is training, what it keeps is not cut off" {
    local dir
    stand_in expert-train 'echo called >>calls'
    for dir in out/runs/resnet-concatenation experts/runs/resnet-0; do
        mkdir -p $dir
        echo mine >$dir/metrics.jsonl
        exec 9>$dir/lock
        flock 9
        run -2 fusions INIT=1 EXPERTS=experts resnet-concatenation resnet-expert-0 -k
        assert_line --partial "make: $dir: another process is training here"
        assert_equal "$(<$dir/metrics.jsonl)" mine
        exec 9>&-
    done
    run -0 fusions INIT=1 EXPERTS=experts resnet-concatenation
}

# Two makes that end the same run: the file that one has moved is not there for the other.
@test "an expert that another make has moved to its place stays there" {
    stand_in expert-train 'mkdir -p experts/resnet && echo expert >experts/resnet/expert_0_best.pth'
    run -0 fusions EXPERTS=experts resnet-expert-0
    assert_equal "$(<experts/resnet/expert_0_best.pth)" expert
}

@test "repeats: every seed with every alpha, then mean and standard deviation" {
    rm bin/metrics-csv
    stand_in fusion-train '[ "$1" != --finished ] || exit 0
        echo "$*" >>calls
        while [ $# -gt 0 ]; do
            case $1 in --checkpoint-dir) dir=$2 ;; --seed) seed=$2 ;; --alpha) alpha=$2 ;; esac
            shift
        done
        cat >"$dir/best.safetensors"
        echo "{\"event\":\"start\",\"experts\":4,\"alpha\":$alpha,\"arch\":\"a:b=1,c=2\"}"
        accuracy=\"test_expert_accuracy\":[1,2,3,4],\"test_ensemble_accuracy\":$seed
        echo "{\"event\":\"end\",\"status\":\"done\",$accuracy,\"test_accuracy\":1$seed}"'
    local repeats=(repeats RUNS=resnet-concatenation SEEDS='1 2 4' ALPHAS='0.5 2')
    run -0 fusions -j2 INIT=1 THREADS=3 "${repeats[@]}"
    assert_equal "$(wc -l <calls)" 6
    run sort calls
    assert_line --partial "--checkpoint-dir out/repeats/seed-4-alpha-0.5/runs/resnet-concatenation"
    assert_line --regexp '--threads 3 .* --seed 4 --alpha 0.5$'
    run -0 fusions INIT=1 "${repeats[@]}"
    assert_equal "$(wc -l <calls)" 6
    assert_line --regexp "^resnet-concatenation +- +holdout +0.5 +3 +2.50 \+- +0.00 +4.00 \+- +0.00 \
+2.33 \+- +1.53 +12.33 \+- +1.53 +10.00 \+- +0.00( +-){5}\$"
    assert_line --regexp '^resnet-concatenation +- +holdout +2 +3 +2.50 '
}

@test "the wide network has about the parameters of four experts, in every family" {
    rm bin/fusion-train
    parameters() {
        fusion-train --print-shapes --fusion concatenation --arch "$1" |
            sed -n 's/^expert 0: \([0-9]*\) .*/\1/p'
    }
    for arch in resnet18:width=16,blocks=1-1-1-1 densenet121 improved_wideresnet28_10:width=2 \
        preact_resnext29_8x64d:depth=11,cardinality=4,base_width=16,width=16; do
        wide=$("$ROOT/pipelines/wider-arch" "$arch" 4)
        assert_equal "${wide%%:*}" "${arch%%:*}"
        ratio=$((100 * $(parameters "$wide") / $(parameters "$arch")))
        [ $ratio -gt 330 ] && [ $ratio -lt 470 ] || fail "$arch: $wide: $ratio % of its parameters"
    done
    run -0 fusions -n EXPERTS=ex SHARE=pool EXPERT_EPOCHS=4 SINGLE_EPOCHS=2 ARCH_resnet="$arch" \
        resnet-wide resnet-single resnet-expert-0
    assert_line --partial "wider-arch '$arch' 4)\" --expert all "
    assert_equal "$(grep -c -- '--expert all .*--epochs 2 *|* ' <<<"$output")" 2
    assert_line --regexp '--expert 0 .*--epochs 4 --share pool'
    run -0 fusions -n EXPERTS=ex singles
    assert_equal "$(grep -c '^expert-train' <<<"$output")" 8
}
