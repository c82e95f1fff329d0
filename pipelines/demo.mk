# make demo: the whole way on a small made data set, with a small member of each family: sixteen
# experts, then the four runs, side by side on the CPU; the table of what came out, the learning
# curves.  For the source tree only: the maker of the data set is not installed.
DEMO ?= demo
DEMO_IMAGES ?= 3000
DEMO_EPOCHS ?= 6
DEMO_EXPERT_EPOCHS ?= 4
DEMO_FLAGS := --batch 20 --augment basic --mix none
DEMO_RUN = $(MAKE) --no-print-directory OUT=$(DEMO) DATA=$(DEMO)/cifar-100-python.tar.gz \
	EXPERTS=$(DEMO)/experts DEVICE=cpu CLASSES=10 \
	EXPERT_EPOCHS=$(DEMO_EXPERT_EPOCHS) EPOCHS=$(DEMO_EPOCHS) TRAIN=holdout \
	EXPERT_FLAGS='--quiet $(DEMO_FLAGS) --lr-experts 0.05' \
	TRAIN_FLAGS='$(DEMO_FLAGS)' \
	ARCH_densenet=densenet121:growth=8,blocks=2-2-2-2 \
	ARCH_resnet=resnet18:width=8 \
	ARCH_improved_wide_resnet=improved_wideresnet28_10:depth=10,width=1 \
	ARCH_resnext=preact_resnext29_8x64d:depth=11,cardinality=4,base_width=16,width=16

demo: ## everything once, small: a table and the learning curves
	@$(MAKE) --no-print-directory $(PARALLEL) all $(DEMO)/cifar-100-python.tar.gz
	$(DEMO_RUN) -j4 experts all-fusions
	@$(DEMO_RUN) curves
	@$(PIPELINES)/plot-curves -t $(DEMO)/csv_logs/*/*.csv
	@echo "The files of the four runs are in $(DEMO), their curves in $(DEMO)/curves/all.png."

# Images of ten made-up classes, in the layout of the official archive.
$(DEMO)/cifar-100-python.tar.gz: | $(B)/tests/mkcifar
	mkdir -p $(DEMO)
	mkcifar --train $(DEMO_IMAGES) --test 500 --noise 120 -o $@

.PHONY: demo
