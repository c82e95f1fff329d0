#!/usr/bin/env bats
# bench/timeline: what it counts, beside a count by hand.  tests/cuda/first_light.bats has its
# kernels beside those of a recorded step.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

# foretell OPTION...: resnet18, four of it, batch 4096.
foretell() {
    run -0 "$FX_BUILD/bench/timeline" --arch resnet18 --batch 4096 "$@"
}

# A map of 64 channels of 32x32 is M = 4 * 4096 * 65536 values; there are norms of 5 of these, 5 of
# half the size, 5 of a quarter and 5 of an eighth: 9.375 M.  The inputs of the 8 blocks, 4.625 M,
# get gradients of two branches, of which one is added.  Their outputs, 3.75 M, have a ReLU, whose
# backward pass the norm before it does: it reads them and writes what is left of dy.
@test "kernels, bytes and operations of resnet18" {
    foretell
    assert_line --partial "| norm stats | 20 | 20.13 | 0.00 |"     # each read once, in bf16
    assert_line --partial "| norm apply | 20 | 48.32 | 0.00 |"     # also written; 8 read a summand
    assert_line --partial "| norm backward | 40 | 116.77 | 0.00 |" # x and dy twice, dx written
    # 555,417,600 multiply-adds an image; none for the gradient of its pixels, 1,769,472 of these.
    assert_line --partial "| conv forward | 80 | 41.98 | 18.20 |"
    assert_line --partial "| conv backward data | 76 | 49.66 | 18.14 |" # 39.73 + 9.93
    assert_line --partial "| conv backward weights | 100 | 41.98 | 18.20 |"
    assert_line --partial "| all, one after the other | 383 | 320.92 | 54.54 |"
    foretell --relu-apart
    assert_line --partial "| relu backward | 8 | 24.16 | 0.00 |"
    assert_line --partial "| norm backward | 40 | 100.66 | 0.00 |"
    assert_line --partial "| all, one after the other | 391 | 328.97 | 54.54 |"
    foretell --fp32
    assert_line --partial "| norm stats | 20 | 40.27 | 0.00 |"
}

# 2,752,512 values an image are dropped; forward and backward, each is read and written in 2 bytes,
# and has a bit of the mask.
@test "the mask of a dropout is drawn once, and moved as bits" {
    run -0 "$FX_BUILD/bench/timeline" --arch preact_resnext29_8x64d --batch 4096 --gap 0 \
        --bandwidth 100000 --matmul 100000 --draws 1000
    assert_line "| dropout | 18 | 372.05 | 0.00 | 46.96 |"
}

@test "a kernel takes what its bytes or its operations take, and the gap before it" {
    foretell --gap 0 --bandwidth 1000 --matmul 100000
    assert_line "| conv forward | 80 | 41.98 | 18.20 | 41.98 |"
    assert_line "| norm stats | 20 | 20.13 | 0.00 | 20.13 |"
    foretell --gap 0 --bandwidth 100000 --matmul 1000
    assert_line "| conv forward | 80 | 41.98 | 18.20 | 18.20 |"
    foretell --gap 1000000 --bandwidth 100000 --matmul 100000
    assert_line "| norm stats | 20 | 20.13 | 0.00 | 20.20 |"
    assert_line --regexp "^\| conv forward \| 80 \| 41.98 \| 18.20 \| 20\.[0-9]+ \|$" # four streams
}

# Norms read maps of 64, 32, 16 and 8 MiB twice, 5 of each: 0.63 GB.  Two of each five also read a
# summand; behind a shortcut with a norm, which three have, the map is no longer the last one read.
# 64 MiB keep half of the first, a quarter beside a summand; all and 5/8 of the second, and all of
# the others: 2 * 67.1 + 3.625 * 33.6 + 4 * 16.8 + 4 * 8.4 MB = 0.36 GB.
@test "what a norm reads again and the L2 may hold" {
    foretell --batch 128
    assert_line --partial "| norm apply | 20 | 1.51 |"
    assert_line --partial "| norm backward | 40 | 3.65 |"
    foretell --batch 128 --l2 64
    assert_line --partial "| norm apply | 20 | 1.15 |"
    assert_line --partial "| norm stats | 20 | 0.63 |"
    foretell --batch 128 --l2 1024
    assert_line --partial "| norm apply | 20 | 0.94 |" # 0.63 - 0.06
    assert_line --partial "| norm backward | 40 | 2.39 |"
}

# A concatenation of one layer each: the statistics of 32 new channels come with their copy, except
# where a block begins and its first channels are copied, too.
@test "statistics of what is concatenated are taken as it is copied" {
    run -0 "$FX_BUILD/bench/timeline" --arch densenet121:blocks=2-1-1-1 --batch 4096
    assert_line --partial "| concat | 6 |"
    assert_line --partial "| norm stats | 15 |" # 5 layers of 2, 3 transitions, first and last
    run -0 "$FX_BUILD/bench/timeline" --arch densenet121:blocks=2-1-1-1,growth=20 --batch 4096
    assert_line --partial "| concat | 8 |" # no whole blocks
}

# A tile of 128 x 128 in each of 4 products is 4 for 132 multiprocessors; in 32 parts, 128.
@test "gradients of 1x1 layers' weights are cut into parts, of which each lane is a kernel" {
    dense() {
        run -0 "$FX_BUILD/bench/timeline" --arch densenet121:blocks=1-1-1-1 "$@"
    }
    dense --whole
    assert_line --partial "| conv backward weights | 32 |" # 3x3: 5 of 4 + 1; 7 others
    dense
    assert_line --partial "| conv backward weights | 60 |" # 4 more for each of the 7
    dense --processors 7
    assert_line --partial "| conv backward weights | 32 |"
}

@test "the last measured time of each kind stands beside the predicted one" {
    cat >profile <<'END'
processor time: forward 0.003 s, backward 0.004 s, update 0.001 s
      5.25 ms    80 x conv forward
      7.50 ms    20 x norm apply
      4.25 ms    80 x conv forward
      9.00 ms    20 x norm apply again
END
    foretell --profile profile
    assert_line --regexp "^\| conv forward \|.* \| 4\.25 \|$"
    assert_line --regexp "^\| norm apply \|.* \| 7\.50 \|$"
    refute_line --regexp "^\| norm stats \|.*\|.*\|.*\|.*\|.*\|$"
}
