"""The tools that are attacked, each on small inputs, and what they leave behind."""

import csv
import hashlib
import os
import re
import subprocess

ARCH = "resnet18:width=2,blocks=1-1-1-1"
TRAIN = "-q --device ref --batch 16 --epochs 2 --checkpoint-minutes 0 --resume --data D/data.safetensors"

TOOLS = {
    "cifar-prep": "cifar-prep -q --export-splits made/splits -o made/data D/cifar.tar.gz",
    "cifar-view": "cifar-view -q -o made/sheet D/data.safetensors",
    "cifar-corrupt": "cifar-corrupt -q --limit 1 -o made/corrupted D/data.safetensors",
    "expert-train": f"expert-train {TRAIN} --arch {ARCH} --expert 0 --checkpoint-dir made/run"
    " -o made/expert.pth",
    "expert-load": f"expert-load -q --count 1 --arch {ARCH} --classes 5 -o made/stream D/expert.pth",
    "fusion-train": f"fusion-train {TRAIN} --choose last --fusion concatenation --experts D/experts.safetensors"
    " --checkpoint-dir made/run -o made/metrics.jsonl",
    "fusion-eval": "fusion-eval -q --device ref --data D/data.safetensors --limit 4 --details --temperature fit"
    " --ood D/ten.safetensors --corrupted D/corrupted.safetensors --attack fgsm --bootstrap 10 --logits made/logits"
    " --confusion made/confusion.csv --predictions made/predictions.csv -o made/eval.jsonl D/run/best.safetensors",
    "fusion-predict": "fusion-predict -q --json --device ref D/run/best.safetensors D/picture.png",
    "ckpt-split": "ckpt-split -q -d made/parts D/run/best.safetensors",
    "ckpt-join": "ckpt-join -q -o made/joined D/parts/*/*.safetensors",
    "ckpt-export": "ckpt-export -q -o made/model.onnx D/run/best.safetensors",
    "metrics-csv": "metrics-csv -q -o made/table.csv D/run.jsonl",
    "metrics-wandb": "metrics-wandb -q -d made --run-id same D/run.jsonl",
    "metrics-tensorboard": "metrics-tensorboard -q -d made D/run.jsonl",
    "runs-report": "runs-report -q -o made/page.html D/run",
    "fusion-top": "fusion-top -q D/run",
}

TIMES = re.compile(
    rb'"(timestamp|seconds|val_seconds|images_per_second)": ?("[^"]*"|[0-9.e+-]+)|20\d\d-\d\d-\d\d[ T][\d:]+'
)


def timeless(path, content):
    """The digest of a file's content, without what the clock decides."""
    content = TIMES.sub(b"", content)
    if path.endswith("log.csv"):
        names, *rows = csv.reader(content.decode(errors="replace").split("\n"))
        rows = [[cell for name, cell in zip(names, row) if "second" not in name] for row in rows]
        content = repr((names, rows)).encode()
    return hashlib.sha256(content).hexdigest()


def content():
    """Path to digest of what lies in made."""
    files = {}
    for folder, _, names in os.walk("made"):
        for name in names:
            path = os.path.join(folder, name)
            if name in ("clock", "lock") or os.path.islink(path):
                continue
            with open(path, "rb") as file:
                files[re.sub(r"\d{8,}\S*?(?=/|$)", "TIME", path)] = timeless(path, file.read())
    return files


def words_of(command, inputs):
    """The words of a command; D/ is the folder of the inputs."""
    words = command.replace("D/", inputs + "/")
    return subprocess.check_output(["bash", "-c", f"printf '%s\\n' {words}"], text=True).splitlines()


def sample(things, limit):
    """At most so many of them, spread evenly; all with 0."""
    n = len(things)
    return [things[(2 * i + 1) * n // (2 * limit)] for i in range(limit)] if 0 < limit < n else things
