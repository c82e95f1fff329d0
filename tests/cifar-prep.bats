#!/usr/bin/env bats
# cifar-prep: every layout gives the same data set, the splits are NumPy's, and a user's own holdout
# is taken or refused.  Damaged archives are in bad.bats.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$BATS_FILE_TMPDIR"/* .
}

# Two small archives for all tests: 203 training images, so that fractions have to be rounded.
setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    mkcifar --train 203 --test 21 --classes 7 -o python.tar.gz
    mkcifar --train 203 --test 21 --classes 7 --layout binary -o binary.tar.gz
    mkcifar --train 203 --test 21 --classes 7 --layout python-10 -o python-10.tar.gz
    mkcifar --train 203 --test 21 --classes 7 --layout binary-10 -o binary-10.tar.gz
}

# The bytes after the header.
content() { # FILE
    tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1"
}

metadata() { # FILE KEY: the value, as it stands in the JSON of the header
    head -c $((8 + $(od -An -tu8 -N8 "$1"))) "$1" | grep -ao "\"$2\":\"\([^\"\\\\]\|\\\\.\)*\"" |
        sed 's/^[^:]*:"//; s/"$//; s/\\"/"/g'
}

# An .npy file of int64 (or the TYPE) with these numbers.
npy() { # FILE TYPE NUMBER...
    local file=$1 type=$2 header byte
    shift 2
    header=$(printf "%-117s" "{'descr': '$type', 'fortran_order': False, 'shape': ($#,), }")
    {
        printf '\x93NUMPY\x01\x00\x76\x00%s\n' "$header"
        for number; do
            for byte in $(seq 0 $((${type:2} - 1))); do
                # shellcheck disable=SC2059
                printf "\\x$(printf %02x $((number >> 8 * byte & 255)))"
            done
        done
    } >"$file"
}

numpy_python() {
    /usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "no Python with NumPy"
}

@test "both layouts give the same data set, from a file and from a pipe" {
    cifar-prep -o python.safetensors python.tar.gz
    cifar-prep -o binary.safetensors binary.tar.gz
    cmp <(content python.safetensors) <(content binary.safetensors)
    assert_equal "$(metadata python.safetensors digest)" "$(metadata binary.safetensors digest)"
    assert_equal "$(metadata binary.safetensors source)" cifar-100-binary

    # shellcheck disable=SC2002
    cat python.tar.gz | cifar-prep | cmp - python.safetensors
    cifar-prep - <python.tar.gz | cmp - python.safetensors
    gzip -dc python.tar.gz | cifar-prep | cmp - python.safetensors
    { gzip -dc python.tar.gz | head -c 100000 | gzip -1
      gzip -dc python.tar.gz | tail -c +100001 | gzip -9
      head -c 1000 /dev/zero; } | cifar-prep | cmp - python.safetensors
}

@test "an extracted archive is as good as the archive, in every layout" {
    local layout
    for layout in python binary python-10 binary-10; do
        mkdir "$layout"
        tar -xzf "$layout.tar.gz" -C "$layout"
        cifar-prep -o wanted.safetensors "$layout.tar.gz"
        # The folder itself, with a slash, through a link, and the folder around it.
        ln -s "$PWD/$layout"/cifar* link
        for folder in "$layout"/cifar* "$layout"/cifar*/ link "$layout" "$layout/"; do
            cifar-prep "$folder" | cmp - wanted.safetensors || fail "$folder"
        done
        rm link
    done
    # torchvision's root: the archive is still there, and so are other things.
    touch python/cifar-100-python.tar.gz python/cifar-100-python/file.txt~
    mkdir python/train python/cifar-100-python/test.bin
    cifar-prep -o wanted.safetensors python.tar.gz
    cifar-prep python | cmp - wanted.safetensors
    # Members may be links, as on a shared disk.
    mv python/cifar-100-python/train elsewhere
    ln -s "$PWD/elsewhere" python/cifar-100-python/train
    cifar-prep python/cifar-100-python | cmp - wanted.safetensors
}

@test "an extracted archive is checked as the archive is" {
    local folder=root/cifar-100-python ten=root/cifar-10-batches-py
    refused() { # WHY [FOLDER]
        fails_with 3 "cifar-prep: $1" timeout 30 cifar-prep -o c.safetensors "${2:-$folder}"
        assert_not_exists c.safetensors
    }
    mkdir root
    tar -xzf python.tar.gz -C root
    mv $folder/test kept
    refused "$folder: test is missing (cifar-100-python, by its member train)"
    mkfifo $folder/test
    refused "$folder: test: not a regular file"
    ln -sf /dev/zero $folder/test
    refused "$folder: test: not a regular file"
    ln -sf nowhere $folder/test
    refused "$folder: test is missing *"
    ln -sf test $folder/test
    fails_with 1 "cifar-prep: $folder: test: Too many levels *" cifar-prep -o c.safetensors $folder
    rm $folder/test
    truncate -s 3G $folder/test
    refused "$folder: test: has 3221225472 bytes, more than 2048 MiB"
    head -c 5000 kept >$folder/test
    refused "$folder: test: *"
    mv kept $folder/test
    touch $folder/train.bin
    refused "$folder: train belongs to cifar-100-python, train.bin to cifar-100-binary"
    rm $folder/train.bin
    mkdir $ten
    refused "root: holds cifar-100-python and cifar-10-batches-py; name one of them" root
    refused "$ten: holds no member of a CIFAR archive" $ten
    chmod 0 $folder/meta
    [ "$(id -u)" = 0 ] || fails_with 1 "cifar-prep: $folder: meta: Permission denied" \
        cifar-prep -o c.safetensors $folder
}

@test "CIFAR-10 in both layouts, its batches in any order" {
    cifar-prep -o python.safetensors python-10.tar.gz
    cifar-prep -o binary.safetensors binary-10.tar.gz
    cmp <(content python.safetensors) <(content binary.safetensors)
    assert_equal "$(metadata python.safetensors coarse_labels)" '["all"]'
    assert_equal "$(metadata python.safetensors mean)" '[0.4914,0.4822,0.4465]'
    assert_equal "$(metadata python.safetensors std)" '[0.247,0.2435,0.2616]'
    # The images are those of CIFAR-100 with the same seed, put together from five batches.
    cifar-prep -o hundred.safetensors python.tar.gz
    local n=$((203 * 3072))
    cmp <(tail -c $n python.safetensors) <(tail -c $n hundred.safetensors)
}

@test "tar from other writers is read as well" {
    mkdir all
    tar -xzf python.tar.gz -C all
    touch all/cifar-100-python/._train all/cifar-100-python/file.txt~
    cifar-prep -o wanted.safetensors python.tar.gz
    for format in v7 ustar gnu pax; do
        tar --format=$format -C all -cf - ./cifar-100-python | cifar-prep | cmp - wanted.safetensors
    done
    (cd all/cifar-100-python && tar -czf ../../flat.tar.gz meta train test)
    cifar-prep flat.tar.gz | cmp - wanted.safetensors
}

@test "metadata says what the data set is" {
    cifar-prep --seed 7 --val-fraction 0.25 -o c.safetensors python.tar.gz
    assert_equal "$(metadata c.safetensors classes)" 7
    assert_equal "$(metadata c.safetensors fine_labels)" '["class_000","class_001","class_002",'\
'"class_003","class_004","class_005","class_006"]'
    assert_equal "$(metadata c.safetensors coarse_labels)" '["group_000","group_001"]'
    assert_equal "$(metadata c.safetensors mean)" '[0.5071,0.4865,0.4409]'
    assert_equal "$(metadata c.safetensors std)" '[0.2673,0.2564,0.2762]'
    assert_equal "$(metadata c.safetensors source)" cifar-100-python
    assert_equal "$(metadata c.safetensors split)" \
        'seed 7; holdout: 0.2 of the training images; val: 0.25 of the holdout'
    local digest
    digest=$({ content c.safetensors
               printf %s '[0.5071,0.4865,0.4409]' '[0.2673,0.2564,0.2762]'; } | sha256sum)
    assert_equal "$(metadata c.safetensors digest)" "${digest%% *}"

    cifar-prep --mean 0.1,-0.2,0 --std 1,2,0.5 -o own.safetensors python.tar.gz
    assert_equal "$(metadata own.safetensors mean)" '[0.1,-0.2,0.0]'
    assert_equal "$(metadata own.safetensors std)" '[1.0,2.0,0.5]'
    refute [ "$(metadata own.safetensors digest)" = "$(metadata c.safetensors digest)" ]
}

@test "the data set equals what Python reads and NumPy splits" {
    numpy_python
    cifar-prep -o c.safetensors python.tar.gz
    /usr/bin/python3 - <<'END'
import json, pickle, struct, tarfile
import numpy as np
raw = open("c.safetensors", "rb").read()
begin = 8 + struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:begin])
def tensor(name):
    entry = header[name]
    a, b = entry["data_offsets"]
    dtype = {"I64": "<i8", "U8": "u1"}[entry["dtype"]]
    return np.frombuffer(raw[begin + a:begin + b], dtype).reshape(entry["shape"])
archive = tarfile.open("python.tar.gz")
for part in "train", "test":
    batch = pickle.load(archive.extractfile("cifar-100-python/" + part), encoding="latin1")
    assert (tensor(part + ".images").reshape(-1, 3072) == batch["data"]).all()
    assert (tensor(part + ".fine") == batch["fine_labels"]).all()
    assert (tensor(part + ".coarse") == batch["coarse_labels"]).all()
rng = np.random.default_rng
order = np.arange(203)
rng(42).shuffle(order)
holdout, pool = np.sort(order[:40]), np.sort(order[40:])
assert (tensor("split.fusion_holdout") == holdout).all()
assert (tensor("split.expert_pool") == pool).all()
drawn = rng(42).permutation(pool)
for k in range(4):
    own = drawn[65 + 24 * k:65 + 24 * (k + 1)]
    assert (tensor(f"split.expert.{k}") == np.concatenate([drawn[:65], own])).all()
assert (tensor("split.val") == np.sort(rng(42).permutation(holdout)[:4])).all()
END
}

@test "pickles written by this Python are read as well" {
    numpy_python
    cifar-prep -o wanted.safetensors python.tar.gz
    local variant
    for variant in 2 3 4 5 "2 bytes" "4 bytes reversed" "5 fortran" "2 fortran small" \
        "4 arrays" "5 arrays reversed bytes"; do
        # shellcheck disable=SC2086
        /usr/bin/python3 "$ROOT/tests/repickle.py" python.tar.gz again.tar.gz $variant
        cifar-prep -o again.safetensors again.tar.gz
        cmp again.safetensors wanted.safetensors || fail "protocol and kinds: $variant"
    done
    cifar-prep -o wanted.safetensors python-10.tar.gz
    /usr/bin/python3 "$ROOT/tests/repickle.py" python-10.tar.gz again.tar.gz 4 bytes
    cifar-prep again.tar.gz | cmp - wanted.safetensors
}

@test "the default split of the real archive is the original's, in seconds, in little memory" {
    skip_without CIFAR100
    skip_without SPLITS
    local before=$SECONDS
    run -0 --separate-stderr cifar-prep -v --export-splits splits -o c.safetensors "$CIFAR100"
    assert [ $((SECONDS - before)) -le 60 ]
    cmp splits/fusion_holdout_indices.npy "$SPLITS/fusion_holdout_indices.npy"
    cmp splits/expert_train_indices.npy "$SPLITS/expert_train_indices.npy"
    assert_equal "$(metadata c.safetensors digest)" \
        b1e6283ddae9f98505a543c8a784f3f05c14840f9824057aa46b0964817914c5
    # Twice the data set is 354 MiB; the address sanitizer keeps what was freed.
    [[ $FX_BUILD != *address* ]] || return 0
    local memory
    memory=$(grep -o 'peak memory [0-9]*' <<<"$stderr")
    assert [ "${memory##* }" -lt 354 ]
}

@test "--export-splits writes what --holdout reads" {
    cifar-prep --export-splits splits -o c.safetensors python.tar.gz
    cifar-prep --holdout splits/fusion_holdout_indices.npy -o again.safetensors python.tar.gz
    cmp <(content c.safetensors) <(content again.safetensors)
    assert_equal "$(metadata again.safetensors split)" \
        'seed 42; holdout: given; val: 0.1 of the holdout'
    assert_equal "$(find splits -type f | sort)" \
        "$(printf 'splits/%s\n' expert_shares.txt \
            expert_train_indices.npy fusion_holdout_indices.npy)"
}

# The tensor's numbers, from its place in the file.
split() { # FILE NAME
    local begin from to
    begin=$((8 + $(od -An -tu8 -N8 "$1")))
    IFS=, read -r from to < <(head -c "$begin" "$1" |
        grep -ao "\"$2\":{[^}]*}" | sed 's/.*data_offsets":\[//; s/\].*//')
    tail -c +$((begin + from + 1)) "$1" | head -c $((to - from)) | od -An -v -tu8 | xargs
}

@test "a user's own holdout of any integer type, in any order" {
    local type
    for type in '<i8' '<i4' '<u2' '|u1' '<u8' '|i1'; do
        npy own.npy "$type" 120 3 77 4
        cifar-prep --holdout own.npy -o c.safetensors python.tar.gz
        assert_equal "$(split c.safetensors split.fusion_holdout)" "3 4 77 120"
        assert_equal "$(split c.safetensors split.val | wc -w)" 1
        assert_equal "$(split c.safetensors split.expert_pool | wc -w)" 199
    done
    # The first expert's share: 40 % and 15 % of 199.
    assert_equal "$(split c.safetensors split.expert.0 | wc -w)" $((79 + 29))
}

@test "a holdout of every image leaves the experts nothing" {
    # shellcheck disable=SC2046
    npy all.npy '<i2' $(seq 202 -1 0)
    cifar-prep --holdout all.npy -o c.safetensors python.tar.gz
    assert_equal "$(split c.safetensors split.fusion_holdout)" "$(seq 0 202 | xargs)"
    assert_equal "$(split c.safetensors split.expert_pool)" ""
    assert_equal "$(split c.safetensors split.expert.3)" ""
    assert_equal "$(split c.safetensors split.val | wc -w)" 20
    cifar-prep --holdout-fraction 1 -o again.safetensors python.tar.gz
    cmp <(content c.safetensors) <(content again.safetensors)
}

@test "the same archive and options give the same bytes" {
    cifar-prep -o one.safetensors python.tar.gz
    cifar-prep -o two.safetensors python.tar.gz
    cmp one.safetensors two.safetensors
    cifar-prep --seed 43 -o three.safetensors python.tar.gz
    run -1 cmp -s one.safetensors three.safetensors
}

@test "a full disk, a dead consumer and a signal leave nothing behind" {
    run -1 --separate-stderr bash -c 'cifar-prep python.tar.gz >/dev/full'
    assert_equal "${stderr_lines[0]}" "cifar-prep: stdout: No space left on device"
    run -1 cifar-prep -o /dev/full python.tar.gz
    run --separate-stderr bash -c 'cifar-prep -q python.tar.gz | true; exit ${PIPESTATUS[0]}'
    assert_equal "$status" 141
    assert_equal "$stderr" ""

    mkdir empty
    mkfifo pipe
    cifar-prep -o empty/c.safetensors --export-splits empty/splits pipe &
    exec 5>pipe
    head -c 100000 python.tar.gz >&5
    sleep 0.2
    kill -TERM $!
    local how=0
    wait $! || how=$?
    exec 5>&-
    assert_equal "$how" 143
    assert_equal "$(ls -A empty)" ""
}

@test "a producer that dies is noticed" {
    mkdir empty
    run -3 --separate-stderr bash -c 'set -o pipefail
        { head -c 100000 python.tar.gz; kill -KILL $BASHPID; } | cifar-prep -o empty/c.safetensors'
    assert_equal "${stderr_lines[-1]}" "cifar-prep: stdin: the gzip data is cut off"
    assert_equal "$(ls -A empty)" ""
}

@test "command lines that make no sense exit 2" {
    local usage
    for usage in "--holdout-fraction 1.5" "--holdout-fraction 0" "--val-fraction 1" "--seed -1" \
        "--seed 1.5" "--mean 1,2" "--mean 1,2,x" "--mean 1,2,3,4" "--std 1,0,1" "--std nan,1,1" \
        "--std 1,1,1e-300" "--mean 1e300,1,1" "--holdout x.npy --holdout-fraction 0.1" \
        "other.tar.gz"; do
        # shellcheck disable=SC2086
        run -2 --separate-stderr cifar-prep -o c.safetensors $usage python.tar.gz
        assert_regex "${stderr_lines[0]}" '^cifar-prep: '
        assert_not_exists c.safetensors
    done
    run -1 cifar-prep -o c.safetensors no-such.tar.gz
    run -1 cifar-prep -o no/such/folder/c.safetensors python.tar.gz
    run -1 cifar-prep -o c.safetensors --holdout no-such.npy python.tar.gz
    assert_not_exists c.safetensors
}
