#!/usr/bin/env bats
# Each knob of the recipe changes what it should and nothing else.  With rates of 0 the parameters
# stay where they are, so that steps can be compared with each other.

load helper
load tiny

setup_file() {
    tiny_data
}

# still DIR OPTION...: a run whose parameters do not move, without any randomness.
still() {
    local dir=$1
    shift
    fusion-train -q --fusion multiplicative --data "$data" --experts "$experts" --device ref \
        --checkpoint-dir "$dir" --batch 9 --epochs 1 --augment none --mix none --no-shuffle \
        --dropout 0 --lr-experts 0 --lr-fusion 0 --log-steps --no-initial --val-limit 1 "$@" \
        >"$dir.jsonl"
}

# check EXPRESSION: a Python expression over the step events a, b, c of runs a, b and c.
check() {
    python3 - "$1" <<'END'
import json, os, sys
def steps(name):
    if not os.path.exists(name + ".jsonl"):
        return None
    return [e for e in map(json.loads, open(name + ".jsonl")) if e["event"] == "step"]
def near(x, y):
    return abs(x - y) <= 1e-6 * abs(y)
a, b, c = map(steps, "abc")
assert eval(sys.argv[1]), (sys.argv[1], a, b, c)
END
}

@test "--accumulate averages batches: half the steps, the mean of their losses" {
    still a
    still b --accumulate 2
    check 'len(a) == 4 and len(b) == 2'
    for loss in loss_total loss_global loss_individual; do
        check "all(near(b[i]['$loss'], (a[2*i]['$loss'] + a[2*i+1]['$loss']) / 2) for i in (0, 1))"
    done
    # The norm of a mean of gradients lies between half the difference and half the sum of norms.
    check 'all(abs(a[2*i]["grad_norm"] - a[2*i+1]["grad_norm"]) / 2 <= b[i]["grad_norm"] <=
        (a[2*i]["grad_norm"] + a[2*i+1]["grad_norm"]) / 2 for i in (0, 1))'
}

@test "--accumulate: the last step takes the batches that are left" {
    still a
    still b --accumulate 3
    check 'len(b) == 2'
    check 'all(near(b[1][k], a[3][k]) for k in ("loss_total", "grad_norm"))'
}

@test "--distill adds to the total, in proportion, and leaves the other losses" {
    still a
    still b --distill 1
    still c --distill 2
    check 'all(x[k] == y[k] for x, y in zip(a, b) for k in ("loss_global", "loss_individual"))'
    check 'all(y["loss_total"] > x["loss_total"] + 1e-3 for x, y in zip(a, b))'
    check 'all(near(z["loss_total"] - x["loss_total"], 2 * (y["loss_total"] - x["loss_total"]))
        for x, y, z in zip(a, b, c))'
    check 'all(not near(y["grad_norm"], x["grad_norm"]) for x, y in zip(a, b))'
}

@test "--kd takes its part of the fused loss and leaves the losses that are said" {
    still a
    still b --kd 0.5
    still c --kd 0.5 --kd-temperature 5
    check 'all(x[k] == y[k] for x, y in zip(a, b) for k in ("loss_global", "loss_individual"))'
    check 'all(y["loss_total"] < x["loss_total"] for x, y in zip(a, b))'
    check 'all(y["loss_total"] != z["loss_total"] for y, z in zip(b, c))'
    fails_with 2 "fusion-train: --kd-temperature: for --kd or --kd-experts, which are 0" \
        still d --kd-temperature 5
}

@test "--kd-experts 1 leaves the experts nothing but the ensemble" {
    still a --alpha 1
    still b --alpha 1 --kd-experts 1
    # Experts that were never trained agree with their mean: KL is small, the cross-entropy is not.
    check 'all(y["loss_total"] < x["loss_total"] - 0.5 * x["loss_individual"]
        for x, y in zip(a, b))'
}

@test "--fused residual starts as the ensemble, --fused head does not" {
    for fusion in multiplicative concatenation; do
        still "$fusion" --fusion "$fusion" --fused residual --steps 1 --initial --val-limit 4
        run -0 events "$fusion.jsonl" eval 'abs(e["loss"] - e["ensemble_loss"]) < 1e-6'
        assert_output True
    done
    still head --steps 1 --initial --val-limit 4
    run -0 events head.jsonl eval 'abs(e["loss"] - e["ensemble_loss"]) > 1e-3'
    assert_output True
    fails_with 2 "*: norms slots: for fusions with a product; concatenation has none" \
        still no --fusion concatenation --norms slots
}

@test "a head goes on in the form that it was trained in" {
    still a --fused residual --steps 1
    fails_with 2 "fusion-train: a/best.safetensors: its head was trained with --fused residual" \
        still b --experts a/best.safetensors
    still b --experts a/best.safetensors --fused residual --steps 1
}

@test "--ema: best is the average that was measured, last goes on from what trains" {
    for steps in 1 2 3; do # of batches of 9, four an epoch
        still run --lr-experts 1e-3 --lr-fusion 1e-2 --ema 0.75 --choose last --steps $steps \
            --resume
        cp run/last.safetensors last-$steps
    done
    mv run.jsonl b.jsonl
    still plain --lr-experts 1e-3 --lr-fusion 1e-2 --choose last --steps 3
    run -0 python3 - <<'END'
import array, json, struct
def tensors(name):
    f = open(name, "rb")
    n, = struct.unpack("<Q", f.read(8))
    header, body = json.loads(f.read(n)), f.read()
    return {k: array.array("f", body[slice(*t["data_offsets"])])
            for k, t in header.items() if k != "__metadata__" and t["dtype"] == "F32"}
def near(a, b):
    return all(abs(x - y) <= 2e-6 * (1 + abs(y)) for x, y in zip(a, b))
last, best = tensors("last-3"), tensors("run/best.safetensors")
plain = tensors("plain/best.safetensors")
averages = {k[18:]: v for k, v in last.items() if k.startswith("optimizer.average.")}
assert best == averages and len(best) == len([k for k in last if not k.startswith("optimizer.")])
assert any("running_var" in k for k in best) and best != plain
assert all(plain[k] == last[k] for k in plain) # what trains does not know of it
before, middle = tensors("last-1"), tensors("last-2")
for k, average in averages.items():
    old = before["optimizer.average." + k]
    for value in (middle[k], last[k]):
        old = [0.75 * x + 0.25 * y for x, y in zip(old, value)]
    assert near(average, old), k
END
    fusion-eval -q --device ref --data "$data" --split val --limit 1 run/best.safetensors >e.jsonl
    assert_equal "$(events e.jsonl eval 'e["expert_loss"]')" \
        "$(events b.jsonl epoch 'e["expert_loss"]' | tail -n 1)"
    run -0 events b.jsonl start 'e["ema"]'
    assert_output 0.75
}

@test "--freeze: the experts stay as they are, and have no optimizer state" {
    still a --freeze --lr-experts 0.1 --lr-fusion 0.01 --epochs 2 --initial
    run -0 events a.jsonl epoch 'e["expert_loss"]'
    assert_equal "${lines[0]}" "$(events a.jsonl eval 'e["expert_loss"]')"
    assert_equal "${lines[1]}" "${lines[0]}"
    check 'a[4]["loss_global"] < a[0]["loss_global"] and near(a[4]["loss_individual"],
        a[0]["loss_individual"])'
    run -0 python3 -c 'import json, struct
f = open("a/last.safetensors", "rb")
n, = struct.unpack("<Q", f.read(8))
print(sorted({k.split(".")[2] for k in json.loads(f.read(n)) if k.startswith("optimizer.")}))'
    assert_output "['fusion_module', 'global_head']"
    ckpt-split -q -d parts a/best.safetensors
    fusion-eval -q --device ref --data "$data" --limit 4 a/best.safetensors >eval.jsonl
    run -0 events eval.jsonl start 'e["fusion"], e.get("expert")'
    assert_output "('multiplicative', None)"
}

@test "--train all: every image but those that choose" {
    still a --steps 1
    still b --steps 1 --train all
    still c --steps 1 --train all --val test
    run -0 events a.jsonl start 'e["train_images"]'
    assert_output 36
    run -0 events b.jsonl start 'e["train_images"], e["train"], e["val_images"]'
    assert_output "(196, 'all', 1)"
    run -0 events c.jsonl start 'e["train_images"]'
    assert_output 200
}

@test "--choose last keeps the last epoch, however accurate" {
    still a --epochs 4
    still b --epochs 4 --choose last
    run -0 events a.jsonl end 'e["best_epoch"] < e["epoch"]' # weights do not move
    assert_output True
    run -0 events b.jsonl end 'e["best_epoch"], e["epoch"]'
    assert_output "(4, 4)"
    assert_equal "$(meta b/best.safetensors epoch)" 4
    assert_equal "$(meta b/best.safetensors fused)" None
}

@test "--recipe ensemble is its settings, one by one" {
    still a --recipe ensemble --steps 2
    still b --fused residual --norms slots --kd 0.5 --train all --choose last --weight-decay 1e-4 \
        --label-smoothing 0.1 --steps 2
    cmp <(events a.jsonl step 'e["loss_total"]') <(events b.jsonl step 'e["loss_total"]')
}

@test "--alpha weighs the experts' losses in the total" {
    still a
    still b --alpha 0.5
    check 'all(near(x["loss_global"] + 0.5 * x["loss_individual"], y["loss_total"])
        for x, y in zip(a, b))'
}

@test "--label-smoothing changes training losses, not those of the validation" {
    still a --label-smoothing 0
    still b --label-smoothing 0.3
    check 'all(x["loss_global"] != y["loss_global"] for x, y in zip(a, b))'
    assert_equal "$(events a.jsonl epoch "$(members val_loss)")" \
        "$(events b.jsonl epoch "$(members val_loss)")"
}

# The norm of the first moments of each group: after one step, a tenth of the clipped gradient's.
moments() { # DIR
    python3 - "$1/last.safetensors" <<'END'
import json, struct, sys
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
header, body = json.loads(f.read(n)), f.read()
sums = {"expert_backbones": 0, "fusion_module": 0, "global_head": 0}
for name, t in header.items():
    if name.startswith("optimizer.exp_avg."):
        raw = body[slice(*t["data_offsets"])]
        sums[name.split(".")[2]] += sum(x * x for x in struct.unpack("<%df" % (len(raw) // 4), raw))
print(*["%.5f" % (10 * s ** 0.5) for s in sums.values()])
END
}

@test "--clip limits the norm of all groups together" {
    still a --steps 1 --clip 0
    still b --steps 1 --clip 0.5
    read -r experts_norm fusion_norm head_norm <<<"$(moments a)"
    check 'a[0] == b[0]'
    run -0 python3 -c 'import sys
a, b = [list(map(float, x.split())) for x in sys.argv[1:]]
norm = lambda x: sum(y * y for y in x) ** 0.5
assert norm(a) > 1 and abs(norm(b) - 0.5) < 1e-4, (a, b)
assert all(abs(x / norm(a) - y / norm(b)) < 1e-4 for x, y in zip(a, b)), (a, b)' \
        "$experts_norm $fusion_norm $head_norm" "$(moments b)"
}

@test "--clip-experts and --clip-fusion limit their groups, in place of --clip" {
    still a --steps 1 --clip 0
    still b --steps 1 --clip 0.001 --clip-experts 0.5
    still c --steps 1 --clip-experts 0.25 --clip-fusion 0.125
    read -r _ fusion_norm head_norm <<<"$(moments a)"
    assert_equal "$(moments b)" "0.50000 $fusion_norm $head_norm"
    read -r one two three <<<"$(moments c)"
    assert_equal "$one $two $three" "0.25000 0.12500 0.12500"
    check 'a[0] == b[0] == c[0]'
}

@test "--patience ends a run that gains nothing" {
    still a --epochs 9 --patience 2
    run -0 events a.jsonl end 'e["status"], e["epoch"] - e["best_epoch"], e["epoch"] < 9'
    assert_output "('done', 2, True)"
    # Repeating it ends it again, at the same place.
    cp a.jsonl first.jsonl
    still a --epochs 9 --patience 2 --resume
    cmp a.jsonl first.jsonl
    # The last epoch is never behind a better one.
    local said="--patience: for --choose accuracy; this run keeps the last epoch"
    fails_with 2 "fusion-train: $said" still b --patience 2 --choose last
    fails_with 2 "fusion-train: $said" still b --patience 2 --recipe ensemble
    fails_with 2 "expert-train: $said" expert-train --arch resnet18:width=2 --expert 0 \
        --data "$data" --checkpoint-dir b --patience 2 --choose last
    still b --epochs 2 --patience 1 --recipe ensemble --choose accuracy
}

@test "schedules are PyTorch's" {
    python=$(torch_python)
    [ -n "$python" ] || skip "no PyTorch"
    for schedule in cosine restarts constant; do
        for epochs in 1 2 7 100; do
            fusion-train --print-schedule --arch densenet121 --fusion TransformerBase \
                --schedule $schedule --epochs $epochs >table.tsv
            "$python" - $schedule $epochs <<'END'
import sys, torch
from torch.optim import lr_scheduler as s
schedule, epochs = sys.argv[1], int(sys.argv[2])
rows = [list(map(float, x.split("\t"))) for x in open("table.tsv").read().splitlines()[1:]]
assert [r[0] for r in rows] == list(range(1, epochs + 1))
for group, lr in enumerate([5e-5 * 0.7 * 0.8 * 0.1, 2e-4, 2e-4 * 0.8], 1):
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    if schedule == "constant":
        sched = s.ConstantLR(opt, factor=1)
    elif schedule == "restarts" and group == 1:
        first = max(1, epochs // 4)
        sched = s.CosineAnnealingWarmRestarts(opt, T_0=first, T_mult=2, eta_min=lr / 10)
    else:
        sched = s.CosineAnnealingLR(opt, T_max=epochs, eta_min=lr / 10)
    for row in rows:
        theirs = opt.param_groups[0]["lr"]
        assert abs(row[group] - theirs) < 1e-10 * theirs, (row, group, theirs)
        opt.step()
        sched.step()
END
        done
    done
}
