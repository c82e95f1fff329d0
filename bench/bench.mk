# make bench: what is measured, beside PyTorch where it does the same; bench/RESULTS.md keeps the
# results.  Each program of this folder is one side of a comparison.
BENCH_SRC := $(wildcard bench/*.c)
BENCH_BINS := $(BENCH_SRC:%.c=$(B)/%)
TORCH_PYTHON ?= /usr/bin/python3
# A real archive for cifar-prep, and what to leave out: make bench BENCH="start step"
DATA ?=
BENCH ?= start augment step

$(BENCH_BINS): %: %.o $(LIB)
	$(call say,LD,$@)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

bench: all $(BENCH_BINS) ## measure against PyTorch: start, augmentation, step (BENCH= chooses)
	@bench/machine
	@$(MAKE) -s $(BENCH:%=bench-%)

bench-start: all
	@echo; $(TORCH_PYTHON) bench/start.py $(B)/bin $(DATA)

bench-augment: $(B)/bench/augment
	@echo; $(TORCH_PYTHON) bench/augment.py $<

bench-step: $(B)/bench/step
	@echo; $(TORCH_PYTHON) bench/compare.py $<
	@echo; $(TORCH_PYTHON) bench/compare.py $< --precision bf16

.PHONY: bench bench-start bench-augment bench-step
