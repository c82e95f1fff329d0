# make check: every suite is one program that speaks TAP; tests/run-suite runs it and keeps its
# output under build/check, tests/summary counts.  Suites run side by side, CHECK_JOBS at a time.
CHECK_JOBS ?= $(shell nproc)
CHECK := build/check
# The CUDA back end runs on the simulator, with the sanitizers too, unless HAVE_CUDA=0 forbids it.
SIM := $(if $(filter %-nocuda,$(WITHOUT)),,1)
SIM_B := build/cuda-sim$(WITHOUT)
SAN_B := build/address-undefined$(if $(SIM),-cuda-sim)$(WITHOUT)

BATS_SRC := $(filter-out tests/fresh/%,$(wildcard tests/*.bats tests/*/*.bats))
BATS_SUITES := $(BATS_SRC:tests/%.bats=%)
suites_of = $(patsubst tests/%,%,$(basename $(1)))
C_SUITES := $(call suites_of,$(UNIT_SRC))
SAN_C_SUITES := $(call suites_of,$(call unit_src,$(SIM),$(SIM)))
SIM_SUITES := $(if $(SIM),$(filter ops/% kernels/% unit/sim_% unit/backends,$(SAN_C_SUITES)))
# The tools on a GPU, real (where there is one) and simulated.
CUDA_BATS := cuda/cuda_tools cuda/cuda_resume cuda/cuda_choice cuda/first_light
SIM_BATS := $(if $(SIM),$(CUDA_BATS))
# Input that must be refused is also given to the sanitizer build of the tools.
SAN_BATS := $(filter bad% attack/kept pictures fusion-predict,$(BATS_SUITES))
ALL_SUITES := $(BATS_SUITES) $(C_SUITES) $(addprefix cuda-sim/,$(SIM_SUITES) $(SIM_BATS)) \
	$(addprefix sanitized/,$(SAN_BATS) $(SAN_C_SUITES))
# A look at every build and at what the tools need of a system: SUITES='$(QUICK_SUITES)'
QUICK_SUITES = $(filter unit/% cuda-sim/unit/% sanitized/unit/% bootstrap cifar-prep ckpt-split \
	expert-load metrics-csv options tidy torch/pth_roundtrip,$(ALL_SUITES))
# Fresh machines that are to run README.md's commands too: FRESH='bookworm-root trixie-user'
FRESH :=
SUITES = $(ALL_SUITES) $(FRESH_SUITES)
FRESH_SUITES = $(FRESH:%=fresh/%)

# What a suite is told: the build under test, and the back ends it was made with.
SUITE_ENV = HAVE_DNNL=$(HAVE_DNNL) HAVE_CUDA=$(HAVE_CUDA) FX_BUILD=$(abspath $(1))
SIM_ENV = HAVE_DNNL=$(HAVE_DNNL) FX_BUILD=$(abspath $(1)) \
	$(if $(SIM),HAVE_CUDA=1 FX_REQUIRE_DEVICE=cuda,HAVE_CUDA=0)

# Compilers whose warnings are known: with these a warning fails the check, unless WERROR is given.
KNOWN_COMPILERS := gcc-12 gcc-14 clang-14
compiler = $(lastword $(shell $(1) -E -P -x c - \
	<<<$$'$(hash)ifdef __clang__\nclang-__clang_major__\n$(hash)else\ngcc-__GNUC__\n$(hash)endif'))
COMPILERS = $(call compiler,$(CC)) $(call compiler,$(CXX))
CHECK_WERROR = WERROR=$(if $(filter-out file,$(origin WERROR)),'$(WERROR)',$(if $(filter-out \
	$(KNOWN_COMPILERS),$(COMPILERS)),,-Werror))

# make check SUITES='unit/options sanitized/bad' runs, and builds, what these need.
needs = $(if $(filter $(1),$(SUITES)),@$(MAKE) --no-print-directory $(PARALLEL) $(CHECK_WERROR) \
	$(2) all unit)
check: ## run every test; the last line counts them
	$(if $(findstring command,$(origin T)),$(error make check runs every test; \
	  one file: make check-bats T=$(T)))
	$(if $(filter-out cuda-sim/% sanitized/%,$(SUITES)),$(call needs,%))
	$(call needs,cuda-sim/%,CUDA_SIM=1)
	$(call needs,sanitized/%,SAN=address$(comma)undefined CUDA_SIM=$(SIM))
	@$(MAKE) --no-print-directory suites

suites:
	@rm -rf $(CHECK)
	@$(MAKE) --no-print-directory -j$(CHECK_JOBS) $(SUITES:%=$(CHECK)/%.tap)
	@tests/summary $(CHECK) $(SUITES)

check-fresh: ## README.md's commands on a fresh Debian, as root and as a user: SUITE=trixie
	@[ -n "$(SUITE)$(FRESH)" ] || { echo "check-fresh: of which Debian? SUITE=trixie" >&2; exit 2; }
	@FRESH_WHOLE=1 $(MAKE) --no-print-directory CHECK=build/check-fresh CHECK_JOBS=1 \
	  FRESH='$(or $(FRESH),$(SUITE)-root $(SUITE)-user)' SUITES='$$(FRESH_SUITES)' suites

# The shortest way to one file while working on it: make check-bats T=tests/metrics-csv.bats
check-bats: all unit
	$(call SUITE_ENV,$(B)) env --default-signal bats $(T)

check-attack: all unit ## every call and allocation fails, the power goes at every point
	FX_ATTACK=0 $(call SUITE_ENV,$(B)) bats tests/attack

# What reads strangers' bytes (tests/fuzz/targets.h) under libFuzzer, one target after the other;
# what was found stays in build/fuzz/corpus, and is where it goes on.
FUZZ := pth pickle safetensors npy cifar picture metrics resume options writers
FUZZ_SECONDS := 60
# build_fuzzer FOLDER FLAGS SANITIZERS
define build_fuzzer
@$(MAKE) --no-print-directory $(PARALLEL) CC=clang CFLAGS='-O1 -g -fsanitize=fuzzer-no-link $(2)' \
  SAN=$(3) HAVE_CUDA=0 HAVE_DNNL=0 B=build/$(1) build/$(1)/libfusion.a
clang -std=c17 -D_GNU_SOURCE -Ilib -O1 -g -fsanitize=fuzzer $(2) $(addprefix -fsanitize=,$(3)) \
  -o build/$(1)/fuzzer tests/attack/fuzzer.c build/$(1)/libfusion.a \
  -larchive -ljansson -ljpeg -lpng -lz -lmd -lm -lpthread
@python3 tests/attack/seeds.py build/fuzz/seeds
@mkdir -p $(FUZZ:%=build/fuzz/corpus/%) $(FUZZ:%=build/fuzz/seeds/%)
endef
fuzz_inputs = build/fuzz/corpus/$$target build/fuzz/seeds/$$target \
	$$(ls -d tests/fuzz/kept/$$target 2>/dev/null)
fuzz: ## the readers of strangers' files under libFuzzer (clang): FUZZ=cifar FUZZ_SECONDS=3600
	$(call build_fuzzer,fuzz,,address$(comma)undefined)
	for target in $(FUZZ); do \
	  FUZZ_TARGET=$$target build/fuzz/fuzzer -max_total_time=$(FUZZ_SECONDS) -max_len=16384 \
	    -timeout=10 -artifact_prefix=build/fuzz/$$target- -print_final_stats=1 \
	    $(fuzz_inputs); done

FUZZ_COVERAGE := build/fuzz-coverage
FUZZED := lib/archive lib/config lib/image lib/tensor lib/track lib/base/option.c \
	$(addprefix lib/run/,finished.c history.c restore.c rundir.c save.c state.c)
fuzz-coverage: ## the lines of each file that what make fuzz has found comes to (llvm-cov)
	$(call build_fuzzer,fuzz-coverage,-fprofile-instr-generate -fcoverage-mapping)
	@rm -f $(FUZZ_COVERAGE)/*.profraw
	@for target in $(FUZZ); do \
	  FUZZ_TARGET=$$target LLVM_PROFILE_FILE=$(FUZZ_COVERAGE)/$$target.profraw \
	    $(FUZZ_COVERAGE)/fuzzer -runs=0 $(fuzz_inputs) 2>$(FUZZ_COVERAGE)/$$target.log || exit; done
	@llvm-profdata merge -o $(FUZZ_COVERAGE)/all $(FUZZ_COVERAGE)/*.profraw
	@llvm-cov report $(FUZZ_COVERAGE)/fuzzer -instr-profile=$(FUZZ_COVERAGE)/all $(FUZZED)

$(BATS_SUITES:%=$(CHECK)/%.tap): $(CHECK)/%.tap: tests/%.bats
	@$(call SUITE_ENV,$(B)) tests/run-suite $* $@ bats --tap $<

$(SAN_BATS:%=$(CHECK)/sanitized/%.tap): $(CHECK)/sanitized/%.tap: tests/%.bats
	@$(call SIM_ENV,$(SAN_B)) tests/run-suite sanitized/$* $@ bats --tap $<

$(SIM_BATS:%=$(CHECK)/cuda-sim/%.tap): $(CHECK)/cuda-sim/%.tap: tests/%.bats
	@$(call SIM_ENV,$(SIM_B)) tests/run-suite cuda-sim/$* $@ bats --tap $<

$(C_SUITES:%=$(CHECK)/%.tap): $(CHECK)/%.tap:
	@$(call SUITE_ENV,$(B)) tests/run-suite $* $@ $(B)/tests/$*

$(SIM_SUITES:%=$(CHECK)/cuda-sim/%.tap): $(CHECK)/cuda-sim/%.tap:
	@$(call SIM_ENV,$(SIM_B)) $(if $(filter kernels/%,$*),CUDA_SIM_RACES=1) \
	  tests/run-suite cuda-sim/$* $@ $(SIM_B)/tests/$*

$(SAN_C_SUITES:%=$(CHECK)/sanitized/%.tap): $(CHECK)/sanitized/%.tap:
	@$(call SIM_ENV,$(SAN_B)) tests/run-suite sanitized/$* $@ $(SAN_B)/tests/$*

$(FRESH_SUITES:%=$(CHECK)/%.tap): $(CHECK)/fresh/%.tap:
	@FRESH=$* FX_SUITE_SECONDS=$(if $(FRESH_WHOLE),9000,3000) tests/run-suite fresh/$* $@ \
	  bats --tap tests/fresh/commands.bats

C_FILES = $(shell find lib tools tests kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \
	-o -name '*.cpp')
lint: ## the tests of the source text: style, cppcheck, shellcheck, man pages
	$(call SUITE_ENV,$(B)) bats tests/tidy.bats

format: ## clang-format every C file in place
	clang-format -i $(C_FILES)

.PHONY: check suites check-fresh check-bats check-attack fuzz fuzz-coverage lint format
