# fusion-tools: `make` builds the tools, `make check` tests them, `make help` lists the rest.
include config.mk

VERSION := 1.0.0
B ?= build/$(if $(SAN),san,release)$(if $(filter 0,$(HAVE_DNNL)),-nodnnl)$(if $(filter 0,$(HAVE_CUDA)),-nocuda)

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

# ---- what this machine has -----------------------------------------------------------------------
# probe(header, libraries): 1 when a program with them compiles and links.
hash := \#
probe = $(shell printf '$(hash)include <$(1)>\nint main(void){return 0;}\n' | \
	$(CC) $(CPPFLAGS) -x c - -o /dev/null $(LDFLAGS) $(2) >/dev/null 2>&1 && echo 1 || echo 0)

ifeq ($(HAVE_DNNL),)
override HAVE_DNNL := $(call probe,oneapi/dnnl/dnnl.h,-ldnnl)
else ifeq ($(HAVE_DNNL),1)
ifneq ($(call probe,oneapi/dnnl/dnnl.h,-ldnnl),1)
$(error HAVE_DNNL=1 but oneDNN does not compile and link (Debian: libdnnl-dev))
endif
endif

# ---- flags ---------------------------------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings \
	-Wundef -Wpointer-arith
WERROR ?= -Werror
ALL_CPPFLAGS := -Ilib -D_GNU_SOURCE -DFX_HAVE_DNNL=$(HAVE_DNNL) $(CPPFLAGS)
ALL_CFLAGS := -std=c17 $(WARNINGS) $(WERROR) -fno-math-errno $(CFLAGS) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_LDFLAGS := $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
LDLIBS := -larchive -ljansson -lz -lmd -lm -lpthread $(if $(filter 1,$(HAVE_DNNL)),-ldnnl)

# ---- sources -------------------------------------------------------------------------------------
LIB_DIRS := base tensor archive data net backend backend/ref backend/host train \
	$(if $(filter 1,$(HAVE_DNNL)),backend/cpu)
LIB_SRC := $(foreach d,$(LIB_DIRS),$(wildcard lib/$(d)/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
LIB := $(B)/libfusion.a
TOOLS := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
TOOL_BINS := $(TOOLS:%=$(B)/bin/%)
UNIT_SRC := $(wildcard tests/unit/*.c tests/ops/*.c)
UNIT_BINS := $(UNIT_SRC:%.c=$(B)/%)

all: $(TOOL_BINS) ## build every tool

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -DFX_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/bin/%: $(B)/tools/%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/tests/%: $(B)/tests/%.o $(LIB)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

unit: $(UNIT_BINS) ## build the C tests

clean: ## remove what was built
	rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: all unit clean help

-include $(LIB_OBJ:.o=.d) $(TOOLS:%=$(B)/tools/%.d) $(UNIT_BINS:=.d)
