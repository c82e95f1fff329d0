"""The models that the tools are compared with, python/fusion_models.py, with random values.

Run as a program it checks the parameter and entry counts of the full-size networks.
"""

import os
import sys

import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python"))

from fusion_models import FUSIONS, FusionModel, load, make_expert  # noqa: E402

__all__ = ["FUSIONS", "FusionModel", "load", "make_expert", "randomise"]


def randomise(model, seed, strong_fusion=True):
    """Everything that starts as a constant gets a random value: BatchNorm and LayerNorm scale and
    shift, running statistics, biases, expert weights.  Without it evaluation would not notice a
    forgotten mean or a scale applied twice.  strong_fusion gives fusion and head larger weights
    than at their start, so that their logits depend on the images more than on biases.  The
    experts' values depend on the seed alone, not on the fusion."""
    with torch.no_grad():
        randomise_part(model.expert_backbones, seed, False)
        randomise_part(model.fusion_module, seed + 1, strong_fusion)
        randomise_part(model.global_head, seed + 2, strong_fusion)


def randomise_part(part, seed, strong):
    g = torch.Generator().manual_seed(seed)

    def normal(t, mean, std):
        t.copy_(torch.randn(t.shape, generator=g) * std + mean)

    def uniform(t, low, high):
        t.copy_(torch.rand(t.shape, generator=g) * (high - low) + low)

    for m in part.modules():
        if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm)):
            uniform(m.weight, 0.5, 1.5)
            normal(m.bias, 0.0, 0.2)
        if isinstance(m, nn.BatchNorm2d):
            normal(m.running_mean, 0.0, 0.3)
            uniform(m.running_var, 0.5, 2.0)
            m.num_batches_tracked.fill_(seed % 1000 + 1)
        if isinstance(m, nn.MultiheadAttention):
            normal(m.in_proj_bias, 0.0, 0.2)
        if isinstance(m, nn.Linear):
            normal(m.bias, 0.0, 0.1)
    for name, p in part.named_parameters():
        if name == "expert_weights":
            normal(p, 1.0, 0.5)
        elif strong and p.dim() == 2:
            normal(p, 0.0, (2.0 / p.shape[1]) ** 0.5)


EXPECTED = {  # arch: feature width, parameters, state_dict entries
    "densenet121": (1024, 7048676, 727),
    "resnet18": (512, 11220132, 122),
    "improved_wideresnet28_10": (640, 36536884, 155),
    "preact_resnext29_8x64d": (1024, 34515364, 173),
    "preact_resnet18": (512, 11218340, 107),
}


def check_counts():
    for arch, expected in EXPECTED.items():
        net = make_expert(arch)
        width = getattr(net, net.head).in_features
        n_params = sum(p.numel() for p in net.parameters())
        found = (width, n_params, len(net.state_dict()))
        assert found == expected, f"{arch}: {found}, expected {expected}"
        print(f"{arch}: width {found[0]}, {found[1]} parameters, {found[2]} entries")


if __name__ == "__main__":
    check_counts()
