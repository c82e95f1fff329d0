#!/usr/bin/env bats
# Every dress in which a .pth has been seen, made by tests/pth_variants.py from one expert, is read
# to the same bytes; nothing that such a file names is ever run.

load helper

arch=resnet18:width=8,blocks=1-1-1-1

# The bytes of all tensors: what stands behind the header.
body() {
    local n
    n=$(od -An -tu8 -N8 "$1")
    tail -c +$((n + 9)) "$1"
}

load_one() {
    expert-load --quiet --count 1 --arch $arch -o "$2" "$1"
}

@test "all variants hold the same expert" {
    expert-load --quiet --count 1 --init 1 --arch $arch -o expert.safetensors
    ckpt-split --quiet -d split expert.safetensors
    python3 "$ROOT/tests/pth_variants.py" split/experts/resnet_expert_0_best.pth variants
    count=0
    for file in variants/*.pth; do
        load_one "$file" out.safetensors || fail "$file is not read"
        cmp <(body expert.safetensors) <(body out.safetensors) || fail "$file holds other bytes"
        count=$((count + 1))
    done
    echo "# $count variants" >&3
    assert [ "$count" -gt 40 ]
    assert_not_exist pwned
}

@test "the values beside the state dict go into the metadata" {
    expert-load --quiet --count 1 --init 1 --arch $arch | ckpt-split --quiet -d split
    python3 "$ROOT/tests/pth_variants.py" split/experts/resnet_expert_0_best.pth variants
    load_one variants/under-net.pth out.safetensors
    expert-load --verbose --list out.safetensors 2>said >/dev/null
    grep -qxF "expert-load: out.safetensors: expert.0.epoch = 7" said
    grep -qxF "expert-load: out.safetensors: expert.0.acc = 59.44" said
}

@test "--verbose says what was taken off" {
    expert-load --quiet --count 1 --init 1 --arch $arch | ckpt-split --quiet -d split
    python3 "$ROOT/tests/pth_variants.py" split/experts/resnet_expert_0_best.pth variants
    expert-load --verbose --list variants/prefix-module._orig_mod.module.pth 2>said >/dev/null
    assert_equal "$(<said)" "$(printf "expert-load: variants/prefix-module._orig_mod.module.pth: \
strips '%s' from all names\n" module. _orig_mod. module.)"
    expert-load --verbose --list variants/beside-a-command.pth 2>said >/dev/null
    assert_equal "$(head -n 1 said)" \
        "expert-load: variants/beside-a-command.pth: takes the tensors under 'state_dict'"
    expert-load --list variants/beside-ema.pth 2>said >/dev/null
    assert_equal "$(<said)" "expert-load: variants/beside-ema.pth: takes the tensors under \
'model', not those under 'model_ema'"
}

@test "a view without elements may begin behind its storage" {
    # torch.empty(2, 0)[1:]
    PYTHONPATH=$ROOT/tests/bad python3 - <<'END'
from torchfile import *
view = tensor(storage(numel=0), offset=1, size=(1, 0), stride=(1, 1))
open("view.pth", "wb").write(pth(state(view), storages=(b"",)))
END
    run -0 expert-load --list view.pth
    assert_output "$(printf 'weight\tF32\t(1, 0)')"
}
