#!/usr/bin/env bats
# A file of the wrong kind: every tool says what it is and which tool it belongs to, by its content,
# whatever its name, from a file and from a pipe.

load helper
load tiny

# A file of every kind in kinds/, under names that say nothing.
setup_file() {
    tiny_data
    mkdir kinds
    cp cifar.tar.gz kinds/gzip
    gzip -dc cifar.tar.gz >kinds/tar
    tar -xzf cifar.tar.gz
    cp cifar-100-python/train kinds/pickle
    cp data.safetensors kinds/dataset
    cp experts.safetensors kinds/experts
    mkdir run kinds/directory
    fusion-train -q --fusion multiplicative --data data.safetensors --checkpoint-dir run \
        --device ref --steps 1 --batch 8 --val-limit 8 <experts.safetensors >kinds/metrics
    cp run/best.safetensors kinds/checkpoint
    ckpt-split -q -d parts run/best.safetensors
    ckpt-split -q -d parts --format safetensors run/best.safetensors
    cp parts/experts/resnet_expert_0_best.pth kinds/pth
    cp parts/experts/resnet_expert_0_best.safetensors kinds/expert
    cp parts/experts/resnet_expert_0_best.json kinds/json
    cp parts/fusion/*.safetensors kinds/fusion
    cp parts/global/*.safetensors kinds/head
    fusion-eval -q --device ref --data data.safetensors --limit 8 --logits kinds/logits \
        run/best.safetensors >/dev/null
    # As safetensors' own library writes an expert: nothing but names and numbers.
    python3 - kinds/weights <<'END'
import json, struct, sys
header = json.dumps({"conv1.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
END
    cifar-prep -q --export-splits splits -o /dev/null cifar.tar.gz
    cp splits/fusion_holdout_indices.npy kinds/npy
    cifar-view -n 1 -o kinds/png data.safetensors
    metrics-csv -q -o kinds/csv kinds/metrics
    printf '\xff\xd8\xff\xe0\0\x10JFIF\0' >kinds/jpeg
    printf 'PK\3\4 some other zip' >kinds/zip
    printf '\xfd7zXZ\0\0\4' >kinds/xz
    printf '  <!DOCTYPE html>\n<html><body>404</body></html>\n' >kinds/page
    printf 'version https://git-lfs.github.com/spec/v1\n' >kinds/pointer
    echo 'see the other file' >kinds/text
    : >kinds/nothing
}

setup() {
    enter_test
    cp -r "$BATS_FILE_TMPDIR/kinds/." .
}

# What each kind is called.
declare -gA phrase=([gzip]="a gzip file" [tar]="a tar archive" [zip]="a zip archive"
    [xz]="an xz file" [pickle]="a Python pickle" [npy]="a NumPy array" [pth]="a PyTorch file"
    [dataset]="a data set" [experts]="an experts stream" [checkpoint]="a checkpoint"
    [expert]="an expert" [weights]="a file of weights" [fusion]="a fusion module"
    [head]="a global head" [logits]="a file of logits" [metrics]="a metrics stream"
    [json]="a JSON file" [csv]="a CSV table" [text]="a text file" [png]="a PNG picture"
    [jpeg]="a JPEG picture" [page]="a web page" [pointer]="a Git LFS pointer" [nothing]="empty"
    [directory]="a directory")

# refuses WANTED ACCEPTED COMMAND...: every kind but those of the list ACCEPTED, in place of FILE.
refuses() {
    local wanted=$1 accepted=" $2 " kind
    shift 2
    for kind in "${!phrase[@]}"; do
        [[ $accepted == *" $kind "* ]] ||
            fails_with 3 "$1: $kind: is ${phrase[$kind]}, not $wanted; ?*" "${@//FILE/$kind}"
    done
    assert_not_exists made
}

# The same from a pipe.
refuses_piped() {
    local wanted=$1 accepted=" $2 directory nothing " kind
    shift 2
    for kind in "${!phrase[@]}"; do
        [[ $accepted == *" $kind "* ]] ||
            fails_with 3 "$1: stdin: is ${phrase[$kind]}, not $wanted; ?*" \
                bash -c 'cat "$1" | "${@:2}"' - "$kind" "$@"
    done
    assert_not_exists made
}

@test "an archive" {
    refuses "a CIFAR archive" "gzip tar directory" cifar-prep -o made FILE
    refuses_piped "a CIFAR archive" "gzip tar" cifar-prep -o made
    refuses "a list of image numbers" "npy" cifar-prep --holdout FILE -o made gzip
}

@test "a data set" {
    refuses "a data set" "dataset" cifar-view -o made FILE
    refuses_piped "a data set" "dataset" cifar-view -o made
    refuses "a data set" "dataset" fusion-eval -q --device ref --data FILE checkpoint
    refuses "a data set" "dataset" fusion-train -q --fusion multiplicative --data FILE \
        --device ref --checkpoint-dir made --experts experts
    refuses "a data set" "dataset" expert-train -q --arch "$tiny_arch" --expert 0 --data FILE \
        --device ref --checkpoint-dir made
}

@test "an expert, or any tensors" {
    refuses "an expert" "pth expert weights zip" \
        expert-load --count 1 --arch "$tiny_arch" --classes 5 -o made FILE
    refuses_piped "an expert" "pth expert weights zip" \
        expert-load --count 1 --arch "$tiny_arch" --classes 5 -o made -
    refuses "a file of tensors" \
        "pth zip expert weights fusion head experts checkpoint dataset logits" \
        expert-load --list FILE
    refuses "a model or a part of one" "pth zip expert weights fusion head experts checkpoint" \
        ckpt-join --arch "$tiny_arch" --fusion multiplicative --classes 5 -o made FILE
}

@test "an experts stream or a checkpoint" {
    refuses "an experts stream" "experts checkpoint" fusion-train -q --fusion multiplicative \
        --data dataset --device ref --checkpoint-dir made --experts FILE
    refuses_piped "an experts stream" "experts checkpoint" fusion-train -q --device ref \
        --fusion multiplicative --data dataset --checkpoint-dir made
    local either="a checkpoint or experts stream"
    refuses "$either" "experts checkpoint" ckpt-split -d made FILE
    refuses_piped "$either" "experts checkpoint" ckpt-split -d made
    refuses "$either" "experts checkpoint" ckpt-export -o made FILE
    refuses_piped "$either" "experts checkpoint" ckpt-export -o made
    refuses "$either" "experts checkpoint" fusion-eval -q --device ref --data dataset FILE
    refuses_piped "$either" "experts checkpoint" fusion-eval -q --device ref --data dataset
}

@test "metrics, or a directory of runs" {
    local tool
    for tool in metrics-csv metrics-wandb metrics-tensorboard; do
        # A directory may be a run's.
        refuses "a metrics stream" "metrics $([ $tool != metrics-csv ] || echo directory)" \
            $tool FILE
        refuses_piped "a metrics stream" "metrics" $tool
    done
    refuses "a directory of runs" "directory" fusion-top FILE
    refuses "a directory of runs" "directory" runs-report -o made FILE
}

@test "the tool that it belongs to is named" {
    local eval=(fusion-eval -q --device ref --data dataset)
    fails_with 3 "*; pass it through expert-load" "${eval[@]}" pth
    fails_with 3 "*; pass it through expert-load" "${eval[@]}" weights
    fails_with 3 "*; pass it through ckpt-join" "${eval[@]}" head
    fails_with 3 "*; name a file in it, as best.safetensors" "${eval[@]}" directory
    fails_with 3 "*; pass it through cifar-prep" cifar-view -o made gzip
    local load=(expert-load --count 1 --arch "$tiny_arch" -o made)
    fails_with 3 "*; ckpt-split takes its experts out" "${load[@]}" checkpoint
    fails_with 3 "*; fusion-train and fusion-eval read it as it is, *" "${load[@]}" experts
    fails_with 3 "*; run git lfs pull" "${load[@]}" pointer
    local page="is a web page, not a CIFAR archive"
    fails_with 3 \
        "*: $page; get https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz again" \
        cifar-prep -o made page
    fails_with 3 "*; pass the folder that it lies in" cifar-prep -o made pickle
    fails_with 3 "*: is empty, *; get https://* again" cifar-prep -o made nothing
    fails_with 3 "*; unpack it and pass the folder" cifar-prep -o made zip
    fails_with 3 "*; unpack it and pass the folder" cifar-prep -o made xz
    fails_with 3 "*; nothing is left to do; pass it as --data" cifar-prep -o made dataset
    fails_with 3 "*; cifar-prep makes one of an extracted archive" cifar-view -o made directory
    fails_with 3 "*; pass it through cifar-prep" cifar-view -o made tar
    fails_with 3 "*; the download failed" cifar-view -o made page
    fails_with 3 "*; pass it through expert-load" "${eval[@]}" expert
    fails_with 3 "*; name a file in it, as metrics.jsonl" metrics-tensorboard directory
    fails_with 3 "*; unpack it first" metrics-csv gzip
    fails_with 3 "*; unpack it first" "${load[@]}" xz
    fails_with 3 "*: is a checkpoint, not an expert; ckpt-split takes its experts out" \
        expert-load --arch "$tiny_arch" checkpoint
    fails_with 3 "*; if PyTorch wrote it (2016), load it once *" "${load[@]}" tar
    fails_with 3 "*; torch.save writes what is read" "${load[@]}" pickle
}

@test "without better advice it is said where what is wanted comes from" {
    fails_with 3 "*; get https://*.tar.gz" cifar-prep -o made text
    fails_with 3 "*; cifar-prep makes one of the archive" cifar-view -o made text
    fails_with 3 "*; numpy.save and cifar-prep --export-splits write one" \
        cifar-prep --holdout text -o made gzip
    fails_with 3 "*; expert-train -o writes one" \
        expert-load --count 1 --arch "$tiny_arch" -o made text
    fails_with 3 "*; .pth and .safetensors are" expert-load --list text
    fails_with 3 "*; ckpt-split writes the parts" \
        ckpt-join --arch "$tiny_arch" --fusion multiplicative -o made text
    fails_with 3 "*; expert-load makes one" fusion-train -q --fusion multiplicative \
        --data dataset --device ref --checkpoint-dir made --experts text
    fails_with 3 "*; fusion-train writes one, DIR/best.safetensors" ckpt-split -d made text
    fails_with 3 "*; fusion-train writes one to standard output" metrics-csv text
    fails_with 3 "*; name the directory it lies in" fusion-top text
}

@test "other packed files, pictures and pickles are told by their first bytes" {
    told() { # PHRASE BYTES
        printf '%b' "$2" >other
        fails_with 3 "metrics-csv: other: is $1, not a metrics stream; *" metrics-csv other
    }
    told "a bzip2 file" 'BZh91'
    told "a Zstandard file" '\x28\xb5\x2f\xfd'
    told "a 7z archive" '7z\xbc\xaf\x27\x1c'
    told "a RAR archive" 'Rar!\x1a\x07'
    told "a GIF picture" 'GIF89a'
    told "a PDF document" '%PDF-1.7'
    told "an HDF5 file" '\x89HDF\r\n\x1a\n'
    for protocol in 2 3 4 5; do told "a Python pickle" "\x80\x0$protocol}q"; done
    # torch.save before 1.6, with the pickle protocol that it had, and with a newer one.
    local magic='\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.'
    told "a PyTorch file" "\x80\x02$magic"
    told "a PyTorch file" "\x80\x04\x95\x0d\0\0\0\0\0\0\0$magic"
    told "a whole model of PyTorch" "\x80\x02${magic}expert_backbones."
}

@test "a whole model of PyTorch belongs to ckpt-join" {
    python=$(torch_python)
    [ -n "$python" ] || skip "no PyTorch to write one with"
    "$python" -c 'import torch
state = {"expert_backbones.0.conv1.weight": torch.zeros(2)}
torch.save(state, "whole.pth")
torch.save(state, "old.pth", _use_new_zipfile_serialization=False)'
    for file in whole.pth old.pth; do
        fails_with 3 "*: $file: is a whole model of PyTorch, not *; pass it through ckpt-join" \
            fusion-eval -q --device ref --data dataset $file
    done
}

@test "checkpoints that PyTorch users have made are told" {
    skip_without PTH_SAMPLES
    for file in "$PTH_SAMPLES"/*; do
        fails_with 3 "fusion-eval: $file: is a PyTorch file, not *; pass it through expert-load" \
            fusion-eval -q --device ref --data dataset "$file"
    done
}

@test "what is damaged is not taken for something else" {
    head -c 3000 dataset >short
    fails_with 3 "cifar-view: short: cut off: *" cifar-view -o made short
    head -c 300 checkpoint >short
    fails_with 3 "ckpt-split: short: cut off: *" ckpt-split -d made short
    head -c 10 metrics >short
    fails_with 3 "metrics-csv: short: line 1: cut off before its end" metrics-csv short
    head -c 500 gzip >short
    fails_with 3 "cifar-prep: short: the gzip data is cut off" cifar-prep -o made short
}

@test "a stream that is refused is not waited for" {
    mkfifo pipe
    { printf '<html>waits for more'; sleep 60; } >pipe 3>&- &
    fails_with 3 "fusion-eval: stdin: is a web page, not *" timeout 30 \
        fusion-eval -q --device ref --data dataset <pipe
    kill $!
    fails_with 3 "fusion-eval: stdin: empty" fusion-eval -q --device ref --data dataset </dev/null
}
