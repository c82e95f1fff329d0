# make check: every suite is one program that speaks TAP; tests/run-suite runs it and keeps its
# output under build/check, tests/summary counts.  Suites run side by side, CHECK_JOBS at a time.
CHECK_JOBS ?= $(shell nproc)
CHECK := build/check
SAN_B := build/address-undefined$(WITHOUT)

BATS_SRC := $(wildcard tests/*.bats tests/*/*.bats)
BATS_SUITES := $(BATS_SRC:tests/%.bats=%)
C_SUITES := $(UNIT_SRC:tests/%.c=%)
# Input that must be refused is also given to the sanitizer build of the tools.
SAN_BATS := $(filter bad%,$(BATS_SUITES))
SUITES := $(BATS_SUITES) $(C_SUITES) $(addprefix sanitized/,$(SAN_BATS) $(C_SUITES))

# What a suite is told: the build under test, and the back ends it was made with.
SUITE_ENV = HAVE_DNNL=$(HAVE_DNNL) HAVE_CUDA=$(HAVE_CUDA) FX_BUILD=$(abspath $(1))

check: ## run every test; the last line counts them
	@$(MAKE) --no-print-directory $(PARALLEL) all unit
	@$(MAKE) --no-print-directory $(PARALLEL) SAN=address,undefined all unit
	@rm -rf $(CHECK)
	@$(MAKE) --no-print-directory -j$(CHECK_JOBS) $(SUITES:%=$(CHECK)/%.tap)
	@tests/summary $(CHECK) $(SUITES)

# The shortest way to one file while working on it: make check-bats T=tests/metrics-csv.bats
check-bats: all unit
	$(call SUITE_ENV,$(B)) env --default-signal bats $(T)

$(BATS_SUITES:%=$(CHECK)/%.tap): $(CHECK)/%.tap: tests/%.bats
	@$(call SUITE_ENV,$(B)) tests/run-suite $* $@ bats --tap $<

$(SAN_BATS:%=$(CHECK)/sanitized/%.tap): $(CHECK)/sanitized/%.tap: tests/%.bats
	@$(call SUITE_ENV,$(SAN_B)) tests/run-suite sanitized/$* $@ bats --tap $<

$(C_SUITES:%=$(CHECK)/%.tap): $(CHECK)/%.tap:
	@$(call SUITE_ENV,$(B)) tests/run-suite $* $@ $(B)/tests/$*

$(C_SUITES:%=$(CHECK)/sanitized/%.tap): $(CHECK)/sanitized/%.tap:
	@$(call SUITE_ENV,$(SAN_B)) tests/run-suite sanitized/$* $@ $(SAN_B)/tests/$*

C_FILES = $(shell find lib tools tests kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh')
lint: ## the tests of the source text: style, cppcheck, shellcheck, man pages
	$(call SUITE_ENV,$(B)) bats tests/tidy.bats

format: ## clang-format every C file in place
	clang-format -i $(C_FILES)

.PHONY: check check-bats lint format
