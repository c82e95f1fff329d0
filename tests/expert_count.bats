#!/usr/bin/env bats
# Two, three and eight experts the whole way: shares, experts, stream, fusion, resume, evaluation,
# components and back, tables, and the targets of make.

load helper
load run_files

setup() {
    enter_test
    unset_make
    mkcifar --train 200 --test 20 --classes 5 -o tiny.tar.gz
}

arch=resnet18:width=2,blocks=1-1-1-1

# content FILE: the tensors, without the metadata, which names tools and files.
content() {
    tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1"
}

# whole_way K FUSION DEVICE
whole_way() {
    local k=$1 fusion=$2 device=$3 i
    local train=(fusion-train -q --fusion "$fusion" --data d --experts e --device "$device"
        --threads 2 --epochs 2 --batch 8 --expert-dropout 0.1)
    rm -rf ./*.pth run cut parts d e
    cifar-prep -q --experts "$k" --shares disjoint --min-share 1 -o d tiny.tar.gz
    for ((i = 0; i < k; i++)); do
        expert-train -q --arch $arch --data d --expert "$i" --checkpoint-dir "one-$k-$i" \
            --device "$device" --steps 1 --batch 8 -o expert_$i.pth >/dev/null
    done
    run -2 expert-train -q --arch $arch --data d --expert "$k" --checkpoint-dir none
    expert-load -q --arch $arch --classes 5 --count "$k" -o e expert_?.pth
    "${train[@]}" --checkpoint-dir run >metrics.jsonl
    "${train[@]}" --checkpoint-dir cut --steps 2 >/dev/null
    "${train[@]}" --checkpoint-dir cut --resume >/dev/null
    cmp <(content run/best.safetensors) <(content cut/best.safetensors)

    ckpt-split -q -d parts run/best.safetensors
    assert_equal "$(find parts -name '*.pth' | wc -l)" $((k + 2))
    ckpt-join -q -o joined parts/*/*.pth
    for i in run/best.safetensors joined; do
        fusion-eval -q --device "$device" --threads 2 --data d \
            --logits "${i##*/}.logits" "$i" >/dev/null
    done
    cmp <(content best.safetensors.logits) <(content joined.logits)
    run -0 metrics-csv metrics.jsonl
    assert_line --index 0 --regexp "expert_$((k - 1))_accuracy.*expert_$((k - 1))_loss"
    refute_line --index 0 --partial "expert_${k}_"
    assert_equal "${#lines[@]}" 3
    run -0 fusion-table run
    assert_line --index 0 --regexp "expert $((k - 1))    mean"
    assert_line --index 1 --regexp "^run +-( +[0-9]+\.[0-9]{2}){$((k + 4))} "
    run -0 fusion-top --once .
    assert_output --partial run
    runs-report -q -o page.html .
    grep -q "expert $((k - 1))" page.html
}

@test "two experts" {
    whole_way 2 multiplicative ref
}

@test "three experts" {
    whole_way 3 concatenation cpu
}

@test "eight experts" {
    whole_way 8 TransformerBase cpu
}

@test "every fusion takes two, three and eight experts" {
    local k fusion fusions
    fusions=$(fusion-train --fusion '?' 2>&1 | sed -n 's/.*must be one of //p' | tr '|' ' ')
    [ "$(wc -w <<<"$fusions")" -ge 6 ]
    cifar-prep -q -o d tiny.tar.gz
    for k in 2 3 8; do
        expert-load -q --arch resnet18:width=4,blocks=1-1-1-1 --classes 5 --init 1 --count $k -o e
        for fusion in $fusions; do
            run -0 --separate-stderr fusion-train -q --fusion "$fusion" --data d --experts e \
                --checkpoint-dir "run-$k-$fusion" --device ref --steps 1 --batch 4 --val-limit 4
        done
    done
}

# real WORD...: one tiny family, the real tools.
real() {
    make -f "$ROOT/pipelines/fusions.mk" DATA=tiny.tar.gz OUT=out EXPERTS=ex CLASSES=5 BATCH=8 \
        THREADS=1 DEVICE=ref ARCH_resnet=$arch TRAIN_FLAGS='--augment none' STEPS=1 \
        EXPERT_FLAGS='--batch 8 --steps 1' "$@"
}

@test "make: EXPERT_COUNT and SHARES from the archive to the table, and again" {
    # A rule whose shares are as small as this data set.
    cifar-prep -q --experts 3 --shares full --min-share 1 --export-splits s -o d tiny.tar.gz
    cut -d ' ' -f 1-140 s/expert_shares.txt >s.txt
    local three=(EXPERT_COUNT=3 SHARES=s.txt)
    real "${three[@]}" resnet-experts resnet-concatenation
    assert_equal "$(cd ex/resnet && echo *)" "expert_0_best.pth expert_1_best.pth expert_2_best.pth"
    assert_equal "$(find out/resnet_fusions -name '*.pth' | wc -l)" 5
    run -0 real "${three[@]}" table
    assert_line --index 0 --regexp '^accuracy .* before  expert 0  expert 1  expert 2    mean'
    assert_line --index 1 --regexp '^resnet-concatenation( +[0-9]+\.[0-9]{2}){8} '
    run -0 real "${three[@]}" resnet-experts resnet-concatenation
    assert_equal "$(grep -c 'nothing to be done' <<<"$output")" 4
    # Another family count, other shares: other data.
    local made="out/data.safetensors was made with others; other shares need another OUT.  Stop."
    run -2 real EXPERT_COUNT=2 SHARES=s.txt resnet-multiplicative
    assert_output --partial "SHARES=s.txt EXPERT_COUNT=2: $made"
    run -2 real EXPERT_COUNT=3 SHARES=full resnet-multiplicative
    assert_output --partial "SHARES=full EXPERT_COUNT=3: $made"
    sed -i 's/$/ /' s.txt
    run -2 real "${three[@]}" resnet-multiplicative
    assert_output --partial "SHARES=s.txt EXPERT_COUNT=3: $made"
    run -2 real EXPERT_COUNT=3 resnet-expert-3
    assert_output --partial "resnet-expert-3: no such run"
}

@test "make: what is no count and no shares is said before anything starts" {
    local count
    for count in 1 9 x '2 3' ''; do
        run -2 real EXPERT_COUNT="$count" INIT=1 resnet-concatenation
        assert_output --partial "EXPERT_COUNT=$count: from 2 to 8.  Stop."
    done
    run -2 real SHARES=irid INIT=1 resnet-concatenation
    assert_output --partial "SHARES=irid: no such file; nor is it a rule of cifar-prep.  Stop."
    run -2 real SHARES='a b' INIT=1 resnet-concatenation
    assert_output --partial "SHARES=a b: one name, without blanks, "
    cifar-prep -q -o d.safetensors tiny.tar.gz
    run -2 real DATA=d.safetensors SHARES=full INIT=1 resnet-concatenation
    assert_output --partial "SHARES=full: DATA=d.safetensors has its own already; give the archive"
    assert_not_exists out
    # A rule that the archive is too small for leaves nothing behind.
    run -2 real SHARES=disjoint INIT=1 resnet-concatenation
    assert_output --partial "--shares disjoint: expert 0 gets 40 images, fewer than 128"
    assert_not_exists out
    # Fresh experts in another number.
    real EXPERT_COUNT=2 INIT=1 resnet-concatenation
    assert_equal "$(find out/resnet_fusions -name '*.pth' | wc -l)" 4
}
