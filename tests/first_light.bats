#!/usr/bin/env bats
# bench/first-light: the table says what happened, whatever happens; with programs that are made up
# here.  tests/cuda/first_light.bats has real ones.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    light=$ROOT/bench/first-light
}

# program NAME <<SCRIPT: a program of a build folder in ./b.
program() {
    mkdir -p "b/$(dirname "$1")"
    { echo '#!/bin/bash' && cat; } >"b/$1"
    chmod +x "b/$1"
}

# made_up: a build whose device is found and whose other programs are missing.
made_up() {
    program tests/device-probe <<<'echo "cuda:0: a card, 1 GiB"'
}

run_light() { # OPTION... LINE...
    run "$light" --build b --out out "$@"
}

# ended: the process whose number is in the file child; who collects it is not ours.
ended() {
    ! grep -qsE '^State:\s+[RSD]' "/proc/$(cat child)/status"
}

# says LINE VERDICT TEXT: the row of the table.
says() {
    run grep -E "^$1 +$2 " out/table.txt
    assert_output --partial "$3"
}

@test "a line each, with its verdict, and one file each of table, results and log" {
    made_up
    program tests/kernels/pool_kernels <<<'echo 1..2; echo ok 1 - a; echo ok 2 - b'
    program tests/kernels/add_concat_kernels <<<'echo 1..2; echo ok 1 - a
echo "ERROR: 3 is not 4" >&2; echo "not ok 2 - b"; echo "# sums.c:5: error: Failure!"; exit 1'
    program tests/kernels/loss_kernel <<<'echo 1..3; echo ok 1 - a; kill -SEGV $$'
    program tests/kernels/norm_kernels <<<'echo "1..0 # SKIP no such thing"'
    program tests/kernels/batch_block <<<'echo 1..1; echo ok 1 - a; echo then it broke; exit 3'
    run_light device 'kernels/*'
    assert_failure 1
    says device ok "cuda:0: a card, 1 GiB"
    says kernels/pool_kernels ok "2 passed"
    says kernels/add_concat_kernels FAILED \
        "1 of 2 tests: not ok 2 - b # sums.c:5: error: Failure! ERROR: 3 is not 4"
    says kernels/loss_kernel FAILED "SIGSEGV"
    says kernels/norm_kernels skipped "no such thing"
    says kernels/batch_block FAILED "exit status 3: then it broke"
    says kernels/dense_kernels MISSING "b/tests/kernels/dense_kernels"
    run tail -n 1 out/table.txt
    assert_output --regexp "^2 ok, 3 FAILED, [0-9]+ MISSING, 1 skipped; look at \
kernels/add_concat_kernels, kernels/batch_block, kernels/loss_kernel$"
    run ls out
    assert_output "log.txt
results.json
table.txt"
    grep -q 'kernels/loss_kernel: .*/b/tests/kernels/loss_kernel' out/log.txt
}

@test "a program that hangs is stopped, with its children, and the next line runs" {
    made_up
    program tests/kernels/add_concat_kernels <<<'echo 1..4; echo ok 1
sleep 300 & echo $! >child; wait'
    program tests/kernels/pool_kernels <<<'echo 1..1; echo ok 1'
    run_light --seconds 6 kernels/add_concat_kernels kernels/pool_kernels
    run -0 grep -E "^kernels/add_concat_kernels +TIMEOUT .* after [0-9]+ s: in test 2 of 4: ok 1" \
        out/table.txt
    eventually ended
    says kernels/pool_kernels "not run" "6 s were over"
    # A second part runs named lines again, and the table is of both.
    program tests/kernels/add_concat_kernels <<<'echo 1..1; echo ok 1'
    run_light kernels/add_concat_kernels
    says kernels/add_concat_kernels ok "1 passed"
    says kernels/pool_kernels "not run" "6 s were over"
    run grep -A 1 '^==== kernels/add_concat_kernels' out/log.txt
    assert_line "1..4"
    assert_line "1..1"
}

# step NAME JSON: bench/step says JSON, for the way of launching whose variables are in $NAME.
@test "steps are compared to the bit between the ways of launching, and roughly between devices" {
    made_up
    program bench/step <<'END'
crc=11111111 loss=4.5
case "$*" in *cpu*) loss=4.50001 crc=22222222 ;; esac
way=$FUSION_CUDA_GRAPHS$FUSION_CUDA_WGRAD_STREAM
case "$* $way" in *densenet121*" ") crc=33333333 ;; esac
case "$*" in *resnext29*cuda*fp32*) loss=4.6 ;; *improved*) loss=NaN ;; esac
printf '{"step_seconds":0.004,"device_bytes":1073741824,'
echo "\"losses\":[$loss],\"grad_norms\":[2],\"crc32\":\"$crc\"}"
END
    run_light 'check/*' 'step/*'
    assert_failure 1
    says step/resnet18/serial ok "4.00 ms, 1.00 GiB, loss 4.500000, norm 2, CRC 11111111"
    says step/resnet18/default ok ": the bits of serial"
    says step/densenet121/one-stream ok ": the bits of serial"
    says step/densenet121/default FAILED "crc32 33333333, not those of step/densenet121/serial"
    says check/resnet18/as-cpu ok "loss off by 2.2e-06, norm by 0.0e+00"
    says check/preact_resnext29_8x64d/as-cpu FAILED "loss off by 2.2e-02"
    says step/improved_wideresnet28_10/default FAILED "not finite"
    says check/improved_wideresnet28_10/as-cpu "not run" "wideresnet28_10/cuda: FAILED"
}

@test "a device that has gone after a program was stopped is not waited for again" {
    program tests/device-probe <<<'[ ! -e gone ] || exec sleep 300; echo "cuda:0: a card, 1 GiB"'
    program tests/kernels/add_concat_kernels <<<'touch gone; exec sleep 300'
    program tests/kernels/pool_kernels <<<'echo 1..1; echo ok 1'
    run_light --seconds 34 kernels/add_concat_kernels kernels/pool_kernels
    says kernels/add_concat_kernels TIMEOUT "after 20 s: it said nothing"
    says kernels/pool_kernels "not run" \
        "the device has not answered since kernels/add_concat_kernels"
}

@test "a program for the head of the table that hangs is left at its limit" {
    made_up
    mkdir bin
    printf '#!/bin/sh\nexec sleep 300\n' >bin/nvidia-smi
    chmod +x bin/nvidia-smi
    SECONDS=0
    PATH=$PWD/bin:$PATH run_light device
    assert [ "$SECONDS" -lt 60 ]
    assert_line "GPU: nvidia-smi: no answer in 20 s"
    says device ok "cuda:0: a card"
}

@test "what a line says is cut in the log, and the files stay small" {
    made_up
    program tests/kernels/pool_kernels <<'END'
echo 1..1
yes 0123456789 | head -c 50000000
echo
echo ok 1
END
    run_light kernels/pool_kernels
    says kernels/pool_kernels ok "1 passed"
    assert [ "$(stat -c %s out/log.txt)" -lt 300000 ]
    yes 0123456789 | head -c 20000000 >out/log.txt # of earlier runs
    run_light kernels/pool_kernels
    assert [ "$(stat -c %s out/log.txt)" -lt $((16 << 20)) ]
    run tail -n 2 out/log.txt
    assert_line "ok 1"
}

@test "a signal ends it, and the table has what was done" {
    made_up
    program tests/kernels/add_concat_kernels <<<'echo $$ >child; exec sleep 300'
    "$light" --build b --out out device kernels/add_concat_kernels 3>&- &
    eventually test -s child
    kill -TERM $!
    local status=0
    wait $! || status=$?
    assert_equal "$status" 143
    eventually ended
    says device ok "a card"
}

@test "a folder that cannot be written is one line, and one that fills up costs no result" {
    made_up
    touch file
    run "$light" --build b --out file/out device
    assert_failure 1
    assert_output --regexp "^first-light: .*file/out'; --out DIR says where the results go$"
    mkdir -p out/.new # no table can be written
    run_light device
    assert_success
    assert_line --regexp "^device +ok .* cuda:0: a card"
    assert_line --regexp "^first-light: .*/out/\.new'$"
}

@test "without PyTorch its lines are skipped" {
    made_up
    mkdir torch
    echo "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')" >torch/__init__.py
    PYTHONPATH=$PWD run_light torch/resnet18
    assert_success
    says torch/resnet18 skipped "this python3 has no PyTorch"
}

@test "a line that is not there, a folder without a build: one line" {
    run_light nonsense
    assert_failure 1
    assert_output "first-light: nonsense: there is no such line; --list prints them"
    mkdir b
    run_light
    assert_failure 1
    assert_output --partial "no tests/device-probe there; --build DIR says where"
    run -0 "$light" --list
    assert_line --regexp "^ops/conv_full +60 s"
}

# library FILE VERSION CUDA: a library that has this version, for this CUDA.
library() {
    mkdir -p "$(dirname "$1")"
    cc -shared -fPIC -x c -o "$1" - <<END
#include <stddef.h>
size_t cudnnGetVersion(void) { return $2; }
size_t cudnnGetCudartVersion(void) { return $3; }
size_t cublasLtGetVersion(void) { return $2; }
int cudaRuntimeGetVersion(int *version) { *version = $3; return 0; }
END
}

find_libraries() {
    PYTHONPATH=$ROOT/bench run -0 python3 - <<'END'
import os, sys
import cuda_libraries
packages = os.path.abspath("venv/lib/python3.11/site-packages")
sys.path.append(packages)
assert packages in cuda_libraries.site_folders()
cuda_libraries.site_folders = lambda: [packages]  # not what this machine has
folders, lines = cuda_libraries.find("b/tests/device-probe", root=os.path.abspath("root"))
here = os.getcwd() + "/"
print("\n".join([*("path " + f for f in folders), *lines]).replace(here, ""))
END
}

@test "libraries are found where pip, toolkits and Debian put them; the newest one counts" {
    unset LD_LIBRARY_PATH CUDA_HOME CUDA_PATH CONDA_PREFIX
    program tests/device-probe <<<'# loads libcublasLt.so.13'
    site=venv/lib/python3.11/site-packages
    find_libraries
    assert_line "libcudnn.so.9: not found for CUDA 13"
    assert_line "libcudart.so.13: not found for CUDA 13"
    # A toolkit with an older cuDNN, one of Debian's folders with one for CUDA 12.
    library root/usr/local/cuda-13.0/lib64/libcudart.so.13 0 13000
    library root/usr/local/cuda-13.0/lib64/libcublasLt.so.13 130000 0
    library root/usr/lib/x86_64-linux-gnu/libcudnn/12/libcudnn.so.9 92000 12090
    library root/usr/lib/x86_64-linux-gnu/libcudnn/13/libcudnn.so.9 91200 13000
    find_libraries
    assert_line "libcudnn.so.9: 9.12.0, root/usr/lib/x86_64-linux-gnu/libcudnn/13/libcudnn.so.9"
    assert_line "libcublasLt.so.13: 13.0.0, root/usr/local/cuda-13.0/lib64/libcublasLt.so.13"
    # PyTorch's packages for CUDA 13: one folder for the toolkit, one for cuDNN.
    library $site/nvidia/cudnn/lib/libcudnn.so.9 91900 13000
    library $site/nvidia/cu13/lib/libcublasLt.so.13 130101 0
    library $site/nvidia/cu13/lib/libcudart.so.13 0 13000
    find_libraries
    assert_line --index 0 "path $site/nvidia/cudnn/lib"
    assert_line --index 1 "path $site/nvidia/cu13/lib"
    assert_line "libcudnn.so.9: 9.19.0, $site/nvidia/cudnn/lib/libcudnn.so.9"
    assert_line "  also 9.12.0, root/usr/lib/x86_64-linux-gnu/libcudnn/13/libcudnn.so.9"
    # Those for CUDA 12: a folder each.
    program tests/device-probe <<<'# loads libcublasLt.so.12'
    library $site/nvidia/cublas/lib/libcublasLt.so.12 120901 0
    library $site/nvidia/cuda_runtime/lib/libcudart.so.12 0 12090
    find_libraries
    assert_line "libcudnn.so.9: 9.20.0, root/usr/lib/x86_64-linux-gnu/libcudnn/12/libcudnn.so.9"
    assert_line "libcublasLt.so.12: 12.9.1, $site/nvidia/cublas/lib/libcublasLt.so.12"
    assert_line "libcudart.so.12: 12.9, $site/nvidia/cuda_runtime/lib/libcudart.so.12"
    # One that cannot be loaded is passed over, and so is what another CUDA has.
    echo broken >$site/nvidia/cublas/lib/libcublasLt.so.12
    find_libraries
    assert_line "libcublasLt.so.12: not found for CUDA 12; passed over: \
$site/nvidia/cu13/lib/libcublasLt.so.13 $site/nvidia/cublas/lib/libcublasLt.so.12 \
root/usr/local/cuda-13.0/lib64/libcublasLt.so.13"
}

@test "the libraries that were found are those that programs get, and PyTorch keeps its own" {
    unset LD_LIBRARY_PATH
    program tests/device-probe <<<'# loads libcublasLt.so.13
echo "path $LD_LIBRARY_PATH"'
    mkdir libs
    for name in libcudnn.so.9 libcublasLt.so.13 libcudart.so.13; do
        library "libs/$name" 990101 13990 # newer than any that this machine may have
    done
    LD_LIBRARY_PATH=$PWD/libs run_light device
    says device ok "path $ROOT/build/lib:$PWD/libs:$PWD/libs"
    grep -q "^Build: path $ROOT/build/lib:$PWD/libs" out/table.txt
    grep -q "^libcudnn.so.9: 99.1.1, $PWD/libs/libcudnn.so.9" out/table.txt
}
