"""The fusion training step in PyTorch, timed: the other side of bench/compare.py and
bench/compare_gpu.py.

One whole step: forward of four experts, fusion and head, five cross-entropies with label smoothing,
backward, one global clip, AdamW over three groups.  PyTorch gets what its users are told to give
it: channels_last, zero_grad(set_to_none=True), AdamW as it comes, warm-up before the clock; on a GPU
also fused AdamW, cuDNN's choice by timing, and nobody waits for a loss between the steps.  fp32 is
without TF32, as ours.  --compile: one graph of forward and losses, with CUDA graphs, or another MODE
of torch.compile.  Prints one JSON object.
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
parser.add_argument("--compile", nargs="?", const="reduce-overhead", metavar="MODE")
args = parser.parse_args()

import torch  # noqa: E402  (after the arguments, so that --help is quick)
import torch.nn.functional as F  # noqa: E402

import models  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(42)
torch.backends.cudnn.benchmark = True
torch.backends.cudnn.allow_tf32 = False  # of matrix products that is the default

ON_GPU = args.device.startswith("cuda")
free_bytes = torch.cuda.mem_get_info()[0] if ON_GPU else 0
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


def total_loss():
    """In bf16 the experts run under autocast and the fusion module in f32: PyTorch 1.13 has no
    layer_norm of bf16 features with f32 weights."""
    kind = "cuda" if ON_GPU else "cpu"
    with torch.autocast(kind, dtype=torch.bfloat16, enabled=args.precision == "bf16"):
        pairs = [expert(images) for expert in model.expert_backbones]
    logits = [model.fuse([f.float() for f, _ in pairs], [z.float() for _, z in pairs])]
    logits += [own.float() for _, own in pairs]
    return sum(F.cross_entropy(x, labels, label_smoothing=0.1) for x in logits)


if args.compile:
    total_loss = torch.compile(total_loss, fullgraph=True, mode=args.compile)


def step():
    optimizer.zero_grad(set_to_none=True)
    total_loss().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def clocks():
    if ON_GPU:
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


for _ in range(args.warmup):
    step()
together = args.steps if ON_GPU else 1  # steps between two looks at the clock
seconds, cpu_seconds = [], []
for _ in range(args.steps // together):
    start, cpu_start = clocks()
    for _ in range(together):
        step()
    end, cpu_end = clocks()
    seconds.append((end - start) / together)
    cpu_seconds.append((cpu_end - cpu_start) / together)

device_bytes = 0
if ON_GPU:
    taken = free_bytes - torch.cuda.mem_get_info()[0]
    device_bytes = max(taken, torch.cuda.max_memory_reserved(args.device))
skips = 0
if args.compile:
    from torch._dynamo.utils import counters

    skips = counters["inductor"]["cudagraph_skips"]

print(
    json.dumps(
        {
            "images_per_second": args.batch / statistics.median(seconds),
            "step_seconds": statistics.median(seconds),
            "step_cpu_seconds": statistics.median(cpu_seconds),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "device_bytes": device_bytes,
            "parameters": sum(p.numel() for p in model.parameters()),
            "cuda_graph_skips": skips,
            "version": torch.__version__,
        }
    )
)
