# Loaded by the attacks on every tool (`load inputs`, after helper and tiny): what they read.

# attack_inputs: in the folder of the file, data.safetensors, experts.safetensors, an expert, a run,
# its parts, a picture, corrupted images, images of other classes.
attack_inputs() {
    tiny_data
    expert-train -q --arch "$tiny_arch" --expert 0 --steps 1 --batch 8 --device ref \
        --data data.safetensors --checkpoint-dir expert -o expert.pth >expert.jsonl
    fusion-train -q --fusion multiplicative --steps 1 --batch 8 --device ref \
        --data data.safetensors --checkpoint-dir run >run.jsonl <experts.safetensors
    cifar-view -n 1 --columns 1 --scale 1 -o picture.png data.safetensors
    cifar-corrupt -q --limit 1 -o corrupted.safetensors data.safetensors
    mkcifar --layout binary-10 --train 200 --test 20 | cifar-prep -q -o ten.safetensors
    ckpt-split -q -d parts --format safetensors run/best.safetensors
}
