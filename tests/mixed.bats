#!/usr/bin/env bats
# Experts of different architectures in one model: stream, training, resume, evaluation, components
# and back, and the targets of make.  torch/ and ops/models.c have the numbers.

load helper
load run_files

resnet=resnet18:width=2,blocks=1-1-1-1
dense=densenet121:growth=4,blocks=1-1-1-1
wide=improved_wideresnet28_10:depth=10,width=1
next=preact_resnext29_8x64d:depth=11,cardinality=2,base_width=8,width=8
mixed=$dense,$resnet,$wide,$next

setup() {
    enter_test
    unset_make
    mkcifar --train 200 --test 20 --classes 5 -o tiny.tar.gz
    cifar-prep -q -o d tiny.tar.gz
}

# content FILE: the tensors, without the metadata, which names tools and files.
content() {
    tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1"
}

@test "a stream has the architectures, and as many experts" {
    local list
    for list in "$mixed" "$dense;$resnet;$wide;$next" "$dense,$resnet;$wide,$next"; do
        expert-load -q --arch "$list" --classes 5 --init 1 -o e
        head -c 1000 e | grep -q "\"arch\":\"$dense;$resnet;$wide;$next\""
    done
    fails_with 2 "expert-load: architecture '*': lists 4 for 3 experts" \
        expert-load --arch "$mixed" --count 3 --init 1
    fails_with 2 "expert-load: unknown architecture 'resnet18,resnet19' (there are: *" \
        expert-load --arch "resnet18,resnet19" --init 1
    fails_with 2 "expert-load: architecture resnet18: unknown key 'resnet19' (it has: width, *" \
        expert-load --arch "resnet18:width=2,resnet19" --init 1
    run -0 fusion-train --print-shapes --fusion gated --arch "$mixed"
    assert_equal "$(grep -c 'fusion_module.adapters' <<<"$output")" 3
    assert_line --regexp '^expert 3: '
}

whole_way() { # FUSION DEVICE
    local i train=(fusion-train -q --fusion "$1" --data d --experts e --device "$2" --threads 2
        --epochs 2 --batch 8 --expert-dropout 0.1)
    expert-load -q --arch "$mixed" --classes 5 --init 1 -o e
    "${train[@]}" --checkpoint-dir run >/dev/null
    "${train[@]}" --checkpoint-dir cut --steps 2 >/dev/null
    "${train[@]}" --checkpoint-dir cut --resume >/dev/null
    cmp <(content run/best.safetensors) <(content cut/best.safetensors)

    ckpt-split -q -d parts run/best.safetensors
    assert_equal "$(cd parts && echo */*.pth)" "experts/densenet_expert_0_best.pth \
experts/improved_wide_resnet_expert_2_best.pth experts/resnet_expert_1_best.pth \
experts/resnext_expert_3_best.pth fusion/mixed_$1_fusion_best.pth \
global/mixed_$1_global_head_best.pth"
    # The files say what they are; without them, the options.
    ckpt-join -q -o joined parts/*/*.pth
    rm parts/*/*.json
    ckpt-join -q -o told --arch "$mixed" --fusion "$1" --classes 5 \
        parts/experts/*_{0,1,2,3}_best.pth parts/{fusion,global}/*.pth
    for i in joined told; do
        cmp <(content run/best.safetensors) <(content $i)
    done
    fusion-eval -q --device "$2" --data d joined >/dev/null
    # An expert's file is that of the plain network.
    expert-load -q --arch $wide --classes 5 --count 1 -o one parts/experts/*_2_best.pth
    run -3 --separate-stderr expert-load -q --arch $resnet --classes 5 --count 1 -o x \
        parts/experts/*_2_best.pth
    # What was fused goes on under another fusion, and frozen.
    expert-load -q --arch "$mixed" --classes 5 -o again parts/experts/*_{0,1,2,3}_best.pth
    fusion-train -q --fusion gated --freeze --data d --experts again --device "$2" --steps 1 \
        --batch 8 --checkpoint-dir frozen >/dev/null
    ckpt-split -q -d frozen frozen/best.safetensors
    cmp frozen/experts/resnet_expert_1_best.pth parts/experts/resnet_expert_1_best.pth
}

@test "the whole way, on the reference back end" {
    whole_way multiplicative ref
}

@test "the whole way, on the processor" {
    [ "${HAVE_DNNL:-1}" != 0 ] || skip "built without oneDNN"
    whole_way TransformerBase cpu
}

@test "the components of eight experts name all their architectures" {
    expert-load -q --arch "$next,$next,$next,$next,$next,$next,$next,$resnet" --classes 5 --init 1 |
        fusion-train -q --fusion gated --data d --device ref --steps 1 --batch 8 \
            --checkpoint-dir run >/dev/null
    ckpt-split -q -d parts run/best.safetensors
    for part in fusion global; do
        assert_equal "$(jq -r .arch parts/$part/*.json)" \
            "$(jq -r .checkpoint.arch parts/$part/*.json)"
    done
}

# real WORD...: tiny families, the real tools.
real() {
    make -f "$ROOT/pipelines/fusions.mk" DATA=tiny.tar.gz OUT=out EXPERTS=ex CLASSES=5 BATCH=8 \
        THREADS=1 DEVICE=ref ARCH_resnet=$resnet ARCH_densenet=$dense \
        ARCH_improved_wide_resnet=$wide ARCH_resnext=$next TRAIN_FLAGS='--augment none' STEPS=1 \
        EXPERT_FLAGS='--batch 8 --steps 1' "$@"
}

@test "make: experts of each family, the mixed run, its row, and again" {
    run -2 real mixed-concatenation
    assert_output --partial "EXPERTS=ex: no such file: densenet/expert_0_best.pth and 3 more"
    real mixed-experts mixed-concatenation
    assert_equal "$(cd ex && echo */*_best.pth)" "densenet/expert_0_best.pth \
improved_wide_resnet/expert_2_best.pth resnet/expert_1_best.pth resnext/expert_3_best.pth"
    assert_exists out/mixed_fusions/concatenation/fusion/mixed_concatenation_fusion_best.pth
    assert_exists out/csv_logs/mixed_fusions/mixed_concatenation_training_log.csv
    run -0 real table
    assert_line --regexp '^mixed-concatenation +-( +[0-9]+\.[0-9]{2}){8} '
    run -0 real mixed-experts mixed-concatenation
    assert_equal "$(grep -c 'nothing to be done' <<<"$output")" 5
    real INIT=1 EXPERT_COUNT=3 MIXED='resnet densenet' OUT=three mixed-gated
    assert_equal "$(cd three/mixed_fusions/gated/experts && echo *.pth)" "densenet_expert_1_best.pth \
resnet_expert_0_best.pth resnet_expert_2_best.pth"
    run -2 real MIXED='resnet vgg' mixed-gated
    assert_output --partial "MIXED: vgg: no such family; there are densenet resnet"
    run -2 real mixed-expert-0
    assert_output --partial "mixed-expert-0: no such run"
}
