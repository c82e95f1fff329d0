#!/usr/bin/env bats
# ckpt-split from outside: the layout, the metadata beside each file, the same bytes twice, and that
# neither damage nor a full disk nor a signal leaves a file under a final name.

load helper

arch=resnet18:width=8,blocks=1-1-1-1

# The whole checkpoint: fresh experts, and a made fusion and head, put together by ckpt-join.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    expert-load --quiet --init 1 --arch "$arch" -o experts.safetensors
    /usr/bin/python3 - <<'END'
import json, struct
def write(path, tensors):
    head, at = {}, 0
    for name, shape in tensors.items():
        n = 4
        for side in shape: n *= side
        head[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [at, at + n]}
        at += n
    text = json.dumps(head).encode()
    body = (bytes(range(96)) * (at // 96 + 1))[:at]
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + body)
D = 64
fusion = {f'norms.{k}.{p}': [D] for k in range(4) for p in ('weight', 'bias')}
fusion.update({f'mlp.{i}.weight': [D, D] for i in (0, 3)})
fusion.update({f'mlp.{i}.bias': [D] for i in (0, 3)})
write('fusion.safetensors', fusion)
write('head.safetensors', {'weight': [100, D], 'bias': [100]})
END
    ckpt-join --quiet --arch "$arch" --fusion multiplicative -o best.safetensors \
        experts.safetensors fusion.safetensors head.safetensors
}

best() { echo "$BATS_FILE_TMPDIR/best.safetensors"; }

@test "the files stand where the mission wants them, each with its .json" {
    ckpt-split --quiet -d out "$(best)"
    assert_equal "$(find out -type f -printf '%P\n' | sort)" "$(printf '%s\n' \
        experts/resnet_expert_{0,1,2,3}_best.{json,pth} \
        fusion/resnet_multiplicative_fusion_best.{json,pth} \
        global/resnet_multiplicative_global_head_best.{json,pth})"
}

@test "the names of files follow the family" {
    while read -r net family; do
        expert-load --quiet --init 1 --count 1 --arch "$net" | ckpt-split --quiet -d "$family"
        assert_exist "$family/experts/${family}_expert_0_best.pth"
    done <<'END'
densenet121:growth=8,blocks=1-1-1-1 densenet
resnet18:width=8,blocks=1-1-1-1 resnet
improved_wideresnet28_10:depth=10,width=1 improved_wide_resnet
preact_resnext29_8x64d:depth=11,cardinality=2,base_width=8 resnext
preact_resnet18:width=8,blocks=1-1-1-1 preact_resnet
END
}

@test "the prefix is off, the order is that of the state dict" {
    ckpt-split --quiet -d out "$(best)"
    run -0 expert-load --list out/fusion/resnet_multiplicative_fusion_best.pth
    assert_equal "${lines[0]}" "norms.0.weight	F32	(64,)"
    assert_equal "${lines[-1]}" "mlp.3.bias	F32	(64,)"
    assert_equal "${#lines[@]}" 12
    run -0 expert-load --list out/global/resnet_multiplicative_global_head_best.pth
    assert_output "weight	F32	(100, 64)
bias	F32	(100,)"
}

@test "both formats hold the same tensors" {
    ckpt-split --quiet -d p "$(best)"
    ckpt-split --quiet -d s --format safetensors "$(best)"
    for file in experts/resnet_expert_3_best fusion/resnet_multiplicative_fusion_best; do
        cmp <(expert-load --list p/$file.pth | sort) \
            <(expert-load --list s/$file.safetensors | sort)
    done
}

@test "the .json says what the component is and where it comes from" {
    expert-load --quiet --init 1 --count 1 --arch "$arch" -o e.safetensors
    ckpt-split --quiet -d out e.safetensors
    /usr/bin/python3 - out/experts/resnet_expert_0_best.json "$arch" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
assert d['component'] == 'expert_backbones.0', d
assert d['arch'] == sys.argv[2] and d['classes'] == 100, d
assert d['tool'] == 'ckpt-split' and d['source'] == 'e.safetensors', d
assert d['checkpoint']['init_seed'] == '1' and d['checkpoint']['tool'] == 'expert-load', d
END
}

@test "the same checkpoint gives the same bytes" {
    ckpt-split --quiet -d a "$(best)"
    ckpt-split --quiet -d b "$(best)"
    diff -r a b
}

@test "a zip that every other reader takes: aligned, dated, tested" {
    ckpt-split --quiet -d out "$(best)"
    /usr/bin/python3 - out/fusion/resnet_multiplicative_fusion_best.pth <<'END'
import struct, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
data = open(sys.argv[1], 'rb').read()
root = 'resnet_multiplicative_fusion_best/'
names = [i.filename for i in z.infolist()]
assert names == [root + n for n in ['data.pkl', 'byteorder'] +
                 [f'data/{i}' for i in range(12)] + ['version']], names
for i in z.infolist():
    n, extra = struct.unpack('<HH', data[i.header_offset + 26:i.header_offset + 30])
    assert (i.header_offset + 30 + n + extra) % 64 == 0, i
    assert i.date_time == (1980, 1, 1, 0, 0, 0) and i.compress_type == 0 and i.flag_bits == 0x800
END
}

@test "--list says where each tensor lies and goes, and writes nothing" {
    run -0 ckpt-split --list "$(best)"
    file=global/resnet_multiplicative_global_head_best.pth
    assert_line --regexp "^global_head.bias	F32	\(100,\)	[0-9]+	$file$"
    assert_equal "$(ls)" ""
    # The offset is that of the bytes: the head's bias, read by it, is what the .pth holds.
    offset=$(awk -F '\t' '$1 == "global_head.bias" { print $4 }' <<<"$output")
    ckpt-split --quiet --format safetensors -d out "$(best)"
    head=out/global/resnet_multiplicative_global_head_best.safetensors
    at=$(expert-load --list $head | grep -c .)
    assert_equal "$at" 2
    cmp <(tail -c +$((offset + 1)) "$(best)" | head -c 400) \
        <(tail -c $((400 + 25600)) $head | head -c 400)
}

@test "tensors of the trainer are not written" {
    /usr/bin/python3 - "$(best)" last.safetensors <<'END'
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n, = struct.unpack('<Q', data[:8])
head, body = json.loads(data[8:8 + n]), data[8 + n:]
at = len(body)
for name in ('optimizer.exp_avg.global_head.bias', 'train.state'):
    head[name] = {'dtype': 'F32', 'shape': [2], 'data_offsets': [at, at + 8]}
    at += 8
text = json.dumps(head).encode()
open(sys.argv[2], 'wb').write(struct.pack('<Q', len(text)) + text + body + bytes(16))
END
    run -0 ckpt-split --list last.safetensors
    assert_line --regexp "^train.state	F32	\(2,\)	[0-9]+	-$"
    ckpt-split --quiet -d a last.safetensors
    ckpt-split --quiet -d b "$(best)"
    diff -r --exclude '*.json' a b
}

@test "usage" {
    fails_with 2 'ckpt-split: -d: which directory? (or --list)' ckpt-split "$(best)"
    # An unset variable is not the root directory.
    run -2 --separate-stderr ckpt-split -d "" "$(best)"
    assert_equal "${stderr_lines[0]}" \
        "ckpt-split: --directory: needs a value DIR, not an empty one"
    fails_with 2 'ckpt-split: b: one checkpoint at a time' ckpt-split -d out a b
    run -2 ckpt-split --format zip -d out "$(best)"
}

@test "a stream that is cut leaves nothing" {
    run -3 --separate-stderr bash -c "head -c 100000 '$(best)' | ckpt-split -d out"
    assert_regex "$stderr" "^ckpt-split: stdin: "
    assert_not_exist out
}

@test "a checkpoint that lacks a tensor, or what it is, is refused" {
    /usr/bin/python3 - "$(best)" <<'END'
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n, = struct.unpack('<Q', data[:8])
def write(path, change):
    head = json.loads(data[8:8 + n])
    change(head)
    text = json.dumps(head).encode()
    open(path, 'wb').write(struct.pack('<Q', len(text)) + text + data[8 + n:])
write('noarch.safetensors', lambda h: h['__metadata__'].pop('arch'))
write('badarch.safetensors', lambda h: h['__metadata__'].update(arch='vgg'))
write('renamed.safetensors', lambda h: h.update({'x': h.pop('global_head.bias')}))
END
    fails_with 3 'ckpt-split: noarch.safetensors: metadata: no "arch"*' \
        ckpt-split -d out noarch.safetensors
    fails_with 3 'ckpt-split: badarch.safetensors: metadata: *vgg*' \
        ckpt-split -d out badarch.safetensors
    run -3 --separate-stderr ckpt-split -d out renamed.safetensors
    assert_equal "$stderr" "\
ckpt-split: global_head.bias: missing
ckpt-split: x: not in this architecture
ckpt-split: renamed.safetensors: 2 differences, the first: global_head.bias: missing"
    assert_not_exist out
}

@test "a full disk leaves nothing under a final name" {
    mkdir out
    run -1 bash -c "ulimit -f 100; ckpt-split -d out '$(best)'"
    assert_output --partial "File too large"
    assert_equal "$(find out -type f)" ""
}

@test "a directory that cannot be written" {
    touch file
    run -1 --separate-stderr ckpt-split -d file/below "$(best)"
    assert_regex "${stderr_lines[0]}" "^ckpt-split: .*Not a directory$"
}

@test "an interrupted split leaves nothing under a final name" {
    mkfifo pipe
    ckpt-split -d out pipe &
    pid=$!
    exec 9>pipe
    head -c 1000 "$(best)" >&9
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    assert_equal $status 143
    exec 9>&-
    assert_equal "$(find . -name '*_best*')" ""
}
