# The evidence that fusing pays, small: from the archive to a table of mean and deviation over three
# seeds, in which everything is trained that a fused model must be compared with.  Included by
# fusions.mk.
#
#   make -j2 proof DATA=ARCHIVE OUT=out      up to two hours on two cores, 2 GiB
#
# For each seed, in OUT/proof/seed-S, with a small member of each family:
#
#   experts/   four experts a family; on all images one network like them that has seen as many as a
#              fused expert, and of PROOF_WIDE's families one with the parameters of all four
#   all/       PROOF_RUNS by recipe ensemble, on all images
#   holdout/   PROOF_HOLDOUT_RUNS by recipe ensemble, on the holdout, which no expert has seen
#   control/   both by the mission's recipe
#
# EXPERT_EPOCHS (2), EPOCHS (1 of all images, 2 of the holdout), ARCH_FAMILY and SEEDS (1 2 3) make
# it longer, larger or shorter; SHARE=pool trains each expert on all images but the holdout.
# Stopped, the same command goes on.
PROOF_RUNS ?= $(MISSION)#                   of proof; all-pairs: sixteen
PROOF_HOLDOUT_RUNS ?= $(addprefix resnet-,$(filter-out gated,$(FUSIONS)))
PROOF_WIDE ?= resnet#                       families; a wide network costs as much as a fused model
PROOF_FLAGS ?= --augment basic --mix none#  of its experts, single networks and the control

SMALL_densenet := densenet121:growth=6,blocks=2-2-2-2
SMALL_resnet := resnet18:width=16,blocks=1-1-1-1
SMALL_improved_wide_resnet := improved_wideresnet28_10:depth=10,width=1
SMALL_resnext := preact_resnext29_8x64d:depth=11,cardinality=2,base_width=16,width=16
SMALL_preact_resnet := preact_resnet18:width=16,blocks=1-1-1-1
# Of a family, where the user has not said another member.
proof_arch = $(if $(filter file,$(origin ARCH_$(1))),$(or $(SMALL_$(1)),$(ARCH_$(1))),$(ARCH_$(1)))

PROOF_SEEDS = $(if $(filter file,$(origin SEEDS)),1 2 3,$(SEEDS))
proof_all = $(patsubst all-pairs,$(ALL_PAIRS),$(PROOF_RUNS))
proof_holdout = $(patsubst all-pairs,$(ALL_PAIRS),$(PROOF_HOLDOUT_RUNS))
proof_control = $(sort $(proof_all) $(proof_holdout))
proof_families = $(call families_of,$(proof_control))
proof_sets := all holdout control


# The seed of proof-all-1, and a make of its own for a set of runs.
proof_seed = $(lastword $(subst -, ,$@))
proof_dir = $(OUT)/proof/seed-$(proof_seed)
proof_make = $(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) DATA=$(DATASET) HOLDOUT= \
	INIT= SEED=$(proof_seed) EXPERTS=$(proof_dir)/experts OUT=$(proof_dir)/$(1) \
	$(if $(TENSORBOARD),TENSORBOARD=$(TENSORBOARD)/seed-$(proof_seed)-$(1)) \
	THREADS=$(or $(THREADS),1) EXPERT_EPOCHS=$(or $(EXPERT_EPOCHS),2) \
	EXPERT_FLAGS='$(strip $(PROOF_FLAGS) $(EXPERT_FLAGS))' \
	$(foreach f,$(proof_families),ARCH_$(f)='$(call proof_arch,$(f))')
proof_fuse = $(call proof_make,$(1)) RECIPE=ensemble TRAIN=$(1) EPOCHS=$(or $(EPOCHS),$(2))
proof_steps = $(PROOF_SEEDS:%=proof-$(1)-%)
PROOF_STEPS := $(foreach s,experts all control holdout singles,$(call proof_steps,$(s)))

$(call proof_steps,experts): $(DATASET)
	+$(call proof_make,all) $(proof_families:%=%-experts)
$(call proof_steps,all): proof-all-%: proof-experts-%
	+$(call proof_fuse,all,1) $(proof_all)
$(call proof_steps,holdout): proof-holdout-%: proof-experts-%
	+$(call proof_fuse,holdout,2) $(proof_holdout)
$(call proof_steps,control): proof-control-%: proof-experts-%
	+$(call proof_make,control) RECIPE=mission TRAIN= EPOCHS=$(or $(EPOCHS),2) \
	  TRAIN_FLAGS='$(strip $(PROOF_FLAGS) $(TRAIN_FLAGS))' $(proof_control)
$(call proof_steps,singles): $(DATASET)
	+$(call proof_fuse,all,1) $(proof_families:%=%-single) $(patsubst %,%-wide,$(filter \
	  $(proof_families),$(PROOF_WIDE)))

# The runs of one name stand together.
proof_runs = $(foreach r,$(proof_control),$(foreach set,all holdout control,$(if $(filter \
	$(r),$(proof_$(set))),$(PROOF_SEEDS:%=$(OUT)/proof/seed-%/$(set)/runs/$(r)))))
proof: $(PROOF_STEPS) ## the evidence, small: SEEDS= of experts, singles, the recipe and a control
	@$(PIPELINES)/fusion-spread $(PROOF_SEEDS:%=-e $(OUT)/proof/seed-%/experts) $(proof_runs)

.PHONY: proof $(PROOF_STEPS)
