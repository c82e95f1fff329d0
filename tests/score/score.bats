#!/usr/bin/env bats
# What fusion-eval measures, computed again by the libraries that people use for it.

load ../helper

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    mkcifar --train 200 --test 200 --classes 10 -o cifar.tar.gz
    cifar-prep -q -o data.safetensors cifar.tar.gz
    expert-load -q --arch resnet18:width=2,blocks=1-1-1-1 --classes 10 --init 1 |
        fusion-train -q --fusion concatenation --data data.safetensors --epochs 2 \
            --batch 8 --augment none --lr-experts 0.003 --checkpoint-dir run >run.jsonl
    fusion-eval -q --data data.safetensors --logits logits.safetensors \
        --temperature fit --details -o eval.jsonl run/best.safetensors
    # Other images, normalised as those of the model are.
    mkcifar --seed 9 --train 200 --test 60 --classes 10 -o other.tar.gz
    cifar-prep -q -o other.safetensors other.tar.gz
    fusion-eval -q --data data.safetensors --ood other.safetensors -o ood.jsonl run/best.safetensors
    fusion-eval -q --data other.safetensors --logits other_logits.safetensors -o other.jsonl \
        run/best.safetensors
    fusion-eval -q --data data.safetensors --split val --logits val.safetensors \
        -o val.jsonl run/best.safetensors
}

# with_modules MODULE...: sets PYTHON to one that has all of them, or skips the test.
with_modules() {
    local modules
    modules=$(IFS=,; echo "$*")
    for PYTHON in "${TORCH_PYTHON:-/usr/bin/python3}" python3; do
        "$PYTHON" -c "import $modules" 2>/dev/null && return
    done
    skip "no Python with $modules"
}

# judge DRIVER FILE...: the driver must have compared something.
judge() {
    cd "$BATS_FILE_TMPDIR"
    PYTHONDONTWRITEBYTECODE=1 run "$PYTHON" "$ROOT/tests/score/$1.py" "${@:2}"
    assert_success
    assert_line --regexp '^[1-9][0-9]* comparisons passed$'
}

@test "scikit-learn and scipy say the same of every head" {
    with_modules numpy scipy sklearn
    judge judge_eval data.safetensors eval.jsonl logits.safetensors val.safetensors
}

@test "torchmetrics says the same of every head" {
    with_modules torch torchmetrics
    judge judge_torchmetrics data.safetensors eval.jsonl logits.safetensors
}

@test "corrupted images are those of the formulas in numpy, scipy and Pillow" {
    with_modules numpy scipy PIL
    cifar-corrupt -q --limit 100 -o "$BATS_FILE_TMPDIR/made.safetensors" \
        "$BATS_FILE_TMPDIR/data.safetensors"
    judge judge_corrupt data.safetensors made.safetensors
}

@test "scikit-learn tells known and other images apart as well" {
    with_modules numpy scipy sklearn
    judge judge_ood ood.jsonl logits.safetensors other_logits.safetensors
}
