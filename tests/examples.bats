#!/usr/bin/env bats
# Every example in a man page runs: the .Dl lines and .Bd -literal blocks of its section EXAMPLES,
# in order, in one scratch folder that holds the files listed in CONTRIBUTING.md.

load helper

setup_file() {
    export PREPARED=$BATS_FILE_TMPDIR/prepared
    mkdir "$PREPARED"
    cd "$PREPARED" || return
    mkcifar -o cifar-100-python.tar.gz --classes 100 --train 500 --test 100
    cifar-prep --export-splits . -o cifar100.safetensors cifar-100-python.tar.gz
    expert-load --quiet --arch resnet18:width=8 --init 1 -o experts.safetensors
    ckpt-split --quiet -d parts experts.safetensors
    for k in 0 1 2 3; do
        mv "parts/experts/resnet_expert_${k}_best.pth" expert_${k}_best.pth
    done
    rm -r parts
    mkdir run
    fusion-train --quiet --experts experts.safetensors --fusion multiplicative --epochs 1 \
        --batch 20 --data cifar100.safetensors --checkpoint-dir run >run/metrics.jsonl
}

# The commands of a page's EXAMPLES (roff escapes undone).
commands() {
    awk '
        /^\.Sh / { here = /^\.Sh EXAMPLES/ }
        !here { next }
        /^\.Dl / { sub(/^\.Dl /, ""); print; next }
        /^\.Ed/ { block = 0 }
        block
        /^\.Bd -literal/ { block = 1 }' "$1" |
        sed 's/\\e/\\/g; s/\\-/-/g; s/\\(aq/'"'"'/g; s/\\(dq/"/g; s/\\&//g'
}

# Runs the examples of one page, in its own copy of the prepared folder.
examples() {
    commands "$ROOT/man/$1" >"$BATS_TEST_TMPDIR/examples"
    [ -s "$BATS_TEST_TMPDIR/examples" ]
    cp -r "$PREPARED" "$BATS_TEST_TMPDIR/here"
    cd "$BATS_TEST_TMPDIR/here"
    run -0 bash -xeo pipefail "$BATS_TEST_TMPDIR/examples"
}

@test "cifar-corrupt(1)" { examples cifar-corrupt.1; }
@test "cifar-prep(1)" { examples cifar-prep.1; }
@test "cifar-view(1)" { examples cifar-view.1; }
@test "ckpt-export(1)" { examples ckpt-export.1; }
@test "ckpt-join(1)" { examples ckpt-join.1; }
@test "ckpt-split(1)" { examples ckpt-split.1; }
@test "expert-load(1)" { examples expert-load.1; }
@test "expert-train(1)" { examples expert-train.1; }
@test "fusion-eval(1)" { examples fusion-eval.1; }
@test "fusion-predict(1)" { examples fusion-predict.1; }
@test "fusion-spread(1)" { examples fusion-spread.1; }
@test "fusion-table(1)" { examples fusion-table.1; }
@test "fusion-top(1)" { examples fusion-top.1; }
@test "fusion-train(1)" { examples fusion-train.1; }
@test "metrics-csv(1)" { examples metrics-csv.1; }
@test "metrics-tensorboard(1)" { examples metrics-tensorboard.1; }
@test "metrics-wandb(1)" { examples metrics-wandb.1; }
@test "plot-curves(1)" { examples plot-curves.1; }
@test "runs-report(1)" { examples runs-report.1; }
@test "submit-all-fusions(1)" { examples submit-all-fusions.1; }
@test "fusion-dataset(5)" { examples fusion-dataset.5; }
@test "fusion-checkpoint(5)" { examples fusion-checkpoint.5; }
@test "fusion-metrics(5)" { examples fusion-metrics.5; }

@test "every page with examples stands above" {
    for page in "$ROOT"/man/*.[157]; do
        grep -q "^.Sh EXAMPLES" "$page" || continue
        grep -q "{ examples ${page##*/}; }" "$BATS_TEST_FILENAME" || fail "${page##*/} is missing"
    done
}
