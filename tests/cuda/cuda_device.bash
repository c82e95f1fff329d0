# Loaded by the suites of tools on a GPU, after ../helper and ../tiny: the device, or a skip.

[ -n "${FX_REAL_GPU:-}" ] || unset CUDA_VISIBLE_DEVICES

# with_cuda: makes the tiny data and looks for a device; for setup_file.  Without one the tests of
# the file are skipped, or fail where FX_REQUIRE_DEVICE=cuda demands it.  The build on the simulator
# (make CUDA_SIM=1) always has one.
with_cuda() {
    local status=0
    tiny_data
    # Plans are kept for these tests and for nobody else.
    export FUSION_CACHE_DIR=$BATS_FILE_TMPDIR/cache
    fusion-eval -q --device cuda --data data.safetensors --limit 1 experts.safetensors \
        >/dev/null 2>why || status=$?
    [ "$status" -ne 0 ] || return 0
    [ "$status" -eq 77 ] || fail "$(cat why)"
    [ "${FX_REQUIRE_DEVICE:-}" != cuda ] || fail "cuda is required: $(cat why)"
    skip_file "$(sed 's/^fusion-eval: //' why)"
}

# need_simulator: what only the simulator can be told.
need_simulator() {
    [[ $(fusion-eval --version) == *"cuda (simulated)"* ]] ||
        skip "the order of streams and the size of the memory are the simulator's to choose"
}
