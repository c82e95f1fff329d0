# What is asked before anything starts: do the targets exist, and what their runs need?  One line
# says what is missing, and make ends.  Included by fusions.mk, which has the variables.

# Names that look like runs but are none.  What else make does not know, it says itself.
LOOKS_LIKE_RUN := $(addsuffix -%,$(ALL_FAMILIES)) $(addprefix %-,$(FUSIONS) expert experts \
	single wide) all-%
RUN_TARGETS := $(PAIRS) $(EXPERT_RUNS) $(FAMILY_EXPERTS) all-fusions all-pairs
unknown_runs = $(filter-out $(RUN_TARGETS),$(filter $(LOOKS_LIKE_RUN),$(1)) \
	$(foreach t,$(1),$(if $(findstring -expert-,$(t)),$(t))))

# Runs that are still to be made, of "NAME" and of "seed-1-alpha-1/NAME".
log_of = $(if $(findstring /,$(1)),$(patsubst $(OUT)/%,$(OUT)/repeats/$(dir $(1))%,$(FILE_$(notdir \
	$(1)))),$(FILE_$(1)))
to_do = $(foreach r,$(1),$(if $(wildcard $(call log_of,$(r))),,$(r)))

# needed_experts(runs to do): files that the pairs among them read and no run makes.
families_of = $(foreach f,$(ALL_FAMILIES),$(if $(filter $(f)-%,$(filter $(PAIRS),$(notdir \
	$(1)))),$(f)))
needed_experts = $(if $(INIT),,$(filter-out $(foreach r,$(1),$(FILE_$(r))),$(foreach family,\
	$(call families_of,$(1)),$(foreach k,$(MEMBERS),$(call expert,$(k))))))

quoted = '$(subst ','\'',$(1))'
# The data set that is ready makes the archive superfluous.
needed_data = $(if $(filter-out $(DATA),$(DATASET)),$(if $(wildcard $(DATASET)),,$(DATA)),$(DATA))

# input_words(targets that do not exist, runs): the words for check-inputs.  Finished runs need the
# tools, to be compared, and the data set that is there its holdout.  Where a RUNNER starts the
# tools the device is that of another machine.
input_words = $(if $(1),$(addprefix -u ,$(1)) $(addprefix -r ,$(RUN_TARGETS)),$(if $(2),$(if \
	$(call to_do,$(2)),$(call needs,$(call to_do,$(2)))) $(always_needed)))
needs = $(if $(call needed_data),-d $(call quoted,$(needed_data))) $(if $(call \
	families_of,$(1))$(filter proof,$(1))$(filter-out $(DATA),$(DATASET)),-o $(call quoted,$(OUT))) \
	$(if $(filter $(EXPERT_RUNS),$(1)),-O $(call quoted,$(EXPERTS))) -x $(call quoted,$(EXPERTS)) \
	$(addprefix -e ,$(call needed_experts,$(1))) $(if $(RUNNER),-G,-g) $(call quoted,$(DEVICE))
always_needed = $(if $(HOLDOUT),-i $(call quoted,$(HOLDOUT))) $(if $(SHARES)$(COUNT),-N \
	$(EXPERT_COUNT) -S $(call quoted,$(SHARES))) $(if $(HOLDOUT)$(SHARES)$(COUNT),$(ready_data)) \
	$(if $(TOOL_BINS),,-b $(PIPELINES)/../../bin $(addprefix -t ,cifar-prep expert-load \
	expert-train fusion-train metrics-csv ckpt-split))
ready_data = $(if $(filter $(DATASET),$(DATA)),-s $(call quoted,$(DATASET)),$(if $(wildcard \
	$(DATASET)),-m $(call quoted,$(HOLDOUT_HERE)) -M $(call quoted,$(SHARES_HERE))))

CHECKED_RUNS := $(strip $(GOAL_RUNS) $(if $(filter everything,$(MAKECMDGOALS)),$(ALL_PAIRS)))
INPUT_WORDS := $(strip $(call input_words,$(call unknown_runs,$(MAKECMDGOALS)),$(CHECKED_RUNS)))
# make -n says what would be done, whatever is there.
ifneq ($(findstring n,$(filter-out -%,$(firstword $(MAKEFLAGS)))),)
INPUT_WORDS := $(if $(filter -u,$(INPUT_WORDS)),$(INPUT_WORDS))
endif
ifneq ($(INPUT_WORDS),)
PROBLEM := $(shell $(PIPELINES)/check-inputs $(INPUT_WORDS))
$(if $(PROBLEM),$(error $(PROBLEM)))
endif

# Where the tools are about to be built, what only they know is asked after that.
ifneq ($(and $(INPUT_WORDS),$(filter-out $(wildcard $(TOOL_BINS)),$(TOOL_BINS))),)
checked-inputs: | $(TOOL_BINS)
	@said=$$($(PIPELINES)/check-inputs $(INPUT_WORDS)) || { echo "make: $$said" >&2; exit 1; }
$(ENDS) $(EXPERT_FILES) $(OUT)/data.safetensors: | checked-inputs
.PHONY: checked-inputs
endif
