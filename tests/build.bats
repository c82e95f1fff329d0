#!/usr/bin/env bats
# The build: what it does about back ends that are there, missing, forbidden or demanded; what is
# installed works by itself; what was installed goes away again.

load helper

setup() {
    cd "$ROOT" || return
    # HAVE_DNNL, HAVE_CUDA, CC and CFLAGS come from the environment.
    unset_make
}

in_tree() {
    make --no-print-directory B="$FX_BUILD" "$@"
}

@test "the build says what it has" {
    run -0 in_tree all
    assert_line --regexp '^fusion-tools .* tools in .*; oneDNN .*: (yes|NO); CUDA .*: (yes|NO)$'
}

@test "a back end that is demanded and missing fails the build" {
    run -2 make -n B="$BATS_TEST_TMPDIR/b" HAVE_DNNL=1 CC=false all
    assert_line --partial "HAVE_DNNL=1 but a program with oneDNN and OpenMP does not compile"
    run -2 make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA=1 NVCC=no-such-nvcc all
    assert_line --partial "HAVE_CUDA=1 but "
}

@test "a CUDA toolkit is found where it may lie, and what it lacks is said" {
    local home=$BATS_TEST_TMPDIR/cuda
    local include=$home/targets/any-linux/include lib=$home/targets/any-linux/lib
    mkdir -p "$home/bin" "$include" "$lib"
    install /dev/stdin "$home/bin/nvcc" <<<'#!/bin/sh'
    ar rcs "$lib/libcudart_static.a"
    echo '#define CUDART_VERSION 11080' >"$include/cuda_runtime_api.h"
    echo '#define CUDNN_VERSION 90800' >"$include/cudnn.h"
    touch "$include/cublasLt.h"
    run -0 make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= CUDA_HOME="$home" all
    assert_line --regexp 'CUDA is left out: .*CUDA 12 and cuDNN 9.8 are the oldest that will do'
    assert_line --partial "CUDA (--device cuda): NO"
    echo '#define CUDART_VERSION 12000' >"$include/cuda_runtime_api.h"
    PATH=$home/bin:$PATH run -0 env -u CUDA_HOME make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= all
    refute_line --partial "left out"
    assert_line --partial "CUDA (--device cuda): yes"
    # CUDA 12 is the last that knows Volta; devices are held to what kernels are compiled for.
    assert_output --partial " -gencode arch=compute_70,code=sm_70 "
    assert_output --partial " -DFX_CUDA_OLDEST=70 "
    refute_output --partial "compute_120" # 12.8 is the first that knows it
    echo '#define CUDART_VERSION 13000' >"$include/cuda_runtime_api.h"
    run -0 make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= CUDA_HOME="$home" all
    refute_output --partial "_70"
    assert_output --partial " -gencode arch=compute_120,code=sm_120 -gencode \
arch=compute_90,code=compute_90 "
    assert_output --partial " -DFX_CUDA_OLDEST=80 "
    run -0 make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= CUDA_HOME="$home" CUDA_ARCHS=86 all
    assert_output --partial " -gencode arch=compute_86,code=sm_86 -gencode \
arch=compute_86,code=compute_86 "
    assert_output --partial " -DFX_CUDA_OLDEST=86 "
    PATH=$home/bin:$PATH run -0 env -u CUDA_HOME make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= all
    assert_output --partial "$home/bin/nvcc -std"
    assert_output --partial "-isystem $include "
    assert_output --partial "-L$lib "
}

@test "what the build cannot do without is named, and how to get it" {
    run -2 make -n B="$BATS_TEST_TMPDIR/b" HAVE_DNNL=0 HAVE_CUDA=0 CC='gcc -nostdinc' all
    assert_line --partial "zlib, libmd, libjpeg and libpng: ./bootstrap installs what is missing"
}

@test "a back end that is forbidden is not used, and everything else builds and works" {
    run -0 make -j2 B="$BATS_TEST_TMPDIR/b" HAVE_DNNL=0 HAVE_CUDA=0 CFLAGS=-O0 V=1 all
    refute_output --partial ldnnl
    assert_line --partial "oneDNN (--device cpu): NO; CUDA (--device cuda): NO"
    for tool in "$BATS_TEST_TMPDIR"/b/bin/*; do
        run -0 "$tool" --version
    done
    # What is left to compute with is taken, and that it is little is said to whoever is quiet too.
    cd "$BATS_TEST_TMPDIR"
    mkcifar --train 200 --test 20 --classes 5 -o cifar.tar.gz
    cifar-prep -q -o data cifar.tar.gz
    expert-load -q --arch resnet18:width=2,blocks=1-1-1-1 --classes 5 --init 1 -o experts
    run -0 --separate-stderr b/bin/fusion-eval -q --threads 1 --limit 2 --data data experts
    assert_equal "$stderr" "fusion-eval: warning: device: ref, fp32, 1 threads: this build has no \
CUDA (it has: ref); without oneDNN as well there is only ref, plain and slow"
    fails_with 77 "fusion-eval: device cpu: this build has no oneDNN (it has: ref)" \
        b/bin/fusion-eval -q --device cpu --data data experts
}

@test "the simulated CUDA back end needs no toolkit and says what it is" {
    run -0 make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= CUDA_SIM=1 CUDA_HOME=/no/cuda \
        NVCC=no-such-nvcc all
    assert_line --partial "CUDA (--device cuda): simulated"
    refute_output --partial "no-such-nvcc"
    refute_output --partial "/no/cuda"
}

@test "a warning is an error for the check, by compilers that are known, and for nobody else" {
    check_with() { # the commands of the check with gcc of version $1 and g++ of version $2, and $3
        make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA=0 CC="cc -U__clang__ -U__GNUC__ -D__GNUC__=$1" \
            CXX="c++ -U__clang__ -U__GNUC__ -D__GNUC__=$2" ${3+"$3"} check
    }
    run -0 make -n B="$BATS_TEST_TMPDIR/b" all
    refute_output --partial "-Werror"
    run -0 check_with 12 12
    assert_output --partial "-Werror"
    run -0 check_with 99 12
    refute_output --partial "-Werror"
    run -0 check_with 12 99
    refute_output --partial "-Werror"
    run -0 check_with 12 12 WERROR=
    refute_output --partial "-Werror"
    run -0 check_with 99 99 WERROR=-Werror=shadow
    assert_output --partial "-Werror=shadow"
}

@test "other flags build everything again, the same flags nothing" {
    run -0 in_tree -n all
    refute_output --partial " -c "
    mkdir "$BATS_TEST_TMPDIR/b"
    echo "other flags" >"$BATS_TEST_TMPDIR/b/flags"
    run -0 make -n B="$BATS_TEST_TMPDIR/b" all
    assert_output --partial " -c "
}

@test "an object is made again when a header that it includes changes" {
    local build=${FX_BUILD#"$ROOT"/} object objects
    mapfile -t objects < <(find "$build" -name '*.d' -exec grep -l 'net/blocks\.h' {} + |
        sed 's/\.d$/.o/')
    assert [ ${#objects[@]} -gt 30 ] # 42 without CUDA
    make -n B="$build" -W lib/net/blocks.h all unit >"$BATS_TEST_TMPDIR/commands"
    for object in "${objects[@]}"; do
        grep -qF -e "-o $object " "$BATS_TEST_TMPDIR/commands" || fail "$object is left as it was"
    done
}

@test "what is installed works by itself, and uninstall removes every file" {
    local there=$BATS_TEST_TMPDIR/there
    run -0 in_tree install DESTDIR="$there" PREFIX=/usr
    for tool in "$ROOT"/tools/*.c; do
        tool=$(basename "$tool" .c)
        "$there/usr/bin/$tool" --version
        assert_exists "$there/usr/share/man/man1/$tool.1"
        assert_exists "$there/usr/share/bash-completion/completions/$tool"
        assert_exists "$there/usr/share/fish/vendor_completions.d/$tool.fish"
    done
    assert_exists "$there/usr/share/man/man7/fusion-tools.7"
    assert_exists "$there/usr/share/man/man3/libfusion.3"
    assert_exists "$there/usr/lib/libfusion.a"
    assert_exists "$there/usr/share/fusion-tools/python/fusion_models.py"
    PATH=$there/usr/bin:/usr/bin:/bin run -0 make -n -f "$there/usr/share/fusion-tools/fusions.mk" \
        INIT=1 DATA=x.safetensors resnet-concatenation
    assert_line --partial "expert-load --arch 'resnet18' --init 1 --count 4 |"
    PATH=$there/usr/bin:/usr/bin:/bin run -0 submit-all-fusions --dry-run INIT=1
    assert_output --partial "-t $there/usr/bin "
    for script in fusion-table fusion-spread plot-curves; do
        PATH=$there/usr/bin:/usr/bin:/bin run -0 "$script" --version
    done
    PATH=$there/usr/bin:/usr/bin:/bin run -0 make -f "$there/usr/share/fusion-tools/fusions.mk"
    assert_line --index 0 --partial "The runs: experts and a data set in"
    assert_line --regexp "^  DATA=cifar-100-python.tar.gz +the archive"
    assert_line --regexp "^  all-fusions +the four runs"
    run -0 in_tree uninstall DESTDIR="$there" PREFIX=/usr
    assert_equal "$(find "$there" ! -type d)" ""
    assert_not_exists "$there/usr/share/fusion-tools"
}

@test "check-gpu where there is no GPU says so" {
    if [ "${HAVE_CUDA:-0}" = 1 ]; then
        CUDA_VISIBLE_DEVICES=-1 run -2 in_tree check-gpu
        assert_line --partial "device-probe: device cuda: this machine "
        assert_line --partial "check-gpu needs an NVIDIA GPU and its driver"
    else
        run -2 make -n B="$BATS_TEST_TMPDIR/b" NVCC=no-such-nvcc check-gpu
        assert_line --partial "HAVE_CUDA=1 but there is no nvcc: no-such-nvcc"
    fi
    run -2 make -n B="$BATS_TEST_TMPDIR/b" CUDA_SIM=1 check-gpu
    assert_line --partial "check-gpu is for a real GPU"
}

@test "the GPU's tests run without compiler and libraries, and say which build they look at" {
    run -2 make CC=false B="$BATS_TEST_TMPDIR/b" check-gpu-run
    assert_line --partial "check-gpu needs an NVIDIA GPU and its driver"
    mkdir -p "$BATS_TEST_TMPDIR/b/tests/kernels"
    install -D /dev/stdin "$BATS_TEST_TMPDIR/b/tests/device-probe" <<<'#!/bin/sh'
    install /dev/stdin "$BATS_TEST_TMPDIR/b/tests/kernels/add_concat_kernels" <<'END'
#!/bin/sh
echo 1..1
[ "$FX_REQUIRE_DEVICE$CUDA_VISIBLE_DEVICES" = cuda7 ] && echo ok 1
END
    CUDA_VISIBLE_DEVICES=7 run -0 make CC=false B="$BATS_TEST_TMPDIR/b" \
        GPU_CHECK="$BATS_TEST_TMPDIR/gpu" GPU_SUITES=kernels/add_concat_kernels check-gpu-run
    assert_line "1 passed, 0 failed, 0 skipped"
}

@test "a pack for a machine with a GPU holds tree, programs and libraries" {
    [ -e .git ] || skip "not a checkout"
    mkdir -p "$BATS_TEST_TMPDIR/b"
    cp "$FX_BUILD/bin/cifar-prep" "$BATS_TEST_TMPDIR/b"
    tests/gpu-pack "$BATS_TEST_TMPDIR/b" "$BATS_TEST_TMPDIR/pack.tar.xz"
    mkdir "$BATS_TEST_TMPDIR/there"
    tar -C "$BATS_TEST_TMPDIR/there" -xf "$BATS_TEST_TMPDIR/pack.tar.xz"
    cd "$BATS_TEST_TMPDIR/there"
    assert_file_exists tests/gpu.mk
    assert_file_exists bench/torch_step.py
    LD_LIBRARY_PATH=$PWD/build/lib run -0 ldd ".$BATS_TEST_TMPDIR/b/cifar-prep"
    assert_line --regexp "libarchive.so.* => $PWD/build/lib/"
    assert_line --regexp "libc.so.* => /(usr/)?lib"
}

@test "one version: the changelog's, of the build, of the tools and of the tag" {
    heading=$(grep -m 1 '^## ' CHANGELOG.md)
    assert_regex "$heading" '^## \[[0-9]+\.[0-9]+\.[0-9]+\] - ([0-9]{4}(-[0-9]{2}){2}|unreleased)$'
    version=$(grep -oP '\[\K[0-9.]+' <<<"$heading")
    run -0 in_tree all
    assert_output --partial "fusion-tools $version: "
    run -0 fusion-train --version
    assert_line --index 0 "fusion-train (fusion-tools) $version"
    for tag in $(git tag --points-at HEAD 2>/dev/null); do
        [[ $tag != v* ]] || assert_equal "$tag" "v$version"
    done
}

@test "dist packs a tree that builds" {
    git rev-parse -q --verify HEAD >/dev/null 2>&1 || skip "not a git checkout"
    cp -r --reflink=auto .git "$BATS_TEST_TMPDIR/.git"
    cd "$BATS_TEST_TMPDIR"
    git reset -q --hard
    run -0 make --no-print-directory dist
    version=$(grep -m 1 -oP '^## \[\K[0-9.]+' CHANGELOG.md)
    tar -xzf "build/fusion-tools-$version.tar.gz"
    cd "fusion-tools-$version"
    run -0 make -n HAVE_DNNL=0 HAVE_CUDA=0 all
    assert_output --partial "fusion-tools $version: "
    run -2 env GIT_CEILING_DIRECTORIES="$BATS_TEST_TMPDIR" make --no-print-directory dist
    assert_line "make dist: not a git checkout"
}

@test "a package is built without CUDA, unless it is asked for, and with nothing of this machine" {
    run -0 env -u HAVE_CUDA -u HAVE_DNNL make -n deb
    assert_output --regexp '^packaging/make-deb [0-9.]+ HAVE_CUDA=0 HAVE_DNNL=1$'
    HAVE_CUDA=1 run -0 env -u HAVE_DNNL make -n deb
    assert_output --regexp '^packaging/make-deb [0-9.]+ HAVE_CUDA=1 HAVE_DNNL=1$'
    run -0 env CUDA_RPATH= make -n B="$BATS_TEST_TMPDIR/b" HAVE_CUDA= all
    refute_output --partial rpath
    refute_output --partial -march=native
}

@test "check takes no T, and names what does" {
    run -2 in_tree check T=tests/options.bats
    assert_line --partial 'one file: make check-bats T=tests/options.bats'
    assert_equal "${#lines[@]}" 1
}

@test "help names the targets" {
    run -0 make help
    for target in all check check-gpu bench-gpu demo install uninstall clean lint format sanitize \
        all-fusions; do
        assert_line --regexp "^  $target +[a-z]"
    done
}
