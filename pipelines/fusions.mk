# The runs: experts and a data set in, a fused model, its component files and its CSV log out.
#
#   make -j4 all-fusions DATA=cifar-100-python.tar.gz EXPERTS=expert_training/checkpoints
#   make resnet-concatenation INIT=1 EPOCHS=2     any pair FAMILY-FUSION; here with fresh experts
#   make -n resnet-concatenation                  shows the commands, as a person could type them
#   make table curves                             the results of the runs in OUT, and their curves
#
# The same command again goes on where a stopped run was, and does nothing for a finished one; with
# other settings it says so: they need another OUT.  Installed: make -f .../fusion-tools/fusions.mk.
# Variables (empty: the default of fusion-train for the fusion at hand):
DATA ?= cifar-100-python.tar.gz#            the archive, extracted or not, or cifar-prep's data set
HOLDOUT ?=#                                 .npy file with the image numbers to fuse on
EXPERTS ?= expert_training/checkpoints#     FAMILY/expert_K_best.pth, or best_iid_NET_expert_K.pth
EXPERT_COUNT ?= 4#                          experts of a run, 2 to 8
SHARES ?=#                                  images of each: a rule of cifar-prep, or a file
MIXED ?= densenet resnet improved_wide_resnet resnext#  families of mixed-FUSION, in turn
INIT ?=#                                    a seed: fresh experts instead of files
CLASSES ?=#                                 10 for CIFAR-10
OUT ?= fusion_checkpoints
DEVICE ?= auto#                             GPUs, else cpu; cuda (no cpu), cuda:N, cpu, ref
THREADS ?=#                                 of each run; cores divided by the runs side by side
RECIPE ?= ensemble#                         or mission or reported: fusion-train(1), RECIPES
EPOCHS ?=
BATCH ?=
STEPS ?=
SEED ?=
ALPHA ?=
TRAIN ?=#                                   images to fuse on: holdout or all
VAL ?=
VAL_LIMIT ?=
AUGMENT ?=
TRAIN_FLAGS ?=#                             any further options of fusion-train
WANDB ?=#                                   1 or a folder: runs of Weights & Biases, offline
TENSORBOARD ?=#                             a folder: event files of TensorBoard
RUNNER ?=#                                  starts the tools of a run: RUNNER NAME TOOL OPTION...
# ARCH_FAMILY: a small member of a family, as ARCH_resnet=resnet18:width=16.

# What make or a shell would not take for a name, before rules are made of it.
SPECIAL := ' " ` \ ; & | < > ( ) * ? [ ] \# $$
not_a_name = $(word 2,[$(1)])$(filter -%,$(1))$(foreach c,$(2) $(SPECIAL),$(findstring $(c),$(1)))
bad_names = $(foreach v,$(1),$(if $(strip $(call not_a_name,$($(v)),$(2))),$(error \
	$(v)=$($(v)): $(3), without blanks, - in front, and $(strip $(2) $(SPECIAL)))))
$(call bad_names,OUT EXPERTS,: %,one folder)
$(call bad_names,DATA HOLDOUT SHARES WANDB TENSORBOARD,,one name)
$(foreach v,OUT EXPERTS,$(if $($(v)),,$(error $(v)=: one folder)))
$(if $(filter [2] [3] [4] [5] [6] [7] [8],[$(EXPERT_COUNT)]),,$(error \
	EXPERT_COUNT=$(EXPERT_COUNT): from 2 to 8))

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
PIPELINES := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

# Families and fusions are those of the library's tables, which are installed beside this file.
# rows(table): its rows, their cells joined by commas.
TABLES := $(dir $(firstword $(wildcard $(PIPELINES:%=%/fusions.def) \
	$(PIPELINES:%=%/../lib/net/fusions.def))))
rows = $(shell sed -n 's/ //g; s/^FX_[A-Z]*(\(.*\))$$/\1/p' $(TABLES)$(1).def)
cells = $(subst $(COMMA), ,$(1))
COMMA := ,
# define one family, from the cells of its row: its network, how flat folders of experts call it,
# its task and GPU.
define family
ARCH_$(word 3,$(1)) ?= $(word 2,$(1))
FLAT_$(word 3,$(1)) := $(word 4,$(1))
SLOT_$(word 3,$(1)) := $(words $(FAMILIES))
FAMILIES += $(word 3,$(1))
endef
FAMILIES :=
$(foreach row,$(call rows,architectures),$(eval $(call family,$(call cells,$(row)))))
# Mixed experts: expert k is that of the k-th family of MIXED, counted round.
$(foreach f,$(or $(filter-out $(FAMILIES),$(MIXED)),$(if $(strip $(MIXED)),,nothing)),$(error \
	MIXED: $(f): no such family; there are $(FAMILIES)))
MEMBERS := $(wordlist 1,$(EXPERT_COUNT),0 1 2 3 4 5 6 7)
MIXED_FAMILIES := $(wordlist 1,$(EXPERT_COUNT),$(foreach k,$(MEMBERS),$(MIXED)))
ARCH_mixed = $(subst $() ,$(COMMA),$(foreach f,$(MIXED_FAMILIES),$(ARCH_$(f))))
SLOT_mixed := $(words $(FAMILIES))
ALL_FAMILIES := $(FAMILIES) mixed
# owner(k): the family of expert k of $(family).
owner = $(if $(filter mixed,$(family)),$(word $(words . $(wordlist 1,$(1),$(MEMBERS))),\
	$(MIXED_FAMILIES)),$(family))
# The runs that train the experts of a family.
members_of = $(foreach family,$(1),$(foreach k,$(MEMBERS),$(call owner,$(k))-expert-$(k)))

FUSIONS := $(foreach row,$(call rows,fusions),$(word 2,$(call cells,$(row))))

# The four runs of all-fusions.  Other groups are made of their families and fusions.
MISSION := densenet-multiplicative resnet-multiplicativeAddition \
	improved_wide_resnet-TransformerBase resnext-concatenation
pair_word = $(word $(1),$(subst -, ,$(2)))
MISSION_FAMILIES := $(foreach r,$(MISSION),$(call pair_word,1,$(r)))
MISSION_FUSIONS := $(foreach r,$(MISSION),$(call pair_word,2,$(r)))
HOLDOUT_HERE := $(OUT)/data.holdout.npy
SHARES_HERE := $(OUT)/data.shares
# Other shares than cifar-prep's default.
COUNT := $(filter-out 4,$(EXPERT_COUNT))
OTHER_SHARES := $(filter-out iid,$(SHARES))$(COUNT)
DATASET := $(if $(filter %.safetensors,$(DATA)),$(DATA),$(OUT)/data.safetensors)

ifeq ($(.DEFAULT_GOAL),)
.PHONY: usage
usage: # of this file by itself: the text at its head, its variables, its targets
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(PIPELINES)/fusions.mk
	@cat $(PIPELINES)/{fusions,experts,repeats,proof}.mk | \
	  sed -nE -e 's/^# (ARCH_FAMILY): /\1 ?=# /' \
	  -e 's/^([A-Za-z_]+) \?= ?([^#]*)(# +(.*))?$$/  \1=\2\t\4/p' | expand -t 40 | sed 's/ *$$//'
	@echo 'Targets, and FAMILY-FUSION for every pair:'
	@cat $(PIPELINES)/{fusions,experts,repeats,proof}.mk | \
	  sed -nE 's/^([a-z][a-z-]*):.*## (.*)/  \1\t\2/p' | expand -t 18
endif

# ---- one rule for every pair ---------------------------------------------------------------------
# define one pair: family, fusion, the file that says it is finished.
define pair
.PHONY: $(1)-$(2)
$(1)-$(2): $(3)
FILE_$(1)-$(2) := $(3)
$(3): name := $(1)-$(2)
$(3): family := $(1)
$(3): fusion := $(2)
$(3): slot := $(SLOT_$(1))
$(3): task := task-$(SLOT_$(1))-$(1)-$(2)
PAIRS += $(1)-$(2)
ENDS += $(3)
endef
$(foreach f,$(ALL_FAMILIES),$(foreach x,$(FUSIONS),$(eval \
	$(call pair,$(f),$(x),$(OUT)/runs/$(f)-$(x)/finished))))

include $(PIPELINES)/experts.mk
include $(PIPELINES)/repeats.mk
include $(PIPELINES)/proof.mk

ALL_PAIRS := $(foreach f,$(MISSION_FAMILIES),$(MISSION_FUSIONS:%=$(f)-%))
GOAL_RUNS := $(sort $(filter $(PAIRS) $(EXPERT_RUNS),$(MAKECMDGOALS)) \
	$(if $(filter all-fusions,$(MAKECMDGOALS)),$(MISSION)) \
	$(if $(filter all-pairs,$(MAKECMDGOALS)),$(ALL_PAIRS)) \
	$(if $(filter repeats,$(MAKECMDGOALS)),$(foreach r,$(RUNS),$(REPEATS:%=%/$(r)))) \
	$(filter proof,$(MAKECMDGOALS)) \
	$(if $(filter singles,$(MAKECMDGOALS)),$(MISSION_FAMILIES:%=%-single) \
	$(MISSION_FAMILIES:%=%-wide)) \
	$(foreach f,$(ALL_FAMILIES),$(if $(filter $(f)-experts,$(MAKECMDGOALS)),\
	$(call members_of,$(f)))) \
	$(if $(filter experts everything,$(MAKECMDGOALS)),$(call members_of,$(MISSION_FAMILIES))))

# In a group, a run that fails does not keep the others from running.
ifneq ($(filter all-fusions all-pairs experts singles everything repeats proof,$(MAKECMDGOALS)),)
MAKEFLAGS += --keep-going
endif
# Experts are trained only when they are asked for; then the runs wait for theirs.
$(foreach f,$(ALL_FAMILIES),$(if $(filter experts everything $(f)-experts,$(MAKECMDGOALS)),$(eval \
	$(filter $(OUT)/runs/$(f)-%,$(ENDS)): | $(f)-experts)))

run = $(OUT)/runs/$(family)-$(fusion)
parts = $(OUT)/$(family)_fusions/$(fusion)
csv = $(OUT)/csv_logs/$(family)_fusions/$(family)_$(fusion)_training_log.csv
option = $(if $(2),$(1) $(2))
start = $(if $(RUNNER),$(RUNNER) $(name) $())

# The file of expert $(1): the layouts that are known, or the first of them for the error message.
expert = $(foreach f,$(call owner,$(1)),$(firstword $(wildcard $(foreach \
	name,$(EXPERTS)/$(f)/expert_$(1)_best $(EXPERTS)/best_iid_$(FLAT_$(f))_expert_$(1),\
	$(name).safetensors $(name).pth)) $(EXPERTS)/$(f)/expert_$(1)_best.pth))
experts = $(strip $(call option,--classes,$(CLASSES)) $(if $(INIT),--init $(INIT) --count \
	$(EXPERT_COUNT),$(call option,--count,$(COUNT)) $(foreach k,$(MEMBERS),$(call expert,$(k)))))

# Runs side by side share the cores: -jN of them, but no more than were asked for.  (Make puts -jN
# into MAKEFLAGS only while a recipe is expanded.)
jobs = $(if $(filter -j%,$(MAKEFLAGS)),$(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),1)
threads = $(or $(THREADS),$(shell jobs=$(jobs) runs=$(words $(GOAL_RUNS)); \
	echo $$(( side = !jobs || jobs > runs ? runs : jobs, each = $$(nproc) / (side ? side : 1), \
	each > 1 ? each : 1 ))))
# Run i takes GPU i of those that the tool can use, counted round (--device of fusion-train).
device = $(DEVICE:cuda=cuda:auto)$(if $(filter auto cuda,$(DEVICE)),:$(slot))

settings = $(strip $(call option,--recipe,$(RECIPE)) $(call option,--epochs,$(EPOCHS)) \
	$(call option,--batch,$(BATCH)) $(call option,--steps,$(STEPS)) \
	$(call option,--seed,$(SEED)) $(call option,--alpha,$(ALPHA)) \
	$(call option,--train,$(TRAIN)) $(call option,--val,$(VAL)) $(call option,--val-limit,$(VAL_LIMIT)) \
	$(call option,--augment,$(AUGMENT)) $(TRAIN_FLAGS))
train_options = $(strip --fusion $(fusion) --data $(DATASET) --checkpoint-dir $(run) --resume \
	--device $(device) --threads $(threads) --task $(task) $(settings))

# Trackers stand beside the way of the metrics, not in it: one that fails says so, and the run goes
# on.  Descriptor 3 is the pipe behind tee: the run is over when they are.
tracked = $(if $(findstring /repeats/,$(OUT)),$(notdir $(OUT))/)$(name)
trackers = $(strip $(if $(filter-out 0,$(WANDB)),\
	>(metrics-wandb -d $(patsubst 1,$(or $(WANDB_DIR),$(OUT)),$(WANDB)) 3>&1 >/dev/null)) \
	$(if $(TENSORBOARD),>(metrics-tensorboard -d $(TENSORBOARD)/$(tracked) 3>&1 >/dev/null)))
# keep FOLDER: what the training says, as it is, for the trackers, and to the next of the pipe.
keep = tee $(if $(trackers),-p )$(1)/metrics.jsonl$(if $(trackers), $(trackers))

# alone FOLDER: where another make is training, what it keeps would be cut off here before the tool
# notices.  A file system without such locks says something else than 1.
alone = $(if $(wildcard $(1)/lock),flock -n $(1)/lock true || [ $$? != 1 ] || { \
	echo 'make: $(1): another process is training here' >&2; exit 3; }; )

# A run that is finished, by the file $(1), is only compared with the settings at hand: exit status
# 0 is "nothing to be done", 1 "it wants more", for which it goes on, 2 names what is different.
unless_finished = $(if $(wildcard $(1)),@$(2) && exit || [ $$? = 1 ]; rm $(1); sync $(dir $(1)); )
at_hand = $(if $(wildcard $(DATASET)),--data $(DATASET)) --task $(task)
finished = fusion-train --finished $(strip --fusion $(fusion) --arch '$(ARCH_$(family))' \
	--checkpoint-dir $(run) $(at_hand) $(settings))

# The experts that a run was started with stand in its folder; they may be gone by now.  They are on
# the disk before it has a history; without one the file may be torn, and nothing depends on it.
# The newline at its end is stripped here: make 4.3 forgets to, now and then.
has_begun = $(and $(wildcard $(run)/history.jsonl),$(wildcard $(run)/experts))
started_with = $(strip $(if $(has_begun),$(file <$(run)/experts)))
other_experts = $(and $(started_with),$(INIT)$(wildcard $(call expert,0)),$(subst \
	x$(started_with),,x$(experts)),$(run): the run was started with $(started_with) and not \
	$(experts); other experts need another OUT)
same_experts = $(if $(other_experts),@$(call complain,make: $(other_experts)); exit 2)
# Folders that came from elsewhere may have links: nothing is written behind one.
no_links = $(if $(shell find $(1) -type l -printf x -quit 2>/dev/null),@$(call complain,make: \
	$(firstword $(1)): has a symbolic link in it: nothing is written there); exit 2)
# What a file said comes to the terminal without control characters.
complain = echo $(call quoted,$(1)) | LC_ALL=C tr '\1-\11\13-\37\177-\377' '?' >&2

FINISHED := $(wildcard $(ENDS))
.PHONY: $(FINISHED)
# A make that is told to stop stops the training; every line of a run has its task.
$(ENDS) $(EXPERT_FILES): SHELL := $(PIPELINES)/train-shell
$(ENDS) $(EXPERT_FILES): export FUSION_TASK = $(task)
$(OUT)/data.safetensors: export FUSION_TASK :=#  it is of all of them
$(filter-out $(FINISHED),$(ENDS)): | $(DATASET)

# The last file says that the run is finished: all that it stands for is on the disk by then.  What
# a killed tool left under a temporary name is removed.
$(ENDS): | $(TOOL_BINS)
	$(call no_links,$(run) $(parts) $(csv))
	$(same_experts)
	$(call unless_finished,$@,$(finished))$(call alone,$(run))mkdir -p $(run) $(dir $(csv)); \
	$(if $(has_begun),,echo '$(experts)' > $(run)/experts; sync $(run)/experts; )\
	$(start)expert-load --arch '$(ARCH_$(family))' $(experts) | \
	  $(start)fusion-train $(train_options) | \
	  $(call keep,$(run)) | metrics-csv --live -o $(csv); \
	rm -f $(parts)/*/.*.tmp; \
	$(start)ckpt-split -d $(parts) $(run)/best.safetensors; \
	sync $(run)/metrics.jsonl $(run) $(dir $(csv)) $(parts) $(dir $(parts)) $(OUT)/csv_logs \
	  $(OUT)/runs $(OUT); \
	touch $@; sync $(run)

# The holdout and the shares that it was made with stay beside it, to be compared (inputs.mk), and
# are on the disk before it is.  One that fails leaves no folder behind.
# beside(wanted, commands that write it, file):
beside = $(if $(1),; $(2); sync $(3) $(@D),$(if $(wildcard $(3)),; rm $(3); sync $(@D)))
say_shares = { echo '$(EXPERT_COUNT) $(or $(SHARES),iid)'$(if $(wildcard $(SHARES)),; \
	cat $(SHARES)); } >$(SHARES_HERE)
$(OUT)/data.safetensors: | $(filter-out $(OUT)/data.safetensors,$(wildcard $(DATA))) $(TOOL_BINS)
	mkdir -p $(@D)$(call beside,$(HOLDOUT),cp $(HOLDOUT) $(HOLDOUT_HERE),$(HOLDOUT_HERE))$(call \
	  beside,$(OTHER_SHARES),$(say_shares),$(SHARES_HERE))
	cifar-prep $(strip $(call option,--holdout,$(HOLDOUT)) $(call option,--experts,$(COUNT)) \
	  $(call option,--shares,$(SHARES)) -o $@ $(DATA)) || { status=$$?; $(if $(HOLDOUT),rm -f \
	  $(HOLDOUT_HERE); )$(if $(OTHER_SHARES),rm -f $(SHARES_HERE); )rmdir $(@D) 2>/dev/null; \
	  exit $$status; }

# A data set of the user's own is not made here; inputs.mk says when it is not there.
$(filter-out $(OUT)/data.safetensors,$(DATASET)): ;

include $(PIPELINES)/inputs.mk

# ---- groups of runs, and what comes out ----------------------------------------------------------
all-fusions: $(MISSION) ## the four runs: DATA= EXPERTS= (or INIT=SEED) OUT= DEVICE= EPOCHS= ...
	@$(PIPELINES)/fusion-table -e $(EXPERTS) $(MISSION:%=$(OUT)/runs/%)

all-pairs: $(ALL_PAIRS) ## the sixteen runs, every family with every fusion
	@$(PIPELINES)/fusion-table -e $(EXPERTS) $(ALL_PAIRS:%=$(OUT)/runs/%)

# They come behind whatever else make was asked for.
VIEWED := $(filter-out table curves,$(MAKECMDGOALS))
table curves: | $(VIEWED)

# without(files, what): a line that says there are none, and what to do.
without = @compgen -G '$(1)' >/dev/null || { echo "make: $@: no $(2) in $(OUT); make all-fusions" \
	"trains the runs, OUT=DIR says where others are" >&2; exit 1; }
table: | $(if $(wildcard $(OUT)/runs/*),$(TOOL_BINS)) ## results of all runs in OUT, as a table
	$(call without,$(OUT)/runs/*/,runs)
	@$(PIPELINES)/fusion-table -e $(EXPERTS) $(OUT)/runs/*/

slim: ## drop what only a longer run needs, last.safetensors, from all finished runs
	@shopt -s nullglob; $(PIPELINES)/slim-runs $(addsuffix /runs/*,$(OUT) $(OUT)/repeats/* \
	  $(OUT)/proof/*/* $(EXPERTS))

curves: ## learning curves of all runs in OUT as pictures in OUT/curves
	$(call without,$(OUT)/csv_logs/*/*.csv,logs of runs)
	@grep -q '^[0-9]' $(OUT)/csv_logs/*/*.csv || { echo "make: $@: no run in $(OUT) has finished" \
	  "its first epoch yet: nothing to draw"; exit; }; \
	$(PIPELINES)/plot-curves -d $(OUT)/curves $(OUT)/csv_logs/*/*.csv

.PHONY: all-fusions all-pairs table curves slim
