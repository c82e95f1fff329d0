#!/usr/bin/env bats
# fusion-train from outside: tiny experts are trained on a tiny data set with the ref back end; the
# metrics, the files and the refusals are looked at.

load helper
load tiny

setup_file() {
    tiny_data
}

# train DIR OPTION...: a short run; later options replace earlier ones.
train() {
    local dir=$1
    shift
    fusion-train "${LOUDNESS:--q}" --fusion multiplicative --data "$data" --experts "$experts" \
        --checkpoint-dir "$dir" --device ref --epochs 2 --batch 16 --augment basic "$@"
}

@test "a run writes one stream from start to end, and both checkpoints" {
    train run >metrics.jsonl
    assert_equal "$(events metrics.jsonl start \
        "$(members experts classes train_images val_images test_images)")" \
        "(4, 5, 36, 4, 20)"
    # Options of the other tool, and defaults that are left out.
    assert_equal "$(events metrics.jsonl start \
        '[k for k in ("share", "train", "freeze", "kd") if k in e]')" "[]"
    assert_equal "$(events metrics.jsonl epoch "$(members epoch step)")" "(1, 3)
(2, 6)"
    assert_equal "$(events metrics.jsonl eval "$(members epoch split images)")" "(0, 'val', 4)"
    assert_equal "$(events metrics.jsonl end "$(members status test_images)")" "('done', 20)"
    assert_equal "$(tail -n 1 metrics.jsonl | cut -c 1-14)" '{"event":"end"'
    assert_equal "$(meta run/last.safetensors epoch)" 2
    assert_equal "$(meta run/best.safetensors val_accuracy)" \
        "$(events metrics.jsonl end '"%g" % e["best_val_accuracy"]')"
    cmp metrics.jsonl run/history.jsonl
}

@test "-o takes the metrics, complete or not at all" {
    train run -o metrics.jsonl >stdout
    cmp metrics.jsonl run/history.jsonl
    assert_equal "$(cat stdout)" ""
    # A run that is refused, and one that is stopped, leave none.
    run -2 train run -o none.jsonl
    run -4 train other -o none.jsonl --lr-experts 1000 --lr-fusion 1000 --experts-lr-scale 1000
    assert_not_exists none.jsonl
    assert_equal "$(find . -name '*.tmp')" ""
    # Resumed, it is the whole stream again.
    train run --resume -o again.jsonl
    cmp again.jsonl metrics.jsonl
    fails_with 1 "fusion-train: no/m.jsonl: No such file or directory" train third -o no/m.jsonl
    assert_not_exists third
    run -2 fusion-train --print-schedule --fusion concatenation --arch resnet18 -o none.jsonl
}

@test "a refused run leaves no directory, or the one that was there as it was" {
    mkdir there
    for dir in new there; do
        run -77 train $dir --precision bf16
        run -3 train $dir --experts - </dev/null
        run -2 train $dir --steps 0
    done
    assert_not_exists new
    assert_equal "$(ls -A there)" ""
}

@test "experts come from standard input as well" {
    train a >a.jsonl
    train b --experts - <"$experts" >b.jsonl
    cmp a/best.safetensors b/best.safetensors
}

@test "twice is the same, another seed is not" {
    train a --log-steps >a.jsonl
    train b --log-steps >b.jsonl
    train c --log-steps --seed 43 >c.jsonl
    cmp a/best.safetensors b/best.safetensors
    cmp a/last.safetensors b/last.safetensors
    run -1 cmp -s a/last.safetensors c/last.safetensors
    assert_equal "$(events a.jsonl step e)" "$(events b.jsonl step e)"
}

@test "a step event for each step, with --log-steps only" {
    train run --log-steps >metrics.jsonl
    assert_equal "$(events metrics.jsonl step 'e["step"]' | paste -sd ' ')" "1 2 3 4 5 6"
    train quiet >metrics.jsonl
    assert_equal "$(events metrics.jsonl step e)" ""
}

@test "--steps ends a run within an epoch, measured and with both checkpoints" {
    train run --steps 2 >metrics.jsonl
    assert_equal "$(events metrics.jsonl epoch "$(members epoch step)")" "(1, 2)"
    assert_equal "$(events metrics.jsonl end "$(members status step best_epoch)")" \
        "('done', 2, 1)"
    assert_equal "$(meta run/last.safetensors step)" 2
    assert_equal "$(meta run/best.safetensors step)" 2
}

@test "the log and the end event say of an epoch that --steps ended that it is not whole" {
    export LOUDNESS=-v
    train run --steps 1 >metrics.jsonl 2>log
    assert_equal "$(events metrics.jsonl end "$(members epoch step best_epoch)")" "(0, 1, 1)"
    grep -F ": epoch 1/2, ended by --steps at step 1: loss " log
    grep -F ": best checkpoint (epoch 1, ended by --steps at step 1), 20 test images: " log
    # The same steps and the rest of the epoch: a whole one.
    train run --steps 3 --resume >metrics.jsonl 2>log
    assert_equal "$(events metrics.jsonl end "$(members epoch step)")" "(1, 3)"
    grep -F ": epoch 1/2: loss " log
}

@test "--val test trains on the whole holdout and says what chose the best" {
    train run --val test >metrics.jsonl
    assert_equal "$(events metrics.jsonl start "$(members val train_images val_images)")" \
        "('test', 40, 20)"
    train limited --val test --val-limit 7 >metrics.jsonl
    assert_equal "$(events metrics.jsonl start "$(members val_images test_images)")" "(7, 7)"
}

@test "given rates are final; the scale multiplies the recipe's, or one that is given beside it" {
    rates() { # OPTION...: of the first epoch: experts, fusion module, head
        rm -rf run
        train run --steps 1 "$@" >metrics.jsonl
        events metrics.jsonl start "$(members lr_experts lr_fusion lr_global_head)"
    }
    # The experts have 16 features: the mission's 1e-4 is 1e-4 * 1.3 * 1.1 for them.
    assert_equal "$(rates)" "(1.43e-05, 0.0005, 0.0006)"
    assert_equal "$(rates --experts-lr-scale 0.5)" "(7.15e-05, 0.0005, 0.0006)"
    assert_equal "$(rates --lr-experts 4e-6)" "(4e-06, 0.0005, 0.0006)"
    assert_equal "$(rates --lr-experts 0.01 --lr-fusion 0.02 --experts-lr-scale 0.5)" \
        "(0.005, 0.02, 0.02)"
}

@test "rates are written as people write them, wherever they stand" {
    fusion-train --fusion multiplicative --data "$data" --experts "$experts" --checkpoint-dir run \
        --device ref --batch 8 --steps 1 --schedule constant --lr-experts 2e-5 \
        --experts-lr-scale 0.2 >metrics.jsonl 2>log
    grep -q ': rates 4e-06 experts, 0.0005 fusion, 0.0006 head, ' log
    assert_equal "$(metrics-csv metrics.jsonl | cut -d , -f 5,6,7)" \
        $'experts_lr,fusion_lr,global_head_lr\n4e-06,0.0005,0.0006'
    command=$(events metrics.jsonl start 'e["command_line"]')
    assert_regex "$command" ' --lr-experts 2e-05 .* --experts-lr-scale 0.2 '
    assert_equal "$(meta run/best.safetensors command)" "$command"
    assert_equal "$(fusion-train --print-schedule --fusion multiplicative --arch resnet18 \
        --lr-experts 4e-06 --epochs 1)" $'epoch\tlr_experts\tlr_fusion\tlr_global_head
1\t4e-06\t0.0005\t0.0005'
    # That command makes the run again, to the byte.
    ${command/ / --data "$data" --experts "$experts" --checkpoint-dir again --device ref --steps 1 } \
        >again.jsonl 2>/dev/null
    cmp run/best.safetensors again/best.safetensors
}

@test "--print-shapes prints every node and the parameters of the published networks" {
    run -0 fusion-train --print-shapes --fusion multiplicative --arch resnet18
    [[ "$output" == *11220132* ]]
    [[ "$output" == *"conv 3x3"* ]]
}

@test "--print-schedule prints the rates without training" {
    run -0 fusion-train --print-schedule --fusion concatenation --arch resnet18 --epochs 2
    assert_equal "$output" "epoch	lr_experts	lr_fusion	lr_global_head
1	1e-05	0.001	0.001
2	5.5e-06	0.00055	0.00055"
    # 36 images in batches of 8: one step beyond the first epoch.
    run -0 fusion-train --print-schedule --fusion concatenation --arch resnet18 --epochs 3 \
        --data "$data" --batch 8 --steps 6
    assert_line --index 0 "epoch	lr_experts	lr_fusion	lr_global_head	images_seen"
    assert_equal "$(cut -f 5 <<<"$output" | xargs)" "images_seen 36 44 44"
}

@test "the log names the task on each line" {
    run -0 bash -c 'fusion-train --fusion multiplicative --data "$1" --experts "$2" --task t-0 \
        --checkpoint-dir run --device ref --steps 1 --batch 4 --val-limit 4 2>&1 >/dev/null' - \
        "$data" "$experts"
    [ "${#lines[@]}" -gt 5 ]
    for line in "${lines[@]}"; do
        assert_regex "$line" '^\[t-0\] fusion-train: '
    done
}

# Prepared batches of a million images are 23 GiB, and here is less address space than that, however
# much memory the machine has.
in_4_gib() {
    ulimit -v $((4 << 20))
    train "$@"
}

@test "a run that does not fit into memory is refused with the number, and leaves no run" {
    [[ $FX_BUILD != *address* && $FX_BUILD != *thread* ]] ||
        skip "a sanitizer needs the whole address space; tests/unit/memory_check.c runs with it"
    fails_with 1 "fusion-train: memory: the run needs * GiB and * is *: reduce --batch (now 1000*" \
        in_4_gib run --batch 1000000 --val test
    assert_not_exists run
}

@test "a directory that holds a run is refused without --resume" {
    train run --steps 1 >/dev/null
    fails_with 2 "fusion-train: run: holds a run already: give --resume*" train run --steps 1
}

@test "what is missing or wrong is named" {
    fails_with 2 "fusion-train: --fusion NAME is required" fusion-train -q
    fails_with 2 "fusion-train: --data FILE is required" fusion-train -q --fusion concatenation
    fails_with 1 "fusion-train: no.safetensors: No such file*" train run --data no.safetensors
    fails_with 3 "fusion-train: stdin:*" train run --experts - </dev/null
    fails_with 2 "fusion-train: no: unexpected operand" train run no
    assert_not_exists run
}

@test "experts with another number of classes than the data are refused by name" {
    expert-load -q --arch "$tiny_arch" --classes 7 --init 1 -o seven.safetensors
    fails_with 3 "fusion-train: seven.safetensors: the experts have 7 classes, the data set * 5" \
        train run --experts seven.safetensors
}

@test "experts with values that are not finite, and of no architecture, are refused by name" {
    python3 - "$experts" <<'END'
import json, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
n, = struct.unpack("<Q", data[:8])
at = 8 + n + json.loads(data[8:8 + n])["expert_backbones.3.linear.bias"]["data_offsets"][0]
data[at:at + 8] = struct.pack("<2f", float("nan"), float("-inf"))
open("nan.safetensors", "wb").write(data)
END
    fails_with 3 \
        "fusion-train: nan.safetensors: expert_backbones.3.linear.bias: values that are not *: 2" \
        train run --experts nan.safetensors
    sed 's/"arch":"resnet18/"arch":"resnet19/' "$experts" >no.safetensors
    fails_with 3 "fusion-train: no.safetensors: metadata: unknown architecture 'resnet19' (*" \
        train run --experts no.safetensors
    expert-load -q --arch densenet121:growth=2,blocks=1-1-1-1 --classes 5 --init 1 \
        -o odd.safetensors
    fails_with 2 "fusion-train: fusion TransformerBase: needs a feature width that is a multiple*" \
        train run --experts odd.safetensors --fusion TransformerBase
    assert_not_exists run
}

@test "a stream that is cut is refused" {
    head -c 5000 "$experts" >cut.safetensors
    fails_with 3 "fusion-train: *" train run --experts - <cut.safetensors
}

@test "a stream that holds fusion module and head starts from them" {
    train first --lr-experts 0.001 --lr-fusion 0.01 >/dev/null
    fusion-eval -q --data "$data" --device ref --split val first/last.safetensors >eval.jsonl
    LOUDNESS=-v train second --experts first/last.safetensors --epochs 1 >metrics.jsonl 2>log
    grep -F "; fusion module and head begin as they are in the stream" log
    assert_equal "$(events metrics.jsonl eval "$(members accuracy loss ensemble_loss)")" \
        "$(events eval.jsonl eval "$(members accuracy loss ensemble_loss)")"
    # Without them the seed decides.
    LOUDNESS=-v train third --epochs 1 >third.jsonl 2>log
    run -1 grep -F "; fusion module and head" log
    run -1 diff <(events third.jsonl eval 'e["loss"]') <(events eval.jsonl eval 'e["loss"]')
    # Half of them is neither.
    run -3 --separate-stderr train fourth --experts first/last.safetensors --fusion concatenation
    assert_regex "${stderr_lines[0]}" "fusion_module.mlp.0.weight: shape: .*, expected "
}

@test "what differs from the architecture is listed" {
    python3 - "$experts" <<'END'
import json, struct, sys
f = open(sys.argv[1], "rb")
n, = struct.unpack("<Q", f.read(8))
header, body = json.loads(f.read(n)), f.read()
header["expert_backbones.1.conv9.weight"] = header.pop("expert_backbones.1.conv1.weight")
header["expert_backbones.2.bn1.bias"]["shape"] = [2, 1]
text = json.dumps(header).encode()
open("odd.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + body)
END
    run -3 --separate-stderr train run --experts odd.safetensors
    assert_equal "$output" ""
    assert_equal "${#stderr_lines[@]}" 4
    assert_regex "${stderr_lines[3]}" "^fusion-train: odd.safetensors: .*3 differences, the first: "
    assert_regex "${stderr_lines[*]}" "expert_backbones.1.conv9.weight: not in this architecture"
    assert_regex "${stderr_lines[*]}" "expert_backbones.2.bn1.bias: shape: .2, 1., expected .2."
}

@test "a disk that is full under standard output is an error" {
    [ -e /dev/full ] || skip "no /dev/full"
    run -1 --separate-stderr bash -c '"$@" >/dev/full' - fusion-train -q --fusion multiplicative \
        --data "$data" --experts "$experts" --checkpoint-dir run --device ref --batch 16 --steps 2
    assert_equal "${stderr_lines[*]}" "fusion-train: stdout: No space left on device"
}

@test "a device or arithmetic that is not there has its own exit status" {
    fails_with 2 "fusion-train: unknown device 'gpu' (there are: *" train run --device gpu
    fails_with 77 "fusion-train: device ref: computes in fp32 only" train run --precision bf16
    [ "${HAVE_CUDA:-0}" = 1 ] ||
        fails_with 77 "fusion-train: device cuda: *" train run --device cuda
    assert_not_exists run
}

@test "--precision auto is the faster one, and stays what it was when the run began" {
    chosen() { jq -r 'select(.event == "start").precision' run/history.jsonl; }

    train run --precision auto --steps 1
    assert_equal "$(chosen)" fp32
    train run --precision auto --resume --steps 2
    train run --precision auto --steps 2 --finished
    run ! grep -- '--precision auto' run/history.jsonl
    [ "${HAVE_DNNL:-1}" = 1 ] || return 0
    for isa in AVX512_CORE DEFAULT; do
        rm -r run
        wanted=fp32
        [ $isa = AVX512_CORE ] || ! grep -q amx_bf16 /proc/cpuinfo || wanted=bf16
        DNNL_MAX_CPU_ISA=$isa train run --device cpu --precision auto --steps 1
        assert_equal "$(chosen)" $wanted
    done
    # On a machine that would choose the other one.
    DNNL_MAX_CPU_ISA=$isa train run --device cpu --precision auto --resume --steps 2
    DNNL_MAX_CPU_ISA=AVX512_CORE_BF16 run train run --device cpu --precision auto --resume --steps 3
    [ "$wanted" = fp32 ] || assert_success
    assert_equal "$(chosen)" "$wanted"
}

@test "the progress line on a terminal of 80 columns shows time left, rate, loss and accuracy" {
    TERM=xterm script -qec "stty cols 80; fusion-train --fusion multiplicative --data '$data' \
        --experts '$experts' --checkpoint-dir run --device ref --epochs 3 --batch 4 >/dev/null" \
        /dev/null >screen.txt </dev/null
    run -0 grep -E "epoch 1/3, step [0-9]+/27, [0-9]+:[0-9]+ left, [0-9.]+ img/s: loss [0-9.]+, \
fused [0-9.]+ %" screen.txt
}

@test "a run that is refused has no summary of time and memory" {
    run -3 fusion-train --fusion multiplicative --data "$data" --checkpoint-dir run </dev/null
    assert_equal "${lines[-1]}" "fusion-train: stdin: empty"
    refute_output --partial "peak memory"
}
