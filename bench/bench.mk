# make bench: what is measured, beside PyTorch where it does the same; bench/RESULTS.md keeps the
# results.  Each program of this folder is one side of a comparison.
BENCH_SRC := $(filter-out $(if $(filter 1,$(HAVE_DNNL)),,bench/layers.c) \
	$(if $(HAVE_KERNELS),,bench/rates.c),$(wildcard bench/*.c))
BENCH_BINS := $(BENCH_SRC:%.c=$(B)/%)
TORCH_PYTHON ?= /usr/bin/python3
# What to measure (also: layers), and a real archive for cifar-prep:
# make bench BENCH="start step" DATA=FILE
BENCH ?= start augment step

$(BENCH_BINS): %: %.o $(LIB)
	$(call say,LD,$@)$(LINK) -o $@ $^ $(LDLIBS)

# The check builds them too: what nobody builds stops to build.
unit: $(BENCH_BINS)

bench: all $(BENCH_BINS) ## measure against PyTorch: start, augmentation, step (BENCH= chooses)
	@bench/machine
	@$(MAKE) -s $(BENCH:%=bench-%)

bench-start: all
	@echo; $(TORCH_PYTHON) bench/start.py $(B)/bin $(wildcard $(DATA))

bench-augment: $(B)/bench/augment
	@echo; $(TORCH_PYTHON) bench/augment.py $<

bench-step: $(B)/bench/step
	@echo; $(TORCH_PYTHON) bench/compare.py $<
	@echo; $(TORCH_PYTHON) bench/compare.py $< --precision bf16

# The convolutions of the four networks, beside oneDNN's: ten minutes.
bench-layers: $(B)/bench/layers
	@$< --arch resnet18 --batch 32
	@$< --arch densenet121 --batch 16
	@$< --arch improved_wideresnet28_10 --batch 8
	@$< --arch preact_resnext29_8x64d --batch 8

# Beside PyTorch on a GPU: TORCH_PYTHON has a PyTorch with CUDA.  All of it takes long, most of it
# in torch.compile; a part: make bench-gpu BENCH_GPU='--sides ours,eager resnet18' PRECISIONS=bf16
BENCH_GPU ?=
PRECISIONS ?= bf16 fp32

bench-gpu: all $(B)/bench/step ## measure the step on a GPU against PyTorch, eager and compiled
	@nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || true
	@status=0; for precision in $(PRECISIONS); do echo; $(TORCH_PYTHON) bench/compare_gpu.py \
	  $(B)/bench/step --precision $$precision $(BENCH_GPU) || status=1; done; exit $$status

.PHONY: bench bench-gpu bench-start bench-augment bench-step bench-layers
