# make check-gpu: what only a GPU can show.  Operators, kernels, whole models and tools on the
# device, against ref and PyTorch, and kernels under compute-sanitizer; a test that finds no device
# fails.  Suites run as in check.mk, GPU_JOBS at a time.
GPU_JOBS ?= 4
GPU_CHECK := build/check-gpu
GPU_C := $(filter ops/% kernels/% cuda/%,$(C_SUITES))
GPU_BATS := $(CUDA_BATS) cuda/plans \
	$(addprefix torch/,logits steps learning trained_logits)
# Kernels alone, and for accesses whole models with the libraries in between.
GPU_SANITIZED := $(addprefix memcheck/,ops/models ops/step $(filter kernels/%,$(C_SUITES))) \
	$(foreach check,racecheck initcheck,$(addprefix $(check)/,$(filter kernels/%,$(C_SUITES))))
GPU_SUITES := $(GPU_C) $(GPU_BATS) $(GPU_SANITIZED)
GPU_ENV = $(call SUITE_ENV,$(B)) FX_REQUIRE_DEVICE=cuda CUDA_HOME=$(CUDA_HOME)

check-gpu: ## with a GPU: tests of the CUDA back end on it, beside PyTorch and compute-sanitizer
	$(if $(CUDA_SIM),$(error check-gpu is for a real GPU; make check runs the simulator))
	@$(MAKE) --no-print-directory HAVE_CUDA=1 check-gpu-suites

check-gpu-suites:
	@$(MAKE) --no-print-directory $(PARALLEL) all unit
	@$(B)/tests/device-probe cuda || { echo "check-gpu needs an NVIDIA GPU and its driver;" \
	  "make check runs the CUDA back end on a simulator" >&2; exit 77; }
	@rm -rf $(GPU_CHECK)
	@$(MAKE) --no-print-directory -j$(GPU_JOBS) $(GPU_SUITES:%=$(GPU_CHECK)/%.tap)
	@tests/summary $(GPU_CHECK) $(GPU_SUITES)

$(GPU_C:%=$(GPU_CHECK)/%.tap): $(GPU_CHECK)/%.tap:
	@$(GPU_ENV) tests/run-suite $* $@ $(B)/tests/$*

$(GPU_BATS:%=$(GPU_CHECK)/%.tap): $(GPU_CHECK)/%.tap: tests/%.bats
	@$(GPU_ENV) tests/run-suite $* $@ bats --tap $<

$(GPU_SANITIZED:%=$(GPU_CHECK)/%.tap): $(GPU_CHECK)/%.tap:
	@$(GPU_ENV) tests/run-suite $* $@ tests/gpu-sanitizer $(firstword $(subst /, ,$*)) \
	  $(B)/tests/$(patsubst $(firstword $(subst /, ,$*))/%,%,$*)

.PHONY: check-gpu check-gpu-suites
