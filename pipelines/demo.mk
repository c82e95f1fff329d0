# make demo: the whole way on a small made data set, with a small member of each family: the four
# runs side by side on the CPU, the table of what came out, the learning curves.  For the source
# tree only: the maker of the data set is not installed.
DEMO ?= demo
DEMO_EPOCHS ?= 8
DEMO_IMAGES ?= 4000
DEMO_RUN = $(MAKE) --no-print-directory OUT=$(DEMO) DATA=$(DEMO)/cifar-100-python.tar.gz INIT=1 \
	CLASSES=10 DEVICE=cpu BATCH=20 EPOCHS=$(DEMO_EPOCHS) AUGMENT=basic \
	TRAIN_FLAGS='--mix none --lr-experts 0.003 --lr-fusion 0.003 --experts-lr-scale 1' \
	ARCH_densenet=densenet121:growth=8,blocks=2-2-2-2 \
	ARCH_resnet=resnet18:width=8 \
	ARCH_improved_wide_resnet=improved_wideresnet28_10:depth=10,width=1 \
	ARCH_resnext=preact_resnext29_8x64d:depth=11,cardinality=4,base_width=4,width=8

demo: all $(DEMO)/cifar-100-python.tar.gz ## everything once, small: a table and the learning curves
	$(DEMO_RUN) -j4 all-fusions
	@$(DEMO_RUN) curves
	@$(PIPELINES)/plot-curves -t $(DEMO)/csv_logs/*/*.csv
	@echo "The files of the four runs are in $(DEMO), their curves in $(DEMO)/curves/all.png."

# Images of ten made-up classes, in the layout of the official archive.
$(DEMO)/cifar-100-python.tar.gz: | $(B)/tests/mkcifar
	mkdir -p $(DEMO)
	mkcifar --train $(DEMO_IMAGES) --test 500 -o $@

.PHONY: demo
