# Where things go and what the build may use.  Override on the command line: make PREFIX=/opt/fusion
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share/fusion-tools
COMPDIR ?= $(PREFIX)/share/bash-completion/completions
DESTDIR ?=

CC ?= cc
CFLAGS ?= -O2 -g
NVCC ?= nvcc

# Back ends: empty = use it when the probe links, 0 = never, 1 = fail when it does not link.
HAVE_DNNL ?=
HAVE_CUDA ?=

# Sanitizers: make SAN=address,undefined builds into its own folder.
SAN ?=

# Warnings are errors; make WERROR= turns that off for a compiler that knows more warnings than ours.
WERROR ?= -Werror
