"""The fusion training step in PyTorch, timed: the other side of bench/compare.py and
bench/compare_gpu.py.

One whole step: forward of four experts, fusion and head, five cross-entropies with label smoothing,
backward, one global clip, AdamW over three groups.  PyTorch gets what its users are told to give
it: channels_last, zero_grad(set_to_none=True), AdamW as it comes (fused on a GPU), warm-up before
the clock; --compile: torch.compile with CUDA graphs.  Prints one JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "torch"))

parser = argparse.ArgumentParser()
parser.add_argument("--arch", required=True)
parser.add_argument("--fusion", required=True)
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warmup", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
parser.add_argument("--device", default="cpu")
parser.add_argument("--compile", action="store_true")
args = parser.parse_args()

import torch  # noqa: E402  (after the arguments, so that --help is quick)
import torch.nn.functional as F  # noqa: E402

import models  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(42)


ON_GPU = args.device.startswith("cuda")
model = models.FusionModel(args.arch, args.fusion)
model = model.to(args.device, memory_format=torch.channels_last)
model.train()
optimizer = torch.optim.AdamW(
    [
        {"params": model.expert_backbones.parameters(), "lr": 1e-5},
        {"params": model.fusion_module.parameters(), "lr": 1e-3},
        {"params": model.global_head.parameters(), "lr": 1e-3},
    ],
    weight_decay=1e-4,
    **({"fused": True} if ON_GPU else {}),
)
images = torch.randn(args.batch, 3, 32, 32).to(args.device, memory_format=torch.channels_last)
labels = torch.randint(0, 100, (args.batch,)).to(args.device)


def forward():
    """The fused head's logits and the experts'.  In bf16 the experts run under autocast and the
    fusion module in f32: PyTorch 1.13 has no layer_norm of bf16 features with f32 weights."""
    kind = "cuda" if ON_GPU else "cpu"
    with torch.autocast(kind, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
        pairs = [expert(images) for expert in model.expert_backbones]
    fused = model.fuse([features.float() for features, _ in pairs])
    return fused, [logits.float() for _, logits in pairs]


run_forward = torch.compile(forward, mode="reduce-overhead") if args.compile else forward


def step():
    optimizer.zero_grad(set_to_none=True)
    fused, experts = run_forward()
    loss = F.cross_entropy(fused, labels, label_smoothing=0.1)
    loss = loss + sum(F.cross_entropy(e, labels, label_smoothing=0.1) for e in experts)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


seconds, cpu_seconds = [], []
for i in range(args.warmup + args.steps):
    start, cpu_start = time.perf_counter(), time.process_time()
    step()
    if i >= args.warmup:
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)

print(
    json.dumps(
        {
            "images_per_second": args.batch / statistics.median(seconds),
            "step_seconds": statistics.median(seconds),
            "step_cpu_seconds": statistics.median(cpu_seconds),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "peak_device_bytes": torch.cuda.max_memory_reserved() if ON_GPU else 0,
            "version": torch.__version__,
        }
    )
)
