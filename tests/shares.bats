#!/usr/bin/env bats
# cifar-prep --shares: what each rule promises of the experts' images; files of shares, right and
# wrong; the default is that of before.

load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    mkcifar --train 3000 --test 20 --classes 20 -o cifar.tar.gz
    mkcifar --train 300 --test 20 --classes 7 --layout python-10 -o ten.tar.gz
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$BATS_FILE_TMPDIR"/*.tar.gz .
}

# shares FILE EXPRESSION: of a data set.  In the expression, S are the shares as lists, fine and
# coarse the labels, pool the pool, K the number of experts.
shares() {
    python3 - "$@" <<'P'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n, = struct.unpack("<Q", data[:8])
head = json.loads(data[8:8 + n])
def read(name):
    begin, end = head[name]["data_offsets"]
    form = {"U8": "B", "I64": "q"}[head[name]["dtype"]]
    raw = data[8 + n + begin:8 + n + end]
    return list(struct.unpack(f"<{len(raw) // struct.calcsize(form)}{form}", raw))
S = [read(f"split.expert.{k}") for k in range(8) if f"split.expert.{k}" in head]
K, pool, holdout = len(S), read("split.expert_pool"), set(read("split.fusion_holdout"))
fine, coarse = read("train.fine"), read("train.coarse")
assert all(set(s) <= set(pool) and len(set(s)) == len(s) for s in S)
print(eval(f"({sys.argv[2]})"))
P
}

prep() { # FILE OPTION...
    cifar-prep -q -o "$1" "${@:2}" cifar.tar.gz
}

@test "iid: the default, for any number of experts" {
    local k
    prep default
    prep four --experts 4 --shares iid
    cmp default four
    for k in 2 3 8; do
        prep other --experts $k
        # 40 % for all of them, 60 % / K for each; the pool has 2400 images.
        assert_equal "$(shares other 'K, {len(s) for s in S}, len(set.intersection(*map(set, S))),
            len(set.union(*map(set, S)))')" "($k, {$((960 + 1440 / k))}, 960, 2400)"
    done
}

@test "disjoint: parts of the pool that differ by one image at most" {
    local k
    for k in 2 3 7; do
        prep d --experts $k --shares disjoint
        assert_equal "$(shares d 'K, max(map(len, S)) - min(map(len, S)) <= 1,
            sorted(sum(S, [])) == pool, all(len({fine[i] for i in s}) == 20 for s in S),
            all(s == sorted(s) for s in S)')" "($k, True, True, True, True)"
    done
}

@test "full: the pool for everyone" {
    prep f --experts 3 --shares full
    assert_equal "$(shares f 'S == [pool] * 3')" True
}

@test "classes and superclasses belong to one expert each" {
    local k
    for k in 2 3 8; do
        prep c --experts $k --shares classes
        assert_equal "$(shares c 'sorted(sum(S, [])) == pool,
            sorted(sum(([*{fine[i] for i in s}] for s in S), [])) == [*range(20)],
            {len({fine[i] for i in s}) for s in S} <= {20 // K, -(-20 // K)}')" "(True, True, True)"
    done
    prep s --experts 2 --shares superclasses
    assert_equal "$(shares s 'sorted(sum(S, [])) == pool,
        {coarse[i] for i in S[0]} & {coarse[i] for i in S[1]}')" "(True, set())"
    fails_with 2 "cifar-prep: --shares classes: 7 of them are too few for 8 experts" \
        cifar-prep --experts 8 --shares classes -o x ten.tar.gz
    fails_with 2 "cifar-prep: --shares superclasses: 1 of them are too few for 4 experts" \
        cifar-prep --shares superclasses -o x ten.tar.gz
    assert_not_exists x
}

@test "dirichlet: parts of every class, nearly equal for a large alpha, uneven for a small one" {
    # Of each class, the variance of an expert's part p of K: (K - 1) / (K^2 (K alpha + 1)).
    local parts='[sum(fine[i] == c for i in s) / sum(fine[i] == c for i in pool)
        for c in range(20) for s in S]'
    local alpha
    for alpha in 1000 1 0.1; do
        prep d --shares dirichlet:$alpha --min-share 1
        assert_equal "$(shares d 'sorted(sum(S, [])) == pool')" True
        run -0 shares d "(lambda p: sum((x - 1 / K) ** 2 for x in p) / len(p) /
            ((K - 1) / K / K / (K * $alpha + 1) + 1e-5))($parts)"
        # 60 free parts: the ratio to the variance of the distribution stays near one.
        python3 -c "assert 0.5 < $output < 1.8, $output"
    done
    prep one --shares dirichlet:0.5 --min-share 1 --seed 1
    prep two --shares dirichlet:0.5 --min-share 1 --seed 2
    prep same --shares dirichlet:0.5 --min-share 1 --seed 1
    cmp one same
    run -1 cmp -s one two
    for alpha in '' 0 -1 nan inf 1e-4 1e9 0.5x; do
        fails_with 2 "cifar-prep: --shares dirichlet:$alpha: dirichlet:ALPHA takes a number from \
0.001 to 1e+06" prep x "--shares=dirichlet:$alpha"
    done
    fails_with 2 "cifar-prep: --shares dirichlet: dirichlet:ALPHA *" prep x --shares dirichlet
}

@test "a share without a batch is refused; --min-share says what a batch is" {
    fails_with 2 "cifar-prep: --shares dirichlet:0.001: expert [0-7] gets * images, fewer than 128 \
(--min-share): take another --seed or a larger ALPHA" prep x --experts 8 --shares dirichlet:0.001
    fails_with 2 "cifar-prep: --shares disjoint: expert 0 gets 600 images, fewer than 601 \
(--min-share)" prep x --shares disjoint --min-share 601
    prep x --shares disjoint --min-share 600
    fails_with 2 "cifar-prep: --shares iid: expert 0 gets 1320 *" prep y --min-share 2000
    for k in 1 9; do
        run -2 prep y --experts $k
        assert_line --index 0 "cifar-prep: --experts $k: must be between 2 and 8"
    done
    assert_not_exists y
}

@test "the table says what each expert gets" {
    run -0 --separate-stderr cifar-prep --experts 3 --shares classes -o c cifar.tar.gz
    assert_equal "${#stderr_lines[@]}" 6
    assert_regex "${stderr_lines[2]}" \
        'expert +images only its +classes +superclasses +largest class$'
    local expected k
    mapfile -t expected < <(shares c '"\n".join("%d %d %d %d %d %.1f %%" % (k, len(s), len(s),
        len({fine[i] for i in s}), len({coarse[i] for i in s}),
        100 * max(sum(fine[i] == c for i in s) for c in range(20)) / len(s))
        for k, s in enumerate(S))')
    for k in 0 1 2; do
        assert_equal "$(xargs <<<"${stderr_lines[3 + k]#*: }")" "${expected[k]}"
    done
    # Images of several experts belong to none alone.
    run -0 --separate-stderr cifar-prep --shares full -o f cifar.tar.gz
    assert_regex "${stderr_lines[3]}" ' 0 +2400 +0 +20 +4 '
}

@test "a file of shares: what --export-splits wrote gives the same data set" {
    prep one --experts 3 --shares disjoint --export-splits splits
    prep two --shares splits/expert_shares.txt
    cmp <(tail -c 100000 one) <(tail -c 100000 two)
    assert_equal "$(shares one S)" "$(shares two S)"
    # Any order, blanks, commas, a last line without an end; a pipe; lines that overlap.
    sed -i '1s/ /, /g; 2s/$/ \r/; $s/ /\t/' splits/expert_shares.txt
    head -c -1 splits/expert_shares.txt | prep three --shares /dev/stdin
    assert_equal "$(shares three S)" "$(shares one S)"
    sed -n '1p;1p' splits/expert_shares.txt >twice
    prep three --shares twice --experts 2
    assert_equal "$(shares three 'S[0] == S[1]')" True
    # A file with the name of a rule.
    mv twice iid
    prep three --shares ./iid
    assert_equal "$(shares three K)" 2
}

@test "a wrong file of shares is refused in one line" {
    local file=s.txt
    prep d --experts 2 --shares disjoint --export-splits splits
    local good held
    good=$(sed -n '2{p;q}' splits/expert_shares.txt)
    held=$(shares d 'min(holdout)')
    refuses() { # WHY TEXT [OPTION...]
        printf '%b' "$2" >$file
        fails_with 3 "cifar-prep: $file: $1" timeout 20 cifar-prep -o x --shares $file "${@:3}" \
            cifar.tar.gz
        assert_not_exists x
    }
    local where="the training images are 0..2999"
    refuses "has 0 lines: one for each expert, 2 or more" ''
    refuses "has 1 lines: one for each expert, 2 or more" "$good"
    refuses "has 2 lines: one for each expert, 3" "$good\n$good\n" --experts 3
    refuses "has more than 2 lines: one for each expert" "$good\n$good\n$good\n" --experts 2
    refuses "has more than 8 lines: one for each expert" '\n\n\n\n\n\n\n\n\n'
    refuses "line 2: image 3000: $where" "$good\n${good%% *} 3000\n"
    refuses "line 2: image 99999999999: $where" "$good\n99999999999"
    refuses "line 1: number out of range" "1$(printf '0%.0s' {1..400})"
    refuses "line 2: image $held is in the fusion holdout" "$good\n$held\n"
    refuses "line 1: image ${good%% *} stands there twice" "${good%% *},${good%% *}\n$good\n"
    local byte
    for byte in 00 2d 2e 78 ff 1b; do
        refuses "line 1: byte 0x$byte: only image numbers, blanks and commas may stand there" \
            "\\x$byte$good"
    done
    printf '%s\n\n' "$good" >$file
    fails_with 2 "cifar-prep: --shares $file: expert 1 gets 0 images, fewer than 128 (--min-share)" \
        cifar-prep -o x --shares $file cifar.tar.gz
    fails_with 3 "cifar-prep: /dev/zero: line 1: byte 0x00: *" \
        cifar-prep -o x --shares /dev/zero cifar.tar.gz
    fails_with 1 "cifar-prep: .: Is a directory" cifar-prep -o x --shares . cifar.tar.gz
    fails_with 1 "cifar-prep: --shares irid: none of iid|*|dirichlet:ALPHA|FILE: No such file *" \
        cifar-prep -o x --shares irid cifar.tar.gz
    fails_with 3 "cifar-prep: cifar.tar.gz: line 1: byte 0x1f: *" \
        cifar-prep -o x --shares cifar.tar.gz cifar.tar.gz
    assert_not_exists x
}
