#!/usr/bin/env bats
# The tools with --device cuda: what they compute is what ref computes, the same bytes every time,
# and what the device lacks is said in one line.  On a GPU, and in `make check` on the simulator
# (tests/cuda-sim), where the order of streams and graph nodes is drawn from CUDA_SIM_SEED.

load ../helper
load ../tiny
load cuda_device

setup_file() {
    with_cuda
    expert-load -q --arch densenet121:growth=4,blocks=1-1-1-1 --classes 5 --init 1 -o dense
}

# train DIR OPTION...: an epoch of five steps, the last of 4 images, at rates that show in the
# losses; metrics in DIR.jsonl.
train() {
    local dir=$1
    shift
    fusion-train -q --fusion multiplicative --data "$data" --experts "$experts" \
        --checkpoint-dir "$dir" --device cuda --epochs 1 --batch 8 --augment sota --mix cutmix \
        --lr-experts 1e-3 --lr-fusion 1e-3 --log-steps "$@" >"$dir.jsonl"
}

# The second family, with attention in its fusion module and dropout everywhere.
dense=(--experts "${BATS_FILE_TMPDIR:-}/dense" --fusion TransformerBase --expert-dropout 0.2)

# follows A B LOSS NORM: the steps of run A have the losses of run B's, relative to them, within
# LOSS, and the gradient norms within NORM.
follows() {
    python3 - "$@" <<'END'
import json, sys
def steps(run):
    events = [json.loads(line) for line in open(run + ".jsonl")]
    return [e for e in events if e["event"] == "step"]
a, b = steps(sys.argv[1]), steps(sys.argv[2])
assert len(a) == len(b) > 0, (len(a), len(b))
limits = dict(loss_total=float(sys.argv[3]), loss_global=float(sys.argv[3]),
              loss_individual=float(sys.argv[3]), grad_norm=float(sys.argv[4]))
for x, y in zip(a, b):
    for name, limit in limits.items():
        assert abs(x[name] - y[name]) <= limit * abs(y[name]), (name, x, y)
    assert x["lr_experts"] == y["lr_experts"] and x["lr_fusion"] == y["lr_fusion"]
END
}

# as_ref OPTION...: the same steps as on ref.  What differs is the order of sums: 1e-4 of a loss; a
# ReLU on the other side of zero shows in the norm first: 1e-3.
as_ref() {
    train gpu "$@"
    train ref "$@" --device ref
    follows gpu ref 1e-4 1e-3
    rm -r gpu ref
}

# as_fp32 OPTION...: bf16 has 8 bits of mantissa: 5e-3 of a loss; many a ReLU is on the other side
# of zero, which networks as small as these feel: 0.2 of the norm, at rates that leave it at that.
as_fp32() {
    train gpu "$@" --lr-experts 1e-5 --lr-fusion 1e-5 --precision bf16
    train ref "$@" --lr-experts 1e-5 --lr-fusion 1e-5 --device ref
    follows gpu ref 5e-3 0.2
    run -1 cmp -s gpu.jsonl ref.jsonl
    rm -r gpu ref
}

# same_bytes A B: both checkpoints.
same_bytes() {
    cmp "$1/best.safetensors" "$2/best.safetensors"
    cmp "$1/last.safetensors" "$2/last.safetensors"
}

@test "fp32: every step has the losses and the gradient norm of ref" {
    as_ref
    as_ref "${dense[@]}"
}

@test "bf16: every step has the losses and the gradient norm of ref, as far as bf16 goes" {
    as_fp32
    as_fp32 "${dense[@]}"
}

@test "accumulation, distillation, clips of the groups, mixup: as on ref" {
    as_ref --accumulate 2 --distill 0.5 --mix mixup
    as_ref --clip-experts 0.5 --clip-fusion 0.1 --alpha 0.5 --label-smoothing 0
    as_ref "${dense[@]}" --accumulate 3 --clip 0
}

# again OPTION...: the same run in another order of streams, there with too little memory to keep
# the results of norms, without graphs, and with nothing aside.
again() {
    CUDA_SIM_SEED=1 train first "$@"
    CUDA_SIM_SEED=2 CUDA_SIM_MEMORY=1G train second "$@"
    FUSION_CUDA_GRAPHS=0 CUDA_SIM_SEED=3 train eager "$@"
    FUSION_CUDA_WGRAD_STREAM=0 CUDA_SIM_SEED=4 train single "$@"
    same_bytes first second
    same_bytes first eager
    same_bytes first single
    rm -r first second eager single
}

@test "the same bytes in every order that streams allow, with graphs and without" {
    again --accumulate 2 --epochs 2
    again "${dense[@]}" --precision bf16
}

@test "norms add up in an order that depends on the number of multiprocessors alone" {
    need_simulator
    CUDA_SIM_PROCESSORS=1 CUDA_SIM_SEED=1 train few
    CUDA_SIM_PROCESSORS=1 CUDA_SIM_SEED=2 train again
    train many
    same_bytes few again
    follows few many 1e-4 1e-2
    run ! cmp -s few/last.safetensors many/last.safetensors
}

@test "a checkpoint of one device is measured on the others" {
    local device
    local wanted='*["%.4f %.2f" % x for x in zip(e["expert_loss"], e["expert_accuracy"])],
        "%.4f %.2f" % (e["loss"], e["accuracy"])'
    train gpu
    train ref --device ref
    for run in gpu ref; do
        for device in ref cuda cpu; do
            [ "$device:${HAVE_DNNL:-1}" != cpu:0 ] || continue
            fusion-eval -q --data "$data" --device $device $run/best.safetensors >$device.jsonl
            assert_equal "$(events $device.jsonl eval "$wanted")" \
                "$(events ref.jsonl eval "$wanted")"
        done
    done
}

@test "evaluation is the one of training, batch by batch, with its logits" {
    train gpu --val test
    fusion-eval -q --data "$data" --device cuda --batch 7 --logits logits.safetensors \
        gpu/last.safetensors >eval.jsonl
    assert_equal "$(events eval.jsonl eval '"%.4f" % e["loss"], e["accuracy"]')" \
        "$(events gpu.jsonl epoch '"%.4f" % e["val_loss_global"], e["val_accuracy"]')"
    cp logits.safetensors first
    FUSION_CUDA_GRAPHS=0 fusion-eval -q --data "$data" --device cuda --batch 7 \
        --logits logits.safetensors gpu/last.safetensors >eval.jsonl
    cmp logits.safetensors first
    fusion-eval -q --data "$data" --device cuda --precision bf16 "$experts" >experts.jsonl
    assert_equal "$(events experts.jsonl eval '"accuracy" in e, len(e["expert_accuracy"])')" \
        "(False, 4)"
}

# expert DIR OPTION...: an expert alone, by SGD.
expert() {
    local dir=$1
    shift
    expert-train -q --arch "$tiny_arch" --expert 0 --data "$data" --checkpoint-dir "$dir" \
        --device cuda --epochs 1 --batch 32 --augment strong --expert-dropout 0.1 --log-steps \
        "$@" >"$dir.jsonl"
}

@test "an expert alone takes the steps of ref" {
    expert gpu
    expert ref --device ref
    follows gpu ref 1e-4 1e-3
    fusion-eval -q --data "$data" --device ref --split val gpu/last.safetensors >eval.jsonl
    assert_equal "$(events eval.jsonl eval '"%.4f" % e["expert_loss"][0]')" \
        "$(events gpu.jsonl epoch '"%.4f" % e["val_loss"]')"
}

@test "a run that diverges ends as on ref" {
    local rates=(--lr-experts 1000 --lr-fusion 1000 --experts-lr-scale 1000)
    run -4 --separate-stderr train gpu "${rates[@]}"
    assert_regex "${stderr_lines[0]}" '^fusion-train: epoch 1, step [0-9]: training diverged: '
    run -4 train ref "${rates[@]}" --device ref
    # What overflows first is a matter of rounding.
    assert_equal "$(events gpu.jsonl end "$(members status step)")" \
        "$(events ref.jsonl end "$(members status step)")"
}

@test "a device that is not there has exit status 77, and leaves nothing" {
    export CUDA_VISIBLE_DEVICES=-1 CUDA_SIM_DEVICES=0
    fails_with 77 "fusion-train: device cuda: this machine *" train run
    fails_with 77 "fusion-eval: device cuda: this machine *" \
        fusion-eval -q --data "$data" --device cuda "$experts"
    fails_with 77 "expert-train: device cuda: this machine *" expert run
    unset CUDA_VISIBLE_DEVICES CUDA_SIM_DEVICES
    fails_with 77 "fusion-train: device cuda:1023: there * only *" train run --device cuda:1023
    fails_with 2 "fusion-train: unknown device 'cuda:-1' (there are: *" train run --device cuda:-1
    assert_not_exists run
}

@test "of several devices the one that was named is used, and only that" {
    need_simulator
    fails_with 77 "fusion-train: device cuda:3: there is only 1" train run --device cuda:3
    assert_not_exists run
    CUDA_SIM_DEVICES=4 train run --device cuda:3
    train first
    same_bytes run first
}

@test "a call that cannot be captured costs a warning, not the run" {
    need_simulator
    train first --log-steps
    for nodes in 0 1 30; do
        CUDA_SIM_CAPTURE_NODES=$nodes train second 2>said
        same_bytes first second
        run -0 grep -c "fusion-train: warning: .* while a step was recorded as a CUDA graph: kernels \
are launched one by one, with the same results, more slowly" said
        assert_output 1
        rm -r second
    done
}

# The memory is there when the programs are compiled, and less of it when it is allocated.
@test "memory that another process takes meanwhile: norms are not kept, or what to reduce" {
    need_simulator
    step() {
        "$FX_BUILD/bench/step" --device cuda --arch resnet18:width=16,blocks=1-1-1-1 --batch 4 \
            --check --steps 1 --warmup 0 "$@"
    }
    value() { # FILE NAME
        python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"
    }
    step --precision fp32 >first
    local all=$((8 << 30)) planned
    planned=$(value first planned_bytes)
    CUDA_SIM_MEMORY_TAKEN=$((all - planned + 65536)) step --precision fp32 >second 2>said
    assert_equal "$(value second crc32)" "$(value first crc32)"
    run -0 cat said
    assert_line --regexp "^step: warning: device cuda: memory that was free is taken: planned again, \
0.0[0-9] GiB instead of 0.0[0-9], without keeping the results of norms: the same results, more \
slowly$"
    local hint=", use --precision bf16" precision
    for precision in fp32 bf16; do
        CUDA_SIM_MEMORY_TAKEN=$((all - (24 << 20))) fails_with 1 "step: device cuda: out of memory: \
the model takes 0.03 GiB of the device, and 0.02 GiB are free: reduce --batch$hint, or end what \
else runs there" step --precision "$precision"
        hint=
    done
}

@test "too little memory is said before training, with what is needed and what to do" {
    need_simulator
    export CUDA_SIM_MEMORY=4M
    fails_with 1 "fusion-train: memory: the run needs * MiB and free memory of the device is * MiB:\
 reduce --batch (now 8)" train run
    fails_with 1 "expert-train: memory: the run needs * reduce --batch (now 512)" \
        expert run --batch 512 --expert all
    fails_with 1 "fusion-eval: memory: the run needs * reduce --batch (now 20)" \
        fusion-eval -q --data "$data" --device cuda "$experts"
    assert_not_exists run
}
