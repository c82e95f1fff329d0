#!/usr/bin/env bats
# expert-train from outside: the same loop as fusion-train, with one expert and its own recipe.

load helper
load tiny

setup_file() {
    tiny_data
}

train() { # DIR OPTION...
    local dir=$1
    shift
    expert-train -q --arch "$tiny_arch" --expert 0 --data "$data" --checkpoint-dir "$dir" \
        --device ref --epochs 2 --batch 32 --augment basic "$@"
}

@test "an expert is trained on its share, chosen on val, and has no fused values" {
    train run --precision auto >metrics.jsonl
    assert_equal "$(events metrics.jsonl start \
        "$(members experts train_images val_images optimizer precision) \"fusion\" in e")" \
        "(1, 88, 4, 'sgd', 'fp32', False)"
    assert_equal "$(events metrics.jsonl epoch '[e["val_accuracy"]] == e["expert_accuracy"]')" "True
True"
    assert_equal "$(events metrics.jsonl end 'e["status"]')" "done"
    train run --precision auto --finished
}

@test "all is every training image but the validation's; with --val test every one" {
    train run --expert all --steps 1 >metrics.jsonl
    assert_equal "$(events metrics.jsonl start 'e["train_images"]')" 196
    train test --expert all --steps 1 --val test >metrics.jsonl
    assert_equal "$(events metrics.jsonl start "$(members train_images val_images)")" "(200, 20)"
}

# weights FILE: a digest of the first convolution.
weights() {
    python3 - "$1" <<'END'
import hashlib, json, struct, sys
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
header, body = json.loads(f.read(n)), f.read()
print(hashlib.sha256(body[slice(*header["conv1.weight"]["data_offsets"])]).hexdigest())
END
}

@test "experts of one seed differ from their first weight on, the same expert does not" {
    for run in "a --expert 0" "b --expert 0" "c --expert 1" "d --expert all" "e --seed 7"; do
        # shellcheck disable=SC2086
        train $run --steps 1 --lr-experts 0 -o "${run%% *}.safetensors" >/dev/null
    done
    cmp a.safetensors b.safetensors
    assert_equal "$(for x in a c d e; do weights $x.safetensors; done | sort -u | wc -l)" 4
}

@test "--share: its own images, the pool of all experts, or all that train" {
    for share in own pool all; do
        train $share --share $share --steps 1 --val-limit 1 >$share.jsonl
        events $share.jsonl start 'e["train_images"], e.get("share"), "train" in e'
    done >out.txt
    assert_equal "$(cat out.txt)" "(88, None, False)
(160, 'pool', False)
(196, 'all', False)"
    fails_with 2 "expert-train: --share: of expert K; --expert all has all images" \
        train single --expert all --share pool
    fails_with 2 "*cannot resume: share: the run was started with pool, not own; *" \
        train pool --steps 1 --val-limit 1 --resume
}

@test "the recipe follows the family" {
    for family in resnet18:width=2 densenet121:growth=4,blocks=1-1-1-1; do
        expert-train -q --arch $family --expert 0 --data "$data" --checkpoint-dir "$family" \
            --device ref --steps 1 --batch 4 --val-limit 1 >"$family.jsonl"
        events "$family.jsonl" start '"%s %g %g %g %g %d %d" % (e["augment"], e["lr_experts"],
            e["weight_decay"], e["expert_dropout"], e["label_smoothing"], e["epochs"],
            e["patience"])'
    done >out.txt
    assert_equal "$(cat out.txt)" "baseline 0.1 0.0001 0 0.1 250 30
light 0.1 0.0001 0.2 0.05 250 30"
    run -0 bash -c 'expert-train --print-schedule --arch resnet18 --expert 0 | tail -n 1'
    assert_equal "$output" "250	3.947789809194413e-06"
    run -0 expert-train --print-schedule --arch resnet18 --expert all --data "$data" --epochs 2
    assert_equal "$(cut -f 3 <<<"$output" | xargs)" "images_seen 196 392"
}

@test "four of them, as .pth, are read by expert-load" {
    for k in 0 1 2 3; do
        train $k --expert $k --steps 1 --val-limit 1 -o expert_${k}_best.pth >/dev/null
    done
    expert-load -q --arch "$tiny_arch" --classes 5 expert_{0..3}_best.pth -o experts.safetensors
    fusion-eval -q --device ref --data "$data" --limit 2 experts.safetensors >/dev/null
}

@test "PyTorch loads what -o writes" {
    python=$(torch_python)
    [ -n "$python" ] || skip "no PyTorch"
    train run --steps 1 -o expert.pth >/dev/null
    run -0 "$python" -c '
import torch
sd = torch.load("expert.pth", weights_only=True)
print(list(sd)[0], tuple(sd["conv1.weight"].shape), list(sd)[-1])'
    assert_equal "$output" "conv1.weight (2, 3, 3, 3) linear.bias"
}

@test "what is missing or wrong is named" {
    fails_with 2 "expert-train: --arch NAME is required" expert-train -q
    fails_with 2 "expert-train: --expert K or --expert all is required" \
        expert-train -q --arch resnet18
    fails_with 2 "expert-train: --expert 5: * has the shares of 4 experts" train run --expert 5
    cifar-prep -q --holdout-fraction 1 -o full.safetensors "$BATS_FILE_TMPDIR/cifar.tar.gz"
    fails_with 2 "expert-train: --expert 0: its share of full.safetensors is empty; --expert all" \
        train run --data full.safetensors
    cifar-prep -q --val-fraction 0 -o noval.safetensors "$BATS_FILE_TMPDIR/cifar.tar.gz"
    fails_with 2 "expert-train: --val holdout: the data set has no val images" \
        train run --data noval.safetensors
    fails_with 2 "expert-train: -o -: standard output carries the metrics*" train run -o -
    fails_with 1 "expert-train: no/expert.pth: No such file or directory" train run -o no/expert.pth
    fails_with 2 "expert-train: --arch nonesuch: *" train run --arch nonesuch
    assert_not_exists run
}
