#!/usr/bin/env bats
# What the make targets ask before anything starts: what is missing, wrong or misspelt is said in
# one line, and nothing is left behind.

load helper
load stand_ins

# refused WHY WORD...: make says this and nothing else, and nothing is there that was not before.
refused() {
    local before
    before=$(find . ! -name 'separate-stderr*' | sort)
    fails_with 2 "*/*.mk:*: ??? $1.  Stop." fusions "${@:2}"
    assert_equal "$(find . ! -name 'separate-stderr*' | sort)" "$before"
}

url=https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz

@test "what is missing is said before anything starts, in one line, with what to do" {
    local target fresh="make experts trains them, INIT=1 takes fresh ones" none="EXPERTS=none:"
    none+=" no such file: densenet/expert_0_best.pth and 15 more; $fresh"
    refused "DATA=x.tar.gz: no such file; get $url; and $none" DATA=x.tar.gz EXPERTS=none \
        all-fusions
    refused "$none" -j4 --keep-going EXPERTS=none all-pairs
    for target in all-fusions all-pairs resnet-concatenation experts resnet-experts \
        resnet-expert-2 singles resnet-single everything repeats; do
        refused "DATA=x: no such file; get $url" DATA=x INIT=1 -j4 $target
    done
    mkdir -p some/resnet
    touch some/resnet/expert_{0,1,3}_best.pth
    refused "EXPERTS=some: no such file: resnet/expert_2_best.pth; $fresh" EXPERTS=some \
        resnet-concatenation
    refused "HOLDOUT=x.npy: no such file; *" HOLDOUT=x.npy INIT=1 all-fusions
    mkfifo pipe
    refused "DATA=pipe: neither a file nor a folder; get $url" DATA=pipe INIT=1 all-fusions
    # What is trained by the same make is not missing, nor what finished runs have read.
    run -0 fusions -n EXPERTS=some resnet-expert-2 resnet-concatenation
    fusions INIT=1 resnet-concatenation
    run -0 fusions EXPERTS=none DATA=x DEVICE=nix resnet-concatenation
    # The data set is there, so the archive is not missed.
    run -0 fusions DATA=x INIT=1 resnet-multiplicative
    # make -n shows the commands all the same.
    run -0 fusions -n DATA=x OUT=new resnet-concatenation
    assert_line --partial "expert-load --arch 'resnet18' expert_training/checkpoints/resnet/"
}

@test "names that make cannot take, and folders that cannot be written" {
    local name
    for name in "a b" "a " a:b a%b -o "a'b" 'a"b' 'a\b' 'a;touch b' 'a#b' 'a*' 'a(b)' '' 'a&b'; do
        refused "OUT=*: one folder*" OUT="$name" INIT=1 all-fusions
    done
    refused 'OUT=a$b: one folder, *' OUT='a$$b' INIT=1 all-fusions
    refused "EXPERTS=a b: one folder, *" EXPERTS="a b" experts
    for name in DATA HOLDOUT WANDB TENSORBOARD; do
        refused "$name=a b: one name, without blanks, *" "$name=a b" INIT=1 all-fusions
        refused "$name=a'b: one name, without blanks, *" "$name=a'b" INIT=1 all-fusions
    done
    refused "OUT=archive.tar.gz/out: archive.tar.gz is no folder; give another OUT" \
        OUT=archive.tar.gz/out INIT=1 -j4 all-fusions
    refused "EXPERTS=archive.tar.gz/a/b: archive.tar.gz is no folder; give another EXPERTS" \
        EXPERTS=archive.tar.gz/a/b experts
    [ "$(id -u)" != 0 ] || return 0 # who may write everywhere
    mkdir mine
    chmod a-w mine
    refused "OUT=mine/out: no permission to write in mine; give another OUT" OUT=mine/out INIT=1 \
        -j4 all-fusions
}

@test "a device that is not there, tools that are not on the PATH" {
    refused "DEVICE=gpu: unknown; there are auto, cpu, ref, cuda, cuda:N" INIT=1 DEVICE=gpu \
        all-fusions
    rm bin/fusion-eval
    refused "DEVICE=cuda:77: *; DEVICE=cpu needs no GPU" INIT=1 DEVICE=cuda:77 experts
    # A runner starts the tools where the device is.
    stand_in there 'shift; exec "$@"'
    run -0 fusions INIT=1 DEVICE=cuda:77 RUNNER=there resnet-concatenation
    rm bin/expert-load
    local path=$PWD/bin:/usr/bin:/bin no_load
    no_load="expert-load: not found: the tools must be on the PATH"
    PATH=$path refused "$no_load" INIT=1 OUT=new all-fusions
    # Finished runs are compared with them.
    PATH=$path refused "$no_load" INIT=1 resnet-concatenation
}

@test "tables without the tools say so" {
    rm bin/metrics-csv
    mkdir run
    for script in fusion-table fusion-spread; do
        PATH=$PWD/bin:/usr/bin:/bin fails_with 1 \
            "$script: metrics-csv: not found; the tools must be on the PATH" \
            "$ROOT/pipelines/$script" run
    done
}

@test "a holdout that would not be used is refused; it stays beside the data set made with it" {
    echo one >one.npy
    echo one >same.npy
    echo two >two.npy
    touch ready.safetensors
    refused "HOLDOUT=one.npy: DATA=ready.safetensors has its own already; give the archive as \
DATA" INIT=1 DATA=ready.safetensors HOLDOUT=one.npy all-fusions
    stand_in cifar-prep 'echo data >"${@: -2:1}"'
    fusions INIT=1 HOLDOUT=one.npy resnet-concatenation
    local other="out/data.safetensors was made with another one; another holdout needs another OUT"
    for run in resnet-concatenation resnet-multiplicative; do
        refused "HOLDOUT=two.npy: $other" INIT=1 HOLDOUT=two.npy $run
    done
    run -0 fusions INIT=1 HOLDOUT=same.npy resnet-concatenation resnet-multiplicative
    # The runs of repeats get the data set that was made.
    run -0 fusions INIT=1 HOLDOUT=same.npy THREADS=1 SEEDS=1 RUNS=resnet-concatenation \
        repeat-seed-1-alpha-1
    # One that was drawn is another one.
    fusions INIT=1 OUT=drawn resnet-concatenation
    refused "HOLDOUT=one.npy: drawn/*" INIT=1 OUT=drawn HOLDOUT=one.npy resnet-concatenation
    stand_in cifar-prep 'exit 3'
    run -2 fusions INIT=1 HOLDOUT=one.npy OUT=new resnet-concatenation
    assert_not_exists new
}

@test "data of the wrong kind is told before anything starts" {
    rm bin/cifar-*
    echo '<html>' >page
    refused "DATA=page: is a web page, not a CIFAR archive; get $url again" DATA=page INIT=1 \
        -j4 all-fusions
    echo '<html>' >page.safetensors
    refused "DATA=page.safetensors: is a web page, not a data set; *" DATA=page.safetensors \
        INIT=1 experts
    mkcifar --train 200 --test 20 -o c.tar.gz
    cifar-prep -q -o ready c.tar.gz
    refused "DATA=ready: is a data set; call it NAME.safetensors" DATA=ready INIT=1 all-fusions
    # An extracted archive is as good; what only reading it shows leaves no folder behind.
    tar -xzf c.tar.gz
    run -0 fusions DATA=cifar-100-python INIT=1 resnet-concatenation
    cmp ready out/data.safetensors
    rm cifar-100-python/meta
    run -2 fusions DATA=cifar-100-python INIT=1 OUT=new -j4 all-fusions
    assert_line --partial "cifar-prep: cifar-100-python: meta is missing (cifar-100-python, by "
    assert_not_exists new
}

@test "a misspelt run: the names there are, and the likely one" {
    local pair
    refused "resnet-concatenate: no such run, perhaps resnet-concatenation; there are *" \
        resnet-concatenate
    for pair in {densenet,resnet,improved_wide_resnet,resnext}-{multiplicative,\
multiplicativeAddition,TransformerBase,concatenation,simpleAddition,multiplicativeShifted}; do
        assert_regex "$stderr" " ${pair}[ .]"
    done
    refused "resnext-multiplcative: no such run, perhaps resnext-multiplicative; there are *" \
        -n resnext-multiplcative
    refused "vgg-concatenation: no such run; there are densenet-multiplicative *" vgg-concatenation
    refused "resnet-expert-7: no such run; there are densenet-expert-0 * resnext-expert-3*" \
        resnet-expert-7
    refused "foo-experts: no such run; there are densenet-experts resnet-experts *" foo-experts
    refused "densnet-single: no such run, perhaps densenet-single; there are *" densnet-single
    refused "all-fusion: no such run, perhaps all-fusions; there are all-fusions all-pairs" \
        all-fusion
}
