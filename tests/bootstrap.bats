#!/usr/bin/env bats
# bootstrap installs what is missing for what was asked, nothing else, and runs make.  Stand-ins
# play the package manager: no test here changes the machine.

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    mkdir bin
    stand_in dpkg-query '[[ " $INSTALLED " == *" ${!#} "* ]] && echo "install ok installed"'
    stand_in apt-get 'echo "apt-get $*" >>"$CALLS"; exit ${APT_EXIT:-0}'
    stand_in apt-cache '[[ " ${UNKNOWN:-} " == *" ${!#} "* ]] || echo "${!#} | 1.0"'
    stand_in sudo 'echo sudo >>"$CALLS"; exec "$@"'
    stand_in systemctl 'echo "systemctl $*" >>"$CALLS"; exit ${SYSTEMCTL_EXIT:-0}'
    stand_in id 'echo "${USER_ID:-0}"'
    stand_in make 'echo "make $*" >>"$CALLS"'
    export PATH=$PWD/bin:$PATH CALLS=$PWD/calls
    build='gcc make libc6-dev libarchive-dev libjansson-dev zlib1g-dev libmd-dev'
    build+=' libjpeg-dev libpng-dev libdnnl-dev'
}

stand_in() { # NAME COMMANDS
    printf '#!/bin/bash\n%s\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
}

@test "with everything there it only runs make, with its arguments" {
    INSTALLED=$build run -0 "$ROOT/bootstrap" install PREFIX=/opt/x
    assert_output ""
    run cat calls
    assert_output "make install PREFIX=/opt/x"
}

@test "what is missing is named and installed" {
    INSTALLED=${build/libmd-dev/} run -0 "$ROOT/bootstrap"
    assert_line --partial "installing: libmd-dev"
    run cat calls
    assert_line --index 0 "apt-get -q update"
    assert_line --index 1 "apt-get -q install -y --no-install-recommends libmd-dev"
    assert_line --index 2 "make -j$(nproc)"
}

@test "the demo needs no PyTorch, no test tools and no CUDA" {
    INSTALLED='' run -0 "$ROOT/bootstrap" demo
    assert_line --partial gnuplot-nox
    refute_output --partial torch
    refute_output --partial bats
    refute_output --partial cuda
}

@test "a package needs Debian's tools for packages and no test tools" {
    INSTALLED='' run -0 "$ROOT/bootstrap" deb
    assert_line --partial dpkg-dev
    refute_output --partial bats
}

@test "the tests need PyTorch, and still no CUDA" {
    INSTALLED=$build run -0 "$ROOT/bootstrap" check
    assert_line --partial python3-torch
    refute_output --partial cuda
}

@test "PyTorch is left out where the system has none, and said; anything else is demanded" {
    UNKNOWN="python3-torch python3-torchvision jq" INSTALLED=$build run -0 "$ROOT/bootstrap" check
    assert_line --partial "this system has no python3-torch python3-torchvision: their tests are"
    run grep install calls
    refute_output --partial "torch"
    assert_output --partial " jq "
    assert_output --partial " python3-numpy "
}

@test "where no list of packages was fetched yet, everything is asked for" {
    UNKNOWN="make python3-torch" INSTALLED=$build run -0 "$ROOT/bootstrap" check
    run grep install calls
    assert_output --partial " python3-torch "
}

@test "who wants fresh machines gets what makes them" {
    for words in "check-fresh SUITE=trixie" "check FRESH=trixie-user"; do
        rm -f calls
        # shellcheck disable=SC2086
        INSTALLED=$build run -0 "$ROOT/bootstrap" $words
        run grep install calls
        assert_output --partial " debootstrap "
    done
    rm calls
    INSTALLED=$build run -0 "$ROOT/bootstrap" check
    run grep install calls
    refute_output --partial "debootstrap"
}

@test "services that come with a package are switched off, others are left alone" {
    INSTALLED="$build munge" run -0 "$ROOT/bootstrap" check
    assert_line --partial "switching the service slurmd off"
    run grep systemctl calls
    assert_output "systemctl --now disable slurmctld
systemctl --now disable slurmd"
    INSTALLED="$build munge" SYSTEMCTL_EXIT=1 run -0 "$ROOT/bootstrap" check
    assert_line "bootstrap: no systemd here: see that slurmd does not run"
    rm calls
    INSTALLED=$build run -0 "$ROOT/bootstrap"
    assert_equal "$(grep -c systemctl calls)" 0
}

@test "who is not root uses sudo" {
    INSTALLED='' USER_ID=1000 run -0 "$ROOT/bootstrap"
    run cat calls
    assert_line --index 0 sudo
}

@test "neither root nor sudo: one line says what to install" {
    mkdir tools
    for tool in bash sh env grep dirname; do ln -s "$(command -v $tool)" tools; done
    rm bin/sudo
    INSTALLED=${build/gcc/} USER_ID=1000 PATH=$PWD/bin:$PWD/tools run -1 "$ROOT/bootstrap"
    assert_line "bootstrap: not root and no sudo; as root: apt-get install gcc"
    assert_not_exists calls
}

@test "a package manager that fails is a failure" {
    INSTALLED='' APT_EXIT=100 run -1 "$ROOT/bootstrap"
    assert_output --partial "bootstrap: apt-get failed"
    run cat calls
    refute_output --partial make
}
