#!/usr/bin/env bats
# fusion-eval from outside: what it measures equals what training measured, and what its logits say.

load helper
load tiny

setup_file() {
    tiny_data
    fusion-train -q --fusion concatenation --data data.safetensors --experts experts.safetensors \
        --checkpoint-dir run --device ref --epochs 2 --batch 16 --augment none >run.jsonl
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    run=$BATS_FILE_TMPDIR/run
}

measure() { # OPTION...
    fusion-eval -q --data "$data" --device ref "$@"
}

@test "the test accuracy of best is the one that training reported" {
    measure --precision auto "$run/best.safetensors" >eval.jsonl
    assert_equal "$(events eval.jsonl start 'e["precision"]')" fp32
    assert_equal "$(events eval.jsonl eval "$(members split images)")" "('test', 20)"
    assert_equal \
        "$(events eval.jsonl eval "$(members accuracy loss ece \
            expert_accuracy ensemble_accuracy fused_only ensemble_only)")" \
        "$(events "$run.jsonl" end "$(members test_accuracy test_loss test_ece \
            test_expert_accuracy test_ensemble_accuracy test_fused_only test_ensemble_only)")"
    # What one has that the other has not is what they differ by.
    run -0 events eval.jsonl eval 'abs((e["fused_only"] - e["ensemble_only"]) / 20 * 100 -
        (e["accuracy"] - e["ensemble_accuracy"])) < 1e-9'
    assert_output True
    assert_equal "$(events eval.jsonl end 'e["status"]')" "done"
}

@test "the validation of the last epoch is the one of last.safetensors" {
    measure --split val - <"$run/last.safetensors" >eval.jsonl
    assert_equal "$(events eval.jsonl eval "$(members accuracy expert_loss)")" \
        "$(events "$run.jsonl" epoch 'e["val_accuracy"], e["expert_loss"]' | tail -n 1)"
}

# heads FILE KIND: accuracy and loss of every head, rounded.
heads() {
    events "$1" "$2" '["%.3f" % x for x in [e["accuracy"], e["ensemble_accuracy"], e["loss"],
        e["ensemble_loss"], *e["expert_accuracy"], *e["expert_loss"]]]'
}

@test "an attack raises the loss, the more the larger epsilon is, and pgd more than fgsm" {
    local model=$run/best.safetensors
    measure "$model" >eval.jsonl
    measure --attack fgsm --epsilon 1e-9 "$model" >none.jsonl
    assert_equal "$(heads none.jsonl eval)" "$(heads eval.jsonl eval)"
    assert_equal "$(heads none.jsonl attack)" "$(heads eval.jsonl eval)"
    for kind in fgsm pgd; do
        measure --attack $kind --epsilon 8/255 "$model" >$kind.jsonl
        measure --attack $kind --epsilon 8/255 --batch 7 "$model" >batch.jsonl
        assert_equal "$(heads batch.jsonl attack)" "$(heads $kind.jsonl attack)"
    done
    measure --attack fgsm --epsilon 0.01 "$model" >small.jsonl
    python3 - eval none small fgsm pgd <<'END'
import json, sys
def loss(name):
    events = [json.loads(line) for line in open(name + ".jsonl")]
    return [e["loss"] for e in events if e["event"] == ("eval" if name == "eval" else "attack")][0]
losses = [loss(name) for name in sys.argv[1:]]
assert abs(losses[0] - losses[1]) < 1e-6 and sorted(losses[1:]) == losses[1:], losses
assert losses[4] > losses[3] > losses[2] + 0.001, losses
END
    assert_equal "$(events pgd.jsonl attack "$(members attack split images steps
        ) round(e['epsilon'] * 255, 9), round(e['step_size'] * 255, 9)")" \
        "('pgd', 'test', 20, 10, 8.0, 2.0)"
    measure --attack pgd --epsilon 8/255 --seed 1 "$model" >seed.jsonl
    refute [ "$(events seed.jsonl attack 'e["loss"]')" = "$(events pgd.jsonl attack 'e["loss"]')" ]
    metrics-csv -q --events attack pgd.jsonl >attack.csv
    assert_equal "$(wc -l <attack.csv)" 2
}

@test "an attack on experts alone, and what is no attack" {
    measure --attack fgsm --limit 5 "$experts" >eval.jsonl
    assert_equal "$(events eval.jsonl attack '"loss" in e, len(e["expert_loss"]), e["images"]')" \
        "(False, 4, 5)"
    for size in 8 0 -1 1/0 x 8/ /255 8/255x nan; do
        fails_with 2 "fusion-eval: --epsilon $size: must be above 0, at most 1, *" \
            measure --attack fgsm --epsilon $size "$experts"
    done
    fails_with 2 "fusion-eval: --epsilon: has a meaning with --attack only" \
        measure --epsilon 1/255 "$experts"
    fails_with 2 "fusion-eval: --attack-steps: has a meaning with --attack pgd only" \
        measure --attack fgsm --attack-steps 3 "$experts"
    fails_with 2 "fusion-eval: --attack-step-size: has a meaning with --attack pgd only" \
        measure --attack-step-size 1/255 "$experts"
    run -2 measure --attack cw "$experts"
    assert_line "fusion-eval: --attack cw: must be one of fgsm|pgd"
}

@test "an experts stream has no fused result" {
    measure --split holdout --limit 7 "$experts" >eval.jsonl
    assert_equal "$(events eval.jsonl eval \
        '"accuracy" in e, "loss" in e, len(e["expert_accuracy"]), e["images"]')" \
        "(False, False, 4, 7)"
}

@test "the size of a batch changes nothing but rounding" {
    local losses='"%.4f %.4f" % (e["loss"], e["expert_loss"][3])'
    for batch in 1 3 20 128; do
        measure --batch $batch "$run/best.safetensors" >$batch.jsonl
        assert_equal "$(events $batch.jsonl eval "$losses")" "$(events 1.jsonl eval "$losses")"
    done
}

@test "the logits are those that were measured" {
    measure --split val --logits logits.safetensors --batch 3 "$run/best.safetensors" >eval.jsonl
    python3 - "$data" >out.txt <<'END'
import json, math, struct, sys
def read(path):
    f = open(path, "rb")
    n, = struct.unpack("<Q", f.read(8))
    header, body = json.loads(f.read(n)), f.read()
    del header["__metadata__"]
    return {k: (v, body[slice(*v["data_offsets"])]) for k, v in header.items()}
data, logits = read(sys.argv[1]), read("logits.safetensors")
assert sorted(logits) == ["expert.0", "expert.1", "expert.2", "expert.3", "global"], sorted(logits)
val = struct.unpack("<%dq" % data["split.val"][0]["shape"][0], data["split.val"][1])
labels = [data["train.fine"][1][i] for i in val]
def score(rows):
    loss = right = 0
    for row, label in zip(rows, labels):
        top = max(row)
        loss += math.log(sum(math.exp(x - top) for x in row)) + top - row[label]
        right += row.index(top) == label
    return "%.5f %.2f" % (loss / len(rows), 100 * right / len(rows))
def rows(name):
    head, raw = logits[name]
    n, c = head["shape"]
    assert (n, c, head["dtype"]) == (len(val), 5, "F32"), head
    flat = struct.unpack("<%df" % (n * c), raw)
    return [flat[i * c:(i + 1) * c] for i in range(n)]
experts = [rows("expert.%d" % k) for k in range(4)]
mean = [[sum(x) / 4 for x in zip(*four)] for four in zip(*experts)]
print(score(rows("global")), *[score(e) for e in experts], score(mean))
END
    assert_equal "$(cat out.txt)" "$(events eval.jsonl eval '" ".join("%.5f %.2f" % x for x in
        [(e["loss"], e["accuracy"])] + list(zip(e["expert_loss"], e["expert_accuracy"])) +
        [(e["ensemble_loss"], e["ensemble_accuracy"])])')"
}

@test "predictions and confusion matrices say what was measured" {
    measure --predictions p.csv --confusion c.csv --limit 17 "$run/best.safetensors" >eval.jsonl
    python3 - "$data" <<'END'
import csv, json, struct, sys
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
header = json.loads(f.read(n))
f.seek(8 + n + header["test.fine"]["data_offsets"][0])
labels, names = f.read(17), json.loads(header["__metadata__"]["fine_labels"])
event, = [e for e in map(json.loads, open("eval.jsonl")) if e["event"] == "eval"]
rows = list(csv.DictReader(open("p.csv")))
assert [(int(r["image"]), int(r["label"])) for r in rows] == list(enumerate(labels))
confusion = list(csv.reader(open("c.csv")))
assert confusion[0] == ["head", "class"] + names, confusion[0]
heads = ["fused", "ensemble"] + ["expert_%d" % k for k in range(4)]
assert [row[:2] for row in confusion[1:]] == [[h, n] for h in heads for n in names]
accuracies = [event["accuracy"], event["ensemble_accuracy"]] + event["expert_accuracy"]
for number, (head, accuracy) in enumerate(zip(heads, accuracies)):
    right = sum(r["label"] == r[head] for r in rows)
    assert abs(100 * right / 17 - accuracy) < 1e-6, head
    assert all(0.2 <= float(r[head + "_probability"]) <= 1 for r in rows), head
    matrix = [list(map(int, row[2:])) for row in confusion[1 + 5 * number:][:5]]
    for label, line in enumerate(matrix):
        for predicted, count in enumerate(line):
            assert count == sum((int(r["label"]), int(r[head])) == (label, predicted) for r in rows)
END
}

@test "intervals are drawn from the seed, and none with --bootstrap 0" {
    local drawn
    drawn=$(members accuracy_low accuracy_high gain_low gain_high)
    measure --bootstrap 50 "$run/best.safetensors" >1.jsonl
    measure --bootstrap 50 "$run/best.safetensors" >2.jsonl
    measure --bootstrap 50 --seed 7 "$run/best.safetensors" >3.jsonl
    assert_equal "$(events 1.jsonl eval "$drawn")" "$(events 2.jsonl eval "$drawn")"
    assert_not_equal "$(events 1.jsonl eval 'e["expert_loss_low"]')" \
        "$(events 3.jsonl eval 'e["expert_loss_low"]')"
    assert_equal "$(events 1.jsonl eval \
        'e["accuracy_low"] <= e["accuracy"] <= e["accuracy_high"], e["bootstrap"]')" "(True, 50)"
    measure --bootstrap 0 "$run/best.safetensors" >0.jsonl
    assert_equal "$(events 0.jsonl eval '[k for k in e if "_low" in k or k == "bootstrap"]')" "[]"
}

@test "details are an event for each class, superclass and bin, as metrics-csv takes them" {
    measure --details --temperature fit "$run/best.safetensors" >eval.jsonl
    assert_equal "$(events eval.jsonl eval \
        'e["temperature_split"], e["temperature_images"], len(e["expert_temperature"])')" \
        "('val', 4, 4)"
    assert_equal "$(events eval.jsonl class 'e["class"], e["name"], sum(e["predicted"])')" "\
(0, 'class_000', 4)
(1, 'class_001', 4)
(2, 'class_002', 4)
(3, 'class_003', 4)
(4, 'class_004', 4)"
    assert_equal "$(events eval.jsonl bin 'e["images"]' | awk '{ n += $1 } END { print n }')" 20
    for kind in eval class superclass bin; do
        metrics-csv -q --events $kind -o $kind.csv eval.jsonl
        assert_equal "$(($(wc -l <$kind.csv) - 1))" "$(grep -c "event\":\"$kind\"" eval.jsonl)"
    done
    # Without a fusion module the ensemble is the head that counts.
    measure --details --predictions p.csv "$experts" >experts.jsonl
    assert_equal "$(events experts.jsonl class '"accuracy" in e, len(e["predicted"])' | sort -u)" \
        "(False, 5)"
    assert_equal "$(head -n 1 p.csv | cut -d , -f 1-5)" \
        "image,label,ensemble,ensemble_probability,expert_0"
}

@test "images of another data set are told apart, whatever their labels" {
    mkcifar --layout python-10 --seed 3 --train 5 --test 11 -o ten.tar.gz
    cifar-prep -q -o ten.safetensors ten.tar.gz
    measure --ood ten.safetensors "$run/best.safetensors" >eval.jsonl
    assert_equal "$(events eval.jsonl ood 'e["images"], e["ood_images"], len(e["expert_msp_auroc"]), \
all(0 <= e[k] <= 100 for k in e if k.startswith(("msp", "energy", "disagreement")))')" \
        "(20, 11, 4, True)"
    metrics-csv -q --events ood eval.jsonl >ood.csv
    assert_equal "$(head -n 1 ood.csv | cut -d , -f 1-5)" "run,images,ood_images,msp_auroc,\
expert_0_msp_auroc"
    assert_equal "$(wc -l <ood.csv)" 2
    run -2 --separate-stderr measure -o o.jsonl --ood "$data" "$run/best.safetensors"
    assert_regex "${stderr_lines[0]}" "^fusion-eval: --ood .*: is the data set that is measured"
    fails_with 3 "fusion-eval: ten.tar.gz: *" \
        measure -o o.jsonl --ood ten.tar.gz "$run/best.safetensors"
}

@test "bad input is refused, and leaves no logits" {
    fails_with 2 "fusion-eval: --data FILE is required" fusion-eval "$run/best.safetensors"
    head -c 20000 "$run/best.safetensors" >cut.safetensors
    fails_with 3 "fusion-eval: cut.safetensors: *" measure --logits l.safetensors cut.safetensors
    local kind="is a data set, not a checkpoint or experts stream; fusion-train writes one, *"
    fails_with 3 "fusion-eval: *data.safetensors: $kind" measure "$data"
    fails_with 2 "fusion-eval: stdout: another output goes there" \
        measure --logits - "$run/best.safetensors"
    mkdir d && ln -s d e && ln -s "$PWD/d/p" q
    local other
    for other in d/p ./d/../d/p "$PWD/d/p" e/p; do
        fails_with 2 "fusion-eval: $other: another output goes there" \
            measure --confusion d/p --predictions "$other" "$run/best.safetensors"
        assert_equal "$(ls -A d)" ""
    done
    touch d/p
    fails_with 2 "fusion-eval: $PWD/d/p: another output goes there" \
        measure -o d/p --predictions q "$run/best.safetensors"
    fails_with 2 "fusion-eval: --temperature fit: --split val has images that it is fitted on; *" \
        measure --temperature fit --split val "$run/best.safetensors"
    fails_with 3 "fusion-eval: stdin: $kind" measure - <"$data"
    fails_with 2 "fusion-eval: b: one checkpoint at a time" measure a b
    assert_not_exists l.safetensors
    assert_equal "$(ls -A d; cat d/p)" p
}

# with_value NAME VALUE: bad.safetensors, a copy of best with VALUE (Python) at a tensor's head.
with_value() {
    python3 - "$run/best.safetensors" "$@" <<'END'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n, = struct.unpack("<Q", data[:8])
at = 8 + n + json.loads(data[8:8 + n])[sys.argv[2]]["data_offsets"][0]
data[at:at + 4] = struct.pack("<f", float(sys.argv[3]))
open("bad.safetensors", "wb").write(data)
END
}

@test "weights that are not finite are refused, logits that are not are reported" {
    for value in nan inf; do
        with_value expert_backbones.2.bn1.weight $value
        fails_with 3 \
            "fusion-eval: bad.safetensors: expert_backbones.2.bn1.weight: values that are not*: 1" \
            measure bad.safetensors
    done
    with_value expert_backbones.2.bn1.weight 3e38
    run -0 --separate-stderr measure bad.safetensors
    assert_equal "$stderr" "\
fusion-eval: warning: the fused logits are not finite: their loss is null
fusion-eval: warning: the logits of expert 2 are not finite: their loss is null"
}

@test "metadata that names no architecture is bad input" {
    sed 's/"arch":"resnet18/"arch":"resnet19/' "$run/best.safetensors" >bad.safetensors
    fails_with 3 "fusion-eval: bad.safetensors: metadata: unknown architecture 'resnet19' (*" \
        measure bad.safetensors
}

@test "-o takes the metrics, complete or not at all" {
    measure -o eval.jsonl "$run/best.safetensors" >out.txt
    assert_equal "$(cat out.txt)" ""
    assert_equal "$(events eval.jsonl end 'e["status"]')" "done"
    fails_with 1 "fusion-eval: no/eval.jsonl: No such file or directory" \
        measure -o no/eval.jsonl "$run/best.safetensors"
    run -3 measure -o cut.jsonl - <<<"no checkpoint"
    assert_not_exists cut.jsonl
}

@test "a full disk is an error and leaves no logits" {
    [ -e /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c '"$@" >/dev/full' - \
        fusion-eval -q --data "$data" --device ref --limit 2 "$run/best.safetensors"
    assert_equal "${stderr_lines[0]}" "fusion-eval: stdout: No space left on device"
}
