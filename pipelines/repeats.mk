# The same runs again under other seeds and other weights of the experts' losses, because one run is
# an anecdote.  Included by fusions.mk.
#
#   make -j4 repeats RUNS='resnet-concatenation densenet-concatenation' SEEDS='1 2 3' ALPHAS='0.5 1'
#
# Every combination is an ordinary run with its own OUT, OUT/repeats/seed-1-alpha-0.5; the table at
# the end has mean and standard deviation over the seeds.
SEEDS ?= 42#                                of repeats
ALPHAS ?= 1#                                of repeats
RUNS ?= $(MISSION)#                         of repeats; by default those of all-fusions

REPEATS := $(foreach s,$(SEEDS),$(ALPHAS:%=seed-$(s)-alpha-%))
# seed-1-alpha-0.5 -> seed 1 alpha 0.5
repeat_word = $(word $(2),$(subst -, ,$(1)))

$(REPEATS:%=repeat-%): repeat-%: $(DATASET)
	+$(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) OUT=$(OUT)/repeats/$* \
	  DATA=$(DATASET) HOLDOUT= SHARES= SEED=$(call repeat_word,$*,2) ALPHA=$(call repeat_word,$*,4) \
	  THREADS=$(threads) $(RUNS)

repeats: $(REPEATS:%=repeat-%) ## RUNS= under SEEDS= and ALPHAS=: mean and standard deviation
	@$(PIPELINES)/fusion-spread $(foreach r,$(RUNS),$(REPEATS:%=$(OUT)/repeats/%/runs/$(r)))

.PHONY: repeats $(REPEATS:%=repeat-%)
