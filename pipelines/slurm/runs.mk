# Which runs stand behind the targets in RUNS; read together with fusions.mk by submit-all-fusions
# and its job:  make -s -f fusions.mk -f slurm/runs.mk RUNS='all-pairs resnet-expert-2' list-runs
#
# A line for each: once "data FILE", "out FOLDER", "init SEED" if there is one; "run NAME FAMILY
# TASK done", "... to-do" or "... changed" (finished with other settings, or started with other
# experts), and "check WORD..." with what check-inputs is to be asked.
RUNS_OF_all-fusions := $(MISSION)
RUNS_OF_all-pairs := $(ALL_PAIRS)
RUNS_OF_singles := $(foreach f,$(MISSION_FAMILIES),$(f)-single $(f)-wide)
RUNS_OF_experts := $(call members_of,$(MISSION_FAMILIES))
$(foreach f,$(ALL_FAMILIES),$(eval RUNS_OF_$(f)-experts := $(call members_of,$(f))))

runs := $(foreach t,$(RUNS),$(or $(RUNS_OF_$(t)),$(if $(FILE_$(t)),$(t),unknown/$(t))))
known := $(filter-out unknown/%,$(runs))
unknown := $(patsubst unknown/%,%,$(filter unknown/%,$(runs)))

family_of = $(firstword $(subst -, ,$(1)))
task_of = $(if $(filter $(1),$(PAIRS)),task-$(SLOT_$(family_of))-$(1),\
	expert-$(subst -expert,,$(1:-single=-all)))

# Of a run that was finished, the tools say what the settings at hand make of it; of any that was
# started, its experts are compared.
state_of = $(foreach family,$(call family_of,$(1)),$(foreach task,$(call task_of,$(1)),$(call \
	$(if $(filter $(1),$(PAIRS)),pair,expert)_state,$(1))))
pair_state = $(foreach fusion,$(1:$(family)-%=%),$(if $(other_experts),$(call \
	changed,$(other_experts)),$(call judge,$(FILE_$(1)),$(finished))))
expert_state = $(foreach member,$(lastword $(subst -, ,$(1:single=all))),$(call \
	judge,$(wildcard $(FILE_$(1))),$(if $(wildcard $(expert_run)),$(expert_finished),:)))
judge = $(if $(wildcard $(1)),$(shell s=0; $(2) -q >&2 || s=$$?; case $$s in \
	(0) echo done;; (1) echo to-do;; (*) echo changed;; esac),to-do)
changed = changed$(shell $(call complain,submit-all-fusions: $(1)))

list-runs:
	$(info data $(DATASET))
	$(info out $(OUT))
	$(if $(INIT),$(info init $(INIT)))
	$(foreach r,$(known),$(info run $(r) $(call family_of,$(r)) $(strip $(call task_of,$(r))) \
	$(call state_of,$(r))))
	$(info check $(call input_words,$(unknown),$(known)))
	@:

.PHONY: list-runs
