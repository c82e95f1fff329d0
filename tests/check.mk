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

check: all unit ## run every test; the last line counts them
	@$(MAKE) --no-print-directory SAN=address,undefined all unit
	@rm -rf $(CHECK)
	@$(MAKE) --no-print-directory -j$(CHECK_JOBS) $(SUITES:%=$(CHECK)/%.tap)
	@tests/summary $(CHECK) $(SUITES)

# The shortest way to one file while working on it: make check-bats T=tests/metrics-csv.bats
check-bats: all unit
	FX_BUILD=$(abspath $(B)) bats $(T)

$(BATS_SUITES:%=$(CHECK)/%.tap): $(CHECK)/%.tap: tests/%.bats
	@FX_BUILD=$(abspath $(B)) tests/run-suite $* $@ bats --tap $<

$(SAN_BATS:%=$(CHECK)/sanitized/%.tap): $(CHECK)/sanitized/%.tap: tests/%.bats
	@FX_BUILD=$(abspath $(SAN_B)) tests/run-suite sanitized/$* $@ bats --tap $<

$(C_SUITES:%=$(CHECK)/%.tap): $(CHECK)/%.tap:
	@FX_BUILD=$(abspath $(B)) tests/run-suite $* $@ $(B)/tests/$*

$(C_SUITES:%=$(CHECK)/sanitized/%.tap): $(CHECK)/sanitized/%.tap:
	@FX_BUILD=$(abspath $(SAN_B)) tests/run-suite sanitized/$* $@ $(SAN_B)/tests/$*

C_FILES = $(shell find lib tools tests kernels -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh')
lint: ## the tests of the source text: style, cppcheck, shellcheck, man pages
	FX_BUILD=$(abspath $(B)) bats tests/tidy.bats

format: ## clang-format every C file in place
	clang-format -i $(C_FILES)

.PHONY: check check-bats lint format
