# make check-gpu: what only a GPU can show.  Operators, kernels, whole models and tools on the
# device, against ref and PyTorch, and kernels under compute-sanitizer; a test that finds no device
# fails.  Suites run as in check.mk, GPU_JOBS at a time.
GPU_JOBS ?= 4
GPU_CHECK ?= build/check-gpu
GPU_C := $(filter ops/% kernels/% cuda/%,$(call suites_of,$(call unit_src,1,)))
GPU_BATS := $(CUDA_BATS) cuda/plans \
	$(addprefix torch/,logits steps learning trained_logits)
# Kernels alone, and for accesses whole models with the libraries in between.
GPU_SANITIZED := $(addprefix memcheck/,ops/models ops/step $(filter kernels/%,$(GPU_C))) \
	$(foreach check,racecheck initcheck,$(addprefix $(check)/,$(filter kernels/%,$(GPU_C))))
GPU_SUITES := $(GPU_C) $(GPU_BATS) $(GPU_SANITIZED)
# cuDNN's plans are kept for these tests, and for nobody else.
GPU_ENV = $(call SUITE_ENV,$(B)) HAVE_CUDA=1 FX_REQUIRE_DEVICE=cuda FX_REAL_GPU=1 \
	CUDA_HOME=$(CUDA_HOME) FUSION_CACHE_DIR=$(abspath $(GPU_CHECK))/cache

check-gpu: ## with a GPU: tests of the CUDA back end on it, beside PyTorch and compute-sanitizer
	$(if $(CUDA_SIM),$(error check-gpu is for a real GPU; make check runs the simulator))
	@$(MAKE) --no-print-directory $(PARALLEL) HAVE_CUDA=1 all unit
	@$(MAKE) --no-print-directory check-gpu-run

# What is built already, or a part: make check-gpu-run GPU_SUITES='ops/conv memcheck/ops/step'
check-gpu-run:
	@$(B)/tests/device-probe cuda || { echo "check-gpu needs an NVIDIA GPU and its driver;" \
	  "make check runs the CUDA back end on a simulator" >&2; exit 77; }
	@rm -rf $(GPU_CHECK)
	@$(MAKE) --no-print-directory BUILDS= -j$(GPU_JOBS) $(GPU_SUITES:%=$(GPU_CHECK)/%.tap)
	@tests/summary $(GPU_CHECK) $(GPU_SUITES)

# The back end by CUDA 12, the last that knows Volta, with cuDNN 9.8 to 9.10: compiled, and cuDNN
# asked for its plans.  It takes no GPU.  CUDA12: the toolkit; tests/cuda12-toolkit makes one.
CUDA12 ?= $(firstword $(wildcard /usr/local/cuda-12*) build/cuda12-toolkit)
CUDA12_B := build/cuda12

check-cuda12: ## compile the CUDA back end by CUDA12=DIR, check kernels and plans for V100 and newer
	@[ -x $(CUDA12)/bin/nvcc ] || { echo "CUDA12=$(CUDA12): no toolkit; tests/cuda12-toolkit" \
	  "$(CUDA12) puts one together" >&2; exit 1; }
	@$(MAKE) --no-print-directory $(PARALLEL) B=$(CUDA12_B) HAVE_CUDA=1 \
	  CUDA_HOME=$(abspath $(CUDA12)) NVCC=$(abspath $(CUDA12))/bin/nvcc all unit
	@$(call SUITE_ENV,$(CUDA12_B)) HAVE_CUDA=1 CUDA12=$(abspath $(CUDA12)) bats tests/cuda12.bats

# For a machine with a GPU, but without compiler and libraries.
pack-gpu:
	@$(MAKE) --no-print-directory $(PARALLEL) HAVE_CUDA=1 all unit $(BENCH_BINS)
	tests/gpu-pack $(B) build/gpu.tar.xz

$(GPU_C:%=$(GPU_CHECK)/%.tap): $(GPU_CHECK)/%.tap:
	@$(GPU_ENV) tests/run-suite $* $@ $(B)/tests/$*

$(GPU_BATS:%=$(GPU_CHECK)/%.tap): $(GPU_CHECK)/%.tap: tests/%.bats
	@$(GPU_ENV) tests/run-suite $* $@ bats --tap $<

$(GPU_SANITIZED:%=$(GPU_CHECK)/%.tap): $(GPU_CHECK)/%.tap:
	@$(GPU_ENV) tests/run-suite $* $@ tests/gpu-sanitizer $(firstword $(subst /, ,$*)) \
	  $(B)/tests/$(patsubst $(firstword $(subst /, ,$*))/%,%,$*)

.PHONY: check-gpu check-gpu-run check-cuda12 pack-gpu
