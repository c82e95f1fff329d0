# Which runs stand behind the targets in RUNS; read together with fusions.mk by submit-all-fusions
# and its job:  make -s -f fusions.mk -f slurm/runs.mk RUNS='all-pairs resnet-expert-2' list-runs
#
# A line for each: once "data FILE", "out FOLDER", "init SEED" if there is one; "run NAME FAMILY
# TASK done" or "... to-do", "unknown TARGET", and "missing FILE" for what the runs need first.
RUNS_OF_all-fusions := $(MISSION)
RUNS_OF_all-pairs := $(ALL_PAIRS)
RUNS_OF_singles := $(MISSION_FAMILIES:%=%-single)
RUNS_OF_experts := $(foreach f,$(MISSION_FAMILIES),$(MEMBERS:%=$(f)-expert-%))
$(foreach f,$(FAMILIES),$(eval RUNS_OF_$(f)-experts := $(MEMBERS:%=$(f)-expert-%)))

runs := $(foreach t,$(RUNS),$(or $(RUNS_OF_$(t)),$(if $(FILE_$(t)),$(t),unknown/$(t))))
known := $(filter-out unknown/%,$(runs))
families := $(foreach f,$(FAMILIES),$(if $(filter $(f)-%,$(filter $(PAIRS),$(known))),$(f)))
needed := $(DATA) $(if $(INIT),,$(foreach family,$(families),\
	$(foreach k,$(MEMBERS),$(call expert,$(k)))))

family_of = $(firstword $(subst -, ,$(1)))
task_of = $(if $(filter $(1),$(PAIRS)),task-$(SLOT_$(family_of))-$(1),\
	expert-$(subst -expert,,$(1:-single=-all)))

list-runs:
	$(info data $(DATASET))
	$(info out $(OUT))
	$(if $(INIT),$(info init $(INIT)))
	$(foreach t,$(sort $(filter unknown/%,$(runs))),$(info unknown $(t:unknown/%=%)))
	$(foreach r,$(known),$(info run $(r) $(call family_of,$(r)) $(strip $(call task_of,$(r))) \
	$(if $(wildcard $(FILE_$(r))),done,to-do)))
	$(foreach f,$(filter-out $(wildcard $(needed)),$(needed)),$(info missing $(f)))
	@:

.PHONY: list-runs
