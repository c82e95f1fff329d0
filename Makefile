# fusion-tools: `make` builds the tools, `make check` tests them, `make help` lists the rest.
include config.mk

# The version stands in one place: the first heading of CHANGELOG.md that has a number.
VERSION := $(shell sed -n '/^\#\# \[[0-9]/{s/^\#\# \[\([^]]*\)\].*/\1/p;q;}' CHANGELOG.md)

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
SAN_NAME := $(subst $(comma),-,$(SAN))
SIM_NAME := $(if $(CUDA_SIM),$(if $(SAN),-)cuda-sim)
B ?= build/$(or $(SAN_NAME)$(SIM_NAME),release)$(WITHOUT)

# For the builds that a target starts by itself: all cores, unless -j was given.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

# make V=1 shows the commands.
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2);)

# ---- what this machine has -----------------------------------------------------------------------
# complaint(start of a program, libraries): what is wrong with it first, or nothing if it compiles
# and links.
hash := \#
complaint = $(shell said=$$(printf '$(1)\nint main(void){return 0;}\n' | LC_ALL=C \
	$(CC) $(CPPFLAGS) -x c - -o /dev/null $(LDFLAGS) $(2) 2>&1) || \
	grep -m1 -E 'error|cannot find' <<<"$$said" || echo "$(CC) fails")
# links(header, libraries): 1 when a program with them compiles and links.
links = $(if $(call complaint,$(hash)include <$(1)>,$(2)),0,1)
# have(wanted, found, complaint): the answer to work with; wanted=1 and found=0 is an error.
have = $(if $(filter 0,$(1)),0,$(if $(filter 10,$(1)$(2)),$(error $(3)),$(2)))

# What builds nothing needs nothing of it.
BUILDS := $(filter-out clean help dist deb uninstall format tidy check-gpu-run check-fresh,$(or \
	$(MAKECMDGOALS),all))
ifneq ($(BUILDS),)
override HAVE_DNNL := $(call have,$(HAVE_DNNL),$(call links,oneapi/dnnl/dnnl.h,-ldnnl \
	-fopenmp),HAVE_DNNL=1 but a program with oneDNN and OpenMP does not compile and link (Debian: \
	libdnnl-dev, and libomp-dev for clang))
# CUDA is the toolkit's or, with CUDA_SIM=1, the simulator in tests/cuda-sim, which needs none.
# cuda_folder(file, folders): the one that has it, as NVIDIA, conda or pip lay the toolkit out.
cuda_folder = $(patsubst %/$(1),%,$(firstword $(wildcard $(2:%=$(CUDA_HOME)/%/$(1)))))
CUDA_INCLUDE := $(if $(CUDA_SIM),tests/cuda-sim/include,$(or $(call \
	cuda_folder,cuda_runtime_api.h,include targets/*/include),$(CUDA_HOME)/include))
CUDA_MAJOR := $(if $(CUDA_SIM),,$(shell sed -nE \
	's/^ *$(hash)define CUDART_VERSION +([0-9]+)[0-9]{3} *$$/\1/p' \
	$(CUDA_INCLUDE)/cuda_runtime_api.h 2>/dev/null))
CUDA_LIB := $(or $(call cuda_folder,libcudart_static.a,lib64 lib targets/*/lib),$(CUDA_HOME)/lib64)
# cuDNN and cuBLASLt are loaded when they are needed (lib/backend/cuda/vendor).
CUDA_LIBS := $(if $(CUDA_SIM),,-L$(CUDA_LIB) $(CUDA_RPATH) \
	-lcudart_static -ldl -lrt) -lpthread -lstdc++
CUDA_PROBE := $(foreach header,cuda_runtime_api cublasLt cudnn,$(hash)include <$(header).h>\n) \
	$(hash)if CUDART_VERSION < 12000 || CUDNN_VERSION < 90800\n \
	$(hash)error CUDA 12 and cuDNN 9.8 are the oldest that will do\n $(hash)endif
# What CUDA lacks, in words; said where there is an nvcc, and so somebody who wanted it.
NVCC_FOUND := $(if $(CUDA_SIM)$(filter 0,$(HAVE_CUDA)),,$(shell command -v $(NVCC)))
CUDA_LACKS := $(if $(CUDA_SIM),,$(if $(NVCC_FOUND),$(call complaint,$(CUDA_PROBE),-I$(CUDA_INCLUDE) \
	$(CUDA_LIBS)),there is no nvcc: $(NVCC)))
$(if $(NVCC_FOUND),$(if $(CUDA_LACKS),$(warning CUDA is left out: $(CUDA_LACKS))))
override HAVE_CUDA := $(call have,$(HAVE_CUDA),$(if $(CUDA_LACKS),0,1),HAVE_CUDA=1 but \
	$(CUDA_LACKS))
NEEDED := $(foreach header,archive jansson png stdio jpeglib,$(hash)include <$(header).h>\n)
ifneq ($(call complaint,$(NEEDED),-larchive -ljansson -ljpeg -lpng -lz -lmd),)
$(error $(CC) cannot build a program with libarchive, jansson, zlib, libmd, libjpeg and libpng: \
	./bootstrap installs what is missing)
endif
endif

# ---- flags ---------------------------------------------------------------------------------------
HAVE_KERNELS := $(CUDA_SIM)$(filter 1,$(HAVE_CUDA))
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
	-Wundef -Wpointer-arith
ALL_CPPFLAGS := -Ilib -D_GNU_SOURCE -DFX_HAVE_DNNL=$(HAVE_DNNL) -DFX_HAVE_CUDA=$(HAVE_CUDA) \
	-DFX_CUDA_SIM=$(if $(CUDA_SIM),1,0) $(CPPFLAGS)
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# Everything may become part of libfusion.so.
ALL_CFLAGS := -std=c17 $(WARNINGS) -fno-math-errno -ffp-contract=off -fPIC \
	-fno-semantic-interposition $(CFLAGS) $(SAN_FLAGS)
ALL_LDFLAGS := $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
# The simulator is C++, which has a part of its own in clang's sanitizers.
LINK = $(if $(CUDA_SIM),$(CXX),$(CC)) $(ALL_CFLAGS) $(ALL_LDFLAGS)
LDLIBS := -larchive -ljansson -ljpeg -lpng -lz -lmd -lm -lpthread \
	$(if $(filter 1,$(HAVE_DNNL)),-ldnnl -fopenmp) $(if $(HAVE_KERNELS),$(CUDA_LIBS))

# The cpu back end's loops share oneDNN's OpenMP threads; plain vectors are wider than SSE's.
$(B)/lib/backend/cpu/%.o: ALL_CFLAGS += -fopenmp
$(B)/lib/backend/cpu/%_plain.o: ALL_CFLAGS += -Wno-psabi
# Transforms are loops of six that are to lie open in registers.
$(B)/lib/backend/cpu/winograd_%.o $(B)/lib/backend/cpu/im2col_%.o: ALL_CFLAGS += -O3

# What sees CUDA's headers.
$(B)/lib/backend/cuda/%.o $(B)/tests/cuda/%.o $(B)/tests/kernels/%.o $(B)/tests/cudnn-%.o \
	$(B)/tests/ops/conv_full.o $(B)/bench/rates.o: ALL_CPPFLAGS += -I. -isystem $(CUDA_INCLUDE) \
	  -DFX_CUDA_OLDEST=$(if $(CUDA_SIM),70,$(firstword $(CUDA_ARCHS)))
# Kernels, by nvcc: bytes of images are those of the CPU only without fused multiply-add.
KERNEL_FLAGS := -std=c++17 -Ilib -O3 -lineinfo -Xfatbin -compress-all -Xcompiler -Wall,-fPIC \
	$(NVCCFLAGS)
$(B)/kernels/augment.o $(B)/kernels/input.o: FMAD := --fmad=false
# The simulator and, for it, kernels: plain C++, in which a float may also be read as a float4.
SIM_CXXFLAGS := -std=c++17 -I. -Ilib -isystem $(CUDA_INCLUDE) -Wall -Wextra \
	-Wno-unknown-pragmas -Wno-unused-function -O2 -g -ffp-contract=off -fno-strict-aliasing \
	-fno-math-errno $(CPPFLAGS) $(SAN_FLAGS)
$(B)/tests/cuda-sim/sim_product.o: SIM_CXXFLAGS += -O3
# Every access of a kernel is shown to the simulator (sim_access.cpp), unless sanitizers watch.
SIM_ACCESS := $(if $(SAN),,-fsanitize=thread)
$(B)/kernels/%.o $(B)/tests/ops/naive_conv.o $(B)/tests/unit/sim_memory.o \
	$(B)/tests/unit/sim_races.o: SIM_CXXFLAGS += $(SIM_ACCESS)

# Other flags than last time rebuild everything: every object depends on the file that holds them.
# (make 4.3 does not always take the newline from what $(file <) reads.)
FLAGS := $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LDLIBS) $(VERSION) \
	$(if $(CUDA_SIM),$(CXX) $(SIM_CXXFLAGS) $(SIM_ACCESS),$(NVCC) $(KERNEL_FLAGS))
ifneq ($(BUILDS),)
ifneq ($(strip $(file <$(B)/flags)),$(strip $(FLAGS)))
$(shell mkdir -p $(B))$(file >$(B)/flags,$(FLAGS))
endif
endif

# ---- sources -------------------------------------------------------------------------------------
LIB_DIRS := base tensor archive data image score net net/arch net/fusion onnx ops backend \
	backend/ref backend/host backend/lower checkpoint config run predict track \
	$(if $(filter 1,$(HAVE_DNNL)),backend/cpu) \
	$(if $(filter 1,$(HAVE_CUDA)),backend/cuda backend/cuda/vendor)
LIB_SRC := $(foreach d,$(LIB_DIRS),$(wildcard lib/$(d)/*.c))
KERNELS := $(if $(HAVE_KERNELS),$(wildcard kernels/*.cu))
# The simulator, and in place of what calls cuDNN and cuBLASLt its own.
SIM_SRC := $(if $(CUDA_SIM),$(wildcard tests/cuda-sim/*.cpp))
VENDOR_SRC := $(wildcard lib/backend/cuda/vendor/*.c)
LIB_OBJ := $(addprefix $(B)/,$(addsuffix .o,$(basename $(SIM_SRC) $(KERNELS) \
	$(filter-out $(if $(CUDA_SIM),$(VENDOR_SRC)),$(LIB_SRC)))))
LIB := $(B)/libfusion.a
# For other programs (libfusion(3)); not with sanitizers, nor with the simulator.
SHARED_LIB := $(if $(SAN)$(CUDA_SIM),,$(B)/libfusion.so.1)
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
TOOL_BINS := $(TOOLS:%=$(B)/bin/%)
# C tests (cmocka), and the programs that make test inputs (plain C, also used by the demo).
# unit_src(kernels or empty, simulator or empty): those that a build with these can run.  tests/cuda
# tests what calls cuDNN and cuBLASLt, with the libraries.
unit_src = $(filter-out $(if $(filter 1,$(HAVE_DNNL)),,tests/unit/cpu_%) \
	$(if $(1),,tests/ops/conv_full.c) $(if $(2),,tests/unit/sim_%),$(wildcard tests/unit/*.c \
	tests/unit/*.cpp tests/ops/*.c tests/fuzz/*.c $(if $(1),tests/kernels/*.c \
	$(if $(2),,tests/cuda/*.c))))
UNIT_SRC := $(call unit_src,$(HAVE_KERNELS),$(CUDA_SIM))
UNIT_BINS := $(addprefix $(B)/,$(basename $(UNIT_SRC)))
# Without cuDNN itself, what asks it questions is left out.
MAKER_SRC := $(filter-out $(if $(filter-out 1,$(HAVE_CUDA))$(CUDA_SIM),tests/cudnn-%),$(wildcard \
	tests/*.c))
MAKER_BINS := $(MAKER_SRC:%.c=$(B)/%)

# ---- build ---------------------------------------------------------------------------------------
all: $(LIB) $(SHARED_LIB) $(TOOL_BINS) ## build every tool
	@echo "fusion-tools $(VERSION): $(words $(TOOLS)) tools in $(B)/bin;" \
	  "oneDNN (--device cpu): $(if $(filter 1,$(HAVE_DNNL)),yes,NO);" \
	  "CUDA (--device cuda): $(if $(filter 1,$(HAVE_CUDA)),$(if $(CUDA_SIM),simulated,yes),NO)"

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(WERROR) -DFX_VERSION='"$(VERSION)"' \
	  -MMD -MP -c -o $@ $<

ifneq ($(CUDA_SIM),)
$(B)/%.o: %.cu $(B)/flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(SIM_CXXFLAGS) $(WERROR) -MMD -MP -c -o $@ -x c++ $<

$(B)/%.o: %.cpp $(B)/flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(SIM_CXXFLAGS) $(WERROR) -MMD -MP -c -o $@ $<
else
$(B)/%.o: %.cu $(B)/flags
	@mkdir -p $(@D)
	$(call say,NVCC,$<)$(NVCC) $(KERNEL_FLAGS) $(FMAD) -MMD -MP -c -o $@ $<
endif

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)$(AR) qcs $@ $^ # q: members may have the same name

$(B)/libfusion.so.1: $(LIB) lib/predict/libfusion.map
	$(call say,LD,$@)$(LINK) -shared -Wl,-soname,$(@F) -Wl,--version-script,lib/predict/libfusion.map \
	  -Wl,-z,defs -Wl,-u,fusion_open -o $@ $(LIB) $(LDLIBS)

$(B)/bin/%: $(B)/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD,$@)$(LINK) -o $@ $^ $(LDLIBS)

# Programs that stand in for functions of the libraries need them shared, and their own to be found.
$(B)/tests/cuda/%: LDLIBS := $(LDLIBS:-lcudart_static=-lcudart) -l:libcudnn.so.9 -lcublasLt \
	-rdynamic

$(UNIT_BINS): %: %.o $(LIB)
	$(call say,LD,$@)$(LINK) -o $@ $^ -lcmocka $(LDLIBS)

$(MAKER_BINS): %: %.o $(LIB)
	$(call say,LD,$@)$(LINK) -o $@ $^ $(LDLIBS)

# Beside loops of its own on the device.
$(B)/tests/ops/conv_full: $(B)/tests/ops/naive_conv.o
$(B)/tests/ops/naive_conv.o: KERNEL_FLAGS += -I.

unit: $(UNIT_BINS) $(MAKER_BINS) ## build the C tests

sanitize: ## build tools and C tests with the address and undefined behaviour sanitizers
	$(MAKE) SAN=address,undefined all unit

clean: ## remove what was built
	rm -rf build

# ---- install -------------------------------------------------------------------------------------
# The scripts stay beside the rules that they belong to; in BINDIR is a link to each.
SCRIPTS := fusion-table fusion-spread plot-curves slurm/submit-all-fusions
PAGES := $(wildcard man/*.[1357])
SHARED := $(filter-out %/completion %/demo.mk %/slurm,$(wildcard pipelines/*)) \
	$(wildcard lib/net/*.def)
COMMANDS := $(TOOLS) $(notdir $(SCRIPTS))
# What bash, zsh and fish know about the tools; bash and fish look for a file of the tool's name.
COMPLETIONS := $(COMMANDS:%=$(COMPDIR)/%) $(ZSHDIR)/_fusion-tools $(COMMANDS:%=$(FISHDIR)/%.fish)
LIBRARY := $(LIBDIR)/libfusion.a $(LIBDIR)/libfusion.so.1 $(LIBDIR)/libfusion.so \
	$(LIBDIR)/pkgconfig/libfusion.pc $(INCLUDEDIR)/fusion.h
completion = sed 's|@DATADIR@|$(DATADIR)|; s|@TOOLS@|$(COMMANDS)|' pipelines/completion/$(1)
install: all ## copy tools, library, man pages, completion and pipelines to $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DATADIR)/completion $(DESTDIR)$(DATADIR)/slurm \
	  $(DESTDIR)$(COMPDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR)
	install -m 755 $(TOOL_BINS) $(DESTDIR)$(BINDIR)
	install -D -m 644 -t $(DESTDIR)$(LIBDIR) $(LIB) $(SHARED_LIB)
	$(if $(SHARED_LIB),ln -sf libfusion.so.1 $(DESTDIR)$(LIBDIR)/libfusion.so)
	install -D -m 644 -t $(DESTDIR)$(INCLUDEDIR) lib/predict/fusion.h
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	  -e 's|@LIBS@|$(LDLIBS)|; s|@VERSION@|$(VERSION)|' lib/predict/libfusion.pc.in \
	  > $(DESTDIR)$(LIBDIR)/pkgconfig/libfusion.pc
	for page in $(PAGES); do install -D -m 644 -t $(DESTDIR)$(MANDIR)/man$${page##*.} $$page; done
	cp $(SHARED) $(DESTDIR)$(DATADIR)
	install -D -m 644 -t $(DESTDIR)$(DATADIR)/python python/fusion_models.py
	cp pipelines/slurm/* $(DESTDIR)$(DATADIR)/slurm
	cp pipelines/completion/option-table $(DESTDIR)$(DATADIR)/completion
	for script in $(SCRIPTS); do \
	  ln -srf $(DESTDIR)$(DATADIR)/$$script $(DESTDIR)$(BINDIR); done
	$(call completion,zsh) > $(DESTDIR)$(ZSHDIR)/_fusion-tools
	for tool in $(COMMANDS); do \
	  $(call completion,bash) > $(DESTDIR)$(COMPDIR)/$$tool; \
	  $(call completion,fish) > $(DESTDIR)$(FISHDIR)/$$tool.fish; done

uninstall: ## remove every file that install put there
	rm -f $(COMMANDS:%=$(DESTDIR)$(BINDIR)/%) $(COMPLETIONS:%=$(DESTDIR)%) \
	  $(LIBRARY:%=$(DESTDIR)%)
	for page in $(PAGES); do rm -f $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page#man/}; done
	rm -rf $(DESTDIR)$(DATADIR)

dist: ## pack the sources of this version: build/fusion-tools-VERSION.tar.gz
	@git rev-parse -q --verify HEAD >/dev/null || { echo "make dist: not a git checkout" >&2; exit 1; }
	@git diff --quiet HEAD || echo "make dist: changes that are not committed are not in it" >&2
	@mkdir -p build
	git archive --prefix=fusion-tools-$(VERSION)/ -o build/fusion-tools-$(VERSION).tar.gz HEAD

# HAVE_CUDA=1 builds it with CUDA, which is then needed to build, and to run on a GPU.
deb: ## build a Debian package of this system: build/fusion-tools_VERSION_ARCH.deb
	packaging/make-deb $(VERSION) HAVE_CUDA=$(or $(HAVE_CUDA),0) HAVE_DNNL=$(or $(HAVE_DNNL),1)

# The pipelines call the tools by name, as a person would.
export PATH := $(CURDIR)/$(B)/bin:$(CURDIR)/$(B)/tests:$(PATH)
include pipelines/fusions.mk
include pipelines/demo.mk
include tests/check.mk
include tests/gpu.mk
include bench/bench.mk

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: all unit sanitize clean install uninstall dist deb help

-include $(LIB_OBJ:.o=.d) $(TOOLS:%=$(B)/tools/%.d) $(UNIT_BINS:=.d) $(MAKER_BINS:=.d) \
	$(BENCH_BINS:=.d) $(B)/tests/ops/naive_conv.d
