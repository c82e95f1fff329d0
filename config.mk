# Where things go and what the build may use.  Override on the command line: make PREFIX=/opt/fusion
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share/fusion-tools
COMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DESTDIR ?=

CC ?= cc
CFLAGS ?= -O2 -g
CXX ?= c++
# The CUDA toolkit: the folder above the bin/nvcc in PATH, or where its installer puts it.
CUDA_HOME ?= $(or $(patsubst %/bin/nvcc,%,$(filter %/bin/nvcc,$(realpath $(shell \
	command -v nvcc)))),/usr/local/cuda)
NVCC ?= $(or $(wildcard $(CUDA_HOME)/bin/nvcc),nvcc)
# Where the tools look for CUDA's libraries besides the system's folders; CUDA_RPATH= for nowhere.
CUDA_RPATH ?= -Wl,-rpath,$(CUDA_LIB)
# Compute capabilities that kernels are compiled for, the oldest first: V100 (CUDA 12 is the last
# that knows it), A100, H100 and H200 and, by CUDA 13, B200 and the RTX 50 series.  RTX 30 and 40 run
# what is for 8.0.  Anything else compiles the intermediate code of 9.0 when it starts, for which the
# driver must be as new as the toolkit.
CUDA_ARCHS ?= $(if $(filter 12,$(CUDA_MAJOR)),70) 80 90 $(if $(filter 12,$(CUDA_MAJOR)),,100 120)
CUDA_PTX ?= $(or $(filter 90,$(CUDA_ARCHS)),$(lastword $(CUDA_ARCHS)))
NVCCFLAGS ?= $(foreach arch,$(CUDA_ARCHS),-gencode arch=compute_$(arch),code=sm_$(arch)) \
	-gencode arch=compute_$(CUDA_PTX),code=compute_$(CUDA_PTX)

# Back ends: empty = use it when the probe links, 0 = never, 1 = fail when it does not link.
HAVE_DNNL ?=
HAVE_CUDA ?=

# make CUDA_SIM=1 builds into its own folder, with a CUDA back end that runs on the CPU, slowly: for
# tests; it needs no toolkit.
CUDA_SIM ?=

# Sanitizers: make SAN=address,undefined builds into its own folder.
SAN ?=

# Warnings are errors with WERROR=-Werror; make check asks for that with the compilers it knows
# (tests/check.mk).
WERROR ?=
