# fusion-tools: `make` builds the tools, `make check` tests them, `make help` lists the rest.
include config.mk

VERSION := 1.0.0

# Recipes of the pipelines are pipes: a failure anywhere in one is a failure of the recipe.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

# One build folder for each configuration; everything built lies in it.
comma := ,
WITHOUT := $(if $(filter 0,$(HAVE_DNNL)),-nodnnl)$(if $(filter 0,$(HAVE_CUDA)),-nocuda)
B ?= build/$(or $(subst $(comma),-,$(SAN)),release)$(WITHOUT)

# For the builds that a target starts by itself: all cores, unless -j was given.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# make V=1 shows the commands.
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

# ---- what this machine has -----------------------------------------------------------------------
# links(header, libraries): 1 when a program with them compiles and links.
hash := \#
links = $(shell printf '$(hash)include <$(1)>\nint main(void){return 0;}\n' | \
	$(CC) $(CPPFLAGS) -x c - -o /dev/null $(LDFLAGS) $(2) >/dev/null 2>&1 && echo 1 || echo 0)
# have(wanted, found, complaint): the answer to work with; wanted=1 and found=0 is an error.
have = $(if $(filter 0,$(1)),0,$(if $(filter 10,$(1)$(2)),$(error $(3)),$(2)))

BUILDS := $(filter-out clean help dist uninstall format tidy,$(or $(MAKECMDGOALS),all))
ifneq ($(BUILDS),)
override HAVE_DNNL := $(call have,$(HAVE_DNNL),$(call links,oneapi/dnnl/dnnl.h,-ldnnl),HAVE_DNNL=1 \
	but a program with oneDNN does not compile and link (Debian: libdnnl-dev))
# There is no CUDA back end in this tree before lib/backend/cuda holds one.
CUDA_HOME ?= /usr/local/cuda
CUDA_LIBS := -L$(CUDA_HOME)/lib64 -lcudart -lcudnn -lcublasLt
cuda_links = $(if $(wildcard lib/backend/cuda/*.c),$(if $(shell command -v $(NVCC)),$(call \
	links,cudnn.h,-I$(CUDA_HOME)/include $(CUDA_LIBS)),0),0)
override HAVE_CUDA := $(call have,$(HAVE_CUDA),$(cuda_links),HAVE_CUDA=1 but $(if $(wildcard \
	lib/backend/cuda/*.c),nvcc or cuDNN 9 is missing,this version has no CUDA back end))
ifeq ($(call links,archive.h,-larchive -ljansson -lz -lmd),0)
$(error $(CC) cannot build a program with libarchive, jansson, zlib and libmd: ./bootstrap installs \
	what is missing)
endif
endif

# ---- flags ---------------------------------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
	-Wundef -Wpointer-arith
ALL_CPPFLAGS := -Ilib -D_GNU_SOURCE -DFX_HAVE_DNNL=$(HAVE_DNNL) -DFX_HAVE_CUDA=$(HAVE_CUDA) \
	$(CPPFLAGS)
ALL_CFLAGS := -std=c17 $(WARNINGS) $(WERROR) -fno-math-errno $(CFLAGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_LDFLAGS := $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
LDLIBS := -larchive -ljansson -lz -lmd -lm -lpthread $(if $(filter 1,$(HAVE_DNNL)),-ldnnl -lgomp) \
	$(if $(filter 1,$(HAVE_CUDA)),$(CUDA_LIBS))

# The cpu back end's loops share oneDNN's OpenMP threads; plain vectors are wider than SSE's.
$(B)/lib/backend/cpu/%.o: ALL_CFLAGS += -fopenmp
$(B)/lib/backend/cpu/loops_plain.o: ALL_CFLAGS += -Wno-psabi

# Other flags than last time rebuild everything: every object depends on the file that holds them.
FLAGS := $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LDLIBS) $(VERSION)
ifneq ($(BUILDS),)
ifneq ($(file <$(B)/flags),$(FLAGS))
$(shell mkdir -p $(B))$(file >$(B)/flags,$(FLAGS))
endif
endif

# ---- sources -------------------------------------------------------------------------------------
LIB_DIRS := base tensor archive data net backend backend/ref backend/host backend/lower train \
	track \
	$(if $(filter 1,$(HAVE_DNNL)),backend/cpu) $(if $(filter 1,$(HAVE_CUDA)),backend/cuda)
LIB_SRC := $(foreach d,$(LIB_DIRS),$(wildcard lib/$(d)/*.c))
KERNELS := $(if $(filter 1,$(HAVE_CUDA)),$(wildcard kernels/*.cu))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(KERNELS:%.cu=$(B)/%.o)
LIB := $(B)/libfusion.a
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
TOOL_BINS := $(TOOLS:%=$(B)/bin/%)
# C tests (cmocka), and the programs that make test inputs (plain C, also used by the demo).
UNIT_SRC := $(filter-out $(if $(filter 1,$(HAVE_DNNL)),,tests/unit/cpu_%),$(wildcard tests/unit/*.c \
	tests/ops/*.c tests/fuzz/*.c))
UNIT_BINS := $(UNIT_SRC:%.c=$(B)/%)
MAKER_SRC := $(wildcard tests/*.c)
MAKER_BINS := $(MAKER_SRC:%.c=$(B)/%)

# ---- build ---------------------------------------------------------------------------------------
all: $(LIB) $(TOOL_BINS) ## build every tool
	@echo "fusion-tools $(VERSION): $(words $(TOOLS)) tools in $(B)/bin;" \
	  "oneDNN (--device cpu): $(if $(filter 1,$(HAVE_DNNL)),yes,NO);" \
	  "CUDA (--device cuda): $(if $(filter 1,$(HAVE_CUDA)),yes,NO)"

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -DFX_VERSION='"$(VERSION)"' \
	  -MMD -MP -c -o $@ $<

$(B)/%.o: %.cu $(B)/flags
	@mkdir -p $(@D)
	$(call say,NVCC,$<)$(NVCC) -Ilib -O3 -lineinfo $(NVCCFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)$(AR) rcs $@ $^

$(B)/bin/%: $(B)/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(UNIT_BINS): %: %.o $(LIB)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

$(MAKER_BINS): %: %.o $(LIB)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

unit: $(UNIT_BINS) $(MAKER_BINS) ## build the C tests

sanitize: ## build tools and C tests with the address and undefined behaviour sanitizers
	$(MAKE) SAN=address,undefined all unit

clean: ## remove what was built
	rm -rf build

# ---- install -------------------------------------------------------------------------------------
PAGES := $(wildcard man/*.[157])
SHARED := $(filter-out %/completion.bash %/demo.mk %/slurm,$(wildcard pipelines/*))
install: all ## copy tools, man pages and pipelines to $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DATADIR) $(DESTDIR)$(COMPDIR)
	install -m 755 $(TOOL_BINS) $(DESTDIR)$(BINDIR)
	for page in $(PAGES); do install -D -m 644 -t $(DESTDIR)$(MANDIR)/man$${page##*.} $$page; done
	cp $(SHARED) $(DESTDIR)$(DATADIR)
	cp -r pipelines/slurm $(DESTDIR)$(DATADIR)
	for tool in $(TOOLS); do { cat pipelines/completion.bash; \
	  echo "complete -o filenames -F _fusion_tools $$tool"; } > $(DESTDIR)$(COMPDIR)/$$tool; done

uninstall: ## remove every file that install put there
	rm -f $(TOOLS:%=$(DESTDIR)$(BINDIR)/%) $(TOOLS:%=$(DESTDIR)$(COMPDIR)/%)
	for page in $(PAGES); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page#man/}; done
	rm -rf $(DESTDIR)$(DATADIR)

dist: ## pack the sources of this version
	git archive --prefix=fusion-tools-$(VERSION)/ -o fusion-tools-$(VERSION).tar.gz HEAD

# The pipelines call the tools by name, as a person would.
export PATH := $(CURDIR)/$(B)/bin:$(CURDIR)/$(B)/tests:$(PATH)
include pipelines/fusions.mk
include pipelines/demo.mk
include tests/check.mk
include bench/bench.mk

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: all unit sanitize clean install uninstall dist help

-include $(LIB_OBJ:.o=.d) $(TOOLS:%=$(B)/tools/%.d) $(UNIT_BINS:=.d) $(MAKER_BINS:=.d) \
	$(BENCH_BINS:=.d)
