# The experts: what the fused models are made of, each trained on its own share of the images.
# Included by fusions.mk, which has the variables DATA, EXPERTS, DEVICE, SEED, ARCH_... as well.
#
#   make -j4 experts           of four families, as EXPERTS/FAMILY/expert_K_best.pth
#   make -j4 resnet-experts    those of one family; resnet-expert-2 is one of them
#   make -j4 singles           of every family two networks on all images, to compare with: one like
#                              an expert, and one with about as many parameters as all of a family
#   make -j4 everything        the experts, then every family with every fusion
#
# A stopped run goes on when the same command is given again, a finished one is left alone, and so
# is an expert that was not trained here.
EXPERT_EPOCHS ?=
SHARE ?=#                                   images of an expert: own, pool or all
SINGLE_EPOCHS ?=#                           of singles; by default enough to see what an expert sees
EXPERT_FLAGS ?=#                            any further options of expert-train

EXPERT_RUNS :=
EXPERT_FILES :=

# define one file: family, number or "all" or "wide", name of the target, file.
define expert_run
.PHONY: $(3)
$(3): $(4)
FILE_$(3) := $(4)
$(4): name := $(3)
$(4): family := $(1)
$(4): member := $(2)
$(4): slot := $(if $(filter $(MEMBERS),$(2)),$(2),$(SLOT_$(1)))
$(4): task := expert-$(1)-$(2)
EXPERT_RUNS += $(3)
EXPERT_FILES += $(4)
endef
$(foreach f,$(FAMILIES),$(foreach k,$(MEMBERS),$(eval \
	$(call expert_run,$(f),$(k),$(f)-expert-$(k),$(EXPERTS)/$(f)/expert_$(k)_best.pth)))\
	$(eval $(call expert_run,$(f),all,$(f)-single,$(EXPERTS)/$(f)/single_best.pth))\
	$(eval $(call expert_run,$(f),wide,$(f)-wide,$(EXPERTS)/$(f)/wide_best.pth)))

expert_run = $(EXPERTS)/runs/$(family)-$(member)
is_member = $(filter $(MEMBERS),$(member))
expert_epochs = $(if $(is_member),$(EXPERT_EPOCHS),$(or $(SINGLE_EPOCHS),$(equal_epochs)))
expert_settings = $(strip $(call option,--epochs,$(expert_epochs)) $(call option,--seed,$(SEED)) \
	$(if $(is_member),$(call option,--share,$(SHARE))) $(EXPERT_FLAGS))
wide_arch = "$$($(PIPELINES)/wider-arch '$(ARCH_$(family))' $(EXPERT_COUNT))"
network = --arch $(if $(filter wide,$(member)),$(wide_arch),'$(ARCH_$(family))') \
	--expert $(if $(is_member),$(member),all)

# A single network sees at least as many images as an expert does, before it is fused and after.
planned = "$(strip $(1) --data $(DATASET) --arch '$(ARCH_$(family))' $(2))"
equal_epochs = "$$($(PIPELINES)/equal-epochs \
	$(call planned,expert-train --expert all,--epochs 1 $(EXPERT_FLAGS)) \
	$(call planned,expert-train --expert 0,$(call option,--epochs,$(EXPERT_EPOCHS)) \
	$(call option,--share,$(SHARE)) $(EXPERT_FLAGS)) \
	$(call planned,fusion-train --fusion concatenation,$(settings)))"

# Without the data set it is not known how many epochs that were, and nothing is compared.
expert_finished = $(if $(is_member)$(SINGLE_EPOCHS)$(wildcard $(DATASET)),expert-train \
	--finished $(strip $(network) --checkpoint-dir $(expert_run) $(at_hand) $(expert_settings)),:)
# The expert that is there already: not trained here, or finished.
unless_there = $(if $(wildcard $@),$(if $(wildcard $(expert_run)),$(call \
	unless_finished,$(expert_run)/finished,$(expert_finished)),@exit; ))

THERE := $(wildcard $(EXPERT_FILES))
.PHONY: $(THERE)
$(filter-out $(THERE),$(EXPERT_FILES)): | $(DATASET)

# As with the fusions, the file that says it is finished comes last.  Another make that has ended
# the same run at the same time may have moved the expert already.
$(EXPERT_FILES): | $(TOOL_BINS)
	$(call no_links,$(expert_run))
	$(unless_there)$(call alone,$(expert_run))mkdir -p $(expert_run) $(@D); \
	rm -f $(expert_run)/.$(@F).*.tmp; \
	$(start)expert-train $(strip $(network) --data $(DATASET) --checkpoint-dir $(expert_run) \
	  --resume -o $(expert_run)/$(@F) --device $(device) --threads $(threads) --task $(task) \
	  $(expert_settings)) | \
	  $(call keep,$(expert_run)) | metrics-csv --live -o $(expert_run)/training_log.csv; \
	sync $(expert_run)/metrics.jsonl $(expert_run) $(EXPERTS)/runs $(EXPERTS); \
	[ ! -e $(expert_run)/$(@F) ] || mv $(expert_run)/$(@F) $@; \
	sync $(@D) $(expert_run); \
	touch $(expert_run)/finished; sync $(expert_run)

FAMILY_EXPERTS := $(ALL_FAMILIES:%=%-experts)
$(foreach f,$(ALL_FAMILIES),$(eval $(f)-experts: $(call members_of,$(f))))
experts: $(MISSION_FAMILIES:%=%-experts) ## of four families: DATA= EXPERTS= EXPERT_EPOCHS= ...
singles: $(foreach f,$(MISSION_FAMILIES),$(f)-single $(f)-wide) ## of a family two on all images
everything: experts all-pairs ## from the archive to the sixteen fused models

.PHONY: experts singles everything $(FAMILY_EXPERTS)
