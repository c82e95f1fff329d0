"""The architectures and fusions once more, in plain PyTorch.

This file is the independent judge of lib/net and lib/backend: it shares no code and no table with
them.  Parameter and buffer names are those of the checkpoints, so that a state_dict travels both
ways.  Small members of a family are named as the tools name them:

    resnet18:width=16  densenet121:growth=8,blocks=2-2-2-2  preact_resnext29_8x64d:depth=11,width=16

Run as a program it checks the parameter and entry counts of the full-size networks.
"""

import torch
import torch.nn.functional as F
from torch import nn


def conv(c_in, c_out, kernel, stride=1, groups=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


def pooled(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


class Expert(nn.Module):
    """A network that returns (feature vector, logits).  Children set self.head to the name of their
    classifier and define maps(x), the last feature maps before the global pool."""

    head = "fc"

    def forward(self, x):
        features = pooled(self.maps(x))
        return features, getattr(self, self.head)(features)


# ---- resnet18 ------------------------------------------------------------------------------------


class BasicBlock(nn.Module):
    def __init__(self, c_in, planes, stride, dropout):
        super().__init__()
        self.conv1 = conv(c_in, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != planes:
            self.shortcut = nn.Sequential(conv(c_in, planes, 1, stride), nn.BatchNorm2d(planes))
        self.dropout = dropout

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.dropout(out, self.dropout, self.training)
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet(Expert):
    head = "linear"

    def __init__(self, n_classes, dropout=0.0, width=64, blocks=(2, 2, 2, 2)):
        super().__init__()
        self.conv1 = conv(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        c = width
        for i, n in enumerate(blocks):
            planes = width << i
            stage = []
            for j in range(n):
                stage.append(BasicBlock(c, planes, 2 if i > 0 and j == 0 else 1, dropout))
                c = planes
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.linear = nn.Linear(c, n_classes)
        self.n_stages = len(blocks)

    def maps(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(self.n_stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return x


# ---- densenet121 ---------------------------------------------------------------------------------


class DenseLayer(nn.Module):
    def __init__(self, c_in, growth, dropout):
        super().__init__()
        self.dense_layer = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.ReLU(),
            conv(c_in, 4 * growth, 1),
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            conv(4 * growth, growth, 3),
        )
        self.dropout = dropout

    def forward(self, x):
        new = F.dropout(self.dense_layer(x), self.dropout, self.training)
        return torch.cat([x, new], 1)


class DenseBlock(nn.Module):
    def __init__(self, c_in, n_layers, growth, dropout):
        super().__init__()
        layers = [DenseLayer(c_in + j * growth, growth, dropout) for j in range(n_layers)]
        self.dense_block = nn.Sequential(*layers)

    def forward(self, x):
        return self.dense_block(x)


class Transition(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.transition_layer = nn.Sequential(
            nn.BatchNorm2d(c_in), nn.ReLU(), conv(c_in, c_out, 1), nn.AvgPool2d(2, 2)
        )

    def forward(self, x):
        return self.transition_layer(x)


class DenseNet(Expert):
    head = "classifier"

    def __init__(self, n_classes, dropout=0.0, growth=32, blocks=(6, 12, 24, 16)):
        super().__init__()
        c = 2 * growth
        self.features = nn.Sequential(conv(3, c, 3), nn.BatchNorm2d(c), nn.ReLU())
        for b, n in enumerate(blocks, 1):
            self.features.add_module(f"denseblock{b}", DenseBlock(c, n, growth, dropout))
            c += n * growth
            if b < len(blocks):
                self.features.add_module(f"transition{b}", Transition(c, c // 2))
                c //= 2
        self.features.add_module("norm_final", nn.BatchNorm2d(c))
        self.classifier = nn.Linear(c, n_classes)

    def maps(self, x):
        return F.relu(self.features(x))


# ---- improved_wideresnet28_10 --------------------------------------------------------------------


class WideBlock(nn.Module):
    def __init__(self, c_in, c_out, stride, dropout):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv(c_in, c_out, 3, stride)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.conv2 = conv(c_out, c_out, 3)
        self.conv_shortcut = conv(c_in, c_out, 1, stride) if c_in != c_out else None
        self.dropout = dropout

    def forward(self, x):
        a = F.relu(self.bn1(x))
        out = F.relu(self.bn2(self.conv1(a)))
        out = self.conv2(F.dropout(out, self.dropout, self.training))
        return out + (x if self.conv_shortcut is None else self.conv_shortcut(a))


class WideGroup(nn.Module):
    def __init__(self, c_in, c_out, stride, n, dropout):
        super().__init__()
        blocks = [WideBlock(c_in, c_out, stride, dropout)]
        blocks += [WideBlock(c_out, c_out, 1, dropout) for _ in range(n - 1)]
        self.layer = nn.Sequential(*blocks)

    def forward(self, x):
        return self.layer(x)


class WideResNet(Expert):
    def __init__(self, n_classes, dropout=0.3, depth=28, width=10):
        super().__init__()
        n = (depth - 4) // 6
        self.conv1 = conv(3, 16, 3)
        self.block1 = WideGroup(16, 16 * width, 1, n, dropout)
        self.block2 = WideGroup(16 * width, 32 * width, 2, n, dropout)
        self.block3 = WideGroup(32 * width, 64 * width, 2, n, dropout)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.fc = nn.Linear(64 * width, n_classes)

    def maps(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return F.relu(self.bn1(x))


# ---- preact_resnext29_8x64d ----------------------------------------------------------------------


class GroupedConv(nn.Module):
    def __init__(self, c, stride, groups):
        super().__init__()
        self.conv = conv(c, c, 3, stride, groups)

    def forward(self, x):
        return self.conv(x)


class NextBlock(nn.Module):
    def __init__(self, c_in, planes, stride, cardinality, base_width, dropout):
        super().__init__()
        grouped, c_out = planes * base_width // 64 * cardinality, 4 * planes
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv(c_in, grouped, 1)
        self.bn2 = nn.BatchNorm2d(grouped)
        self.conv2 = GroupedConv(grouped, stride, cardinality)
        self.bn3 = nn.BatchNorm2d(grouped)
        self.conv3 = conv(grouped, c_out, 1)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(conv(c_in, c_out, 1, stride))
        self.dropout = dropout

    def forward(self, x):
        out = self.conv1(F.relu(self.bn1(x)))
        out = self.conv2(F.relu(self.bn2(out)))
        out = F.dropout(out, self.dropout, self.training)
        return self.conv3(F.relu(self.bn3(out))) + self.shortcut(x)


class PreActResNeXt(Expert):
    def __init__(self, n_classes, dropout=0.3, depth=29, cardinality=8, base_width=64, width=64):
        super().__init__()
        n = (depth - 2) // 9
        self.conv1 = conv(3, width, 3)
        c = width
        for i in range(3):
            planes = width << i
            stage = []
            for j in range(n):
                stride = 2 if i > 0 and j == 0 else 1
                stage.append(NextBlock(c, planes, stride, cardinality, base_width, dropout))
                c = 4 * planes
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.bn = nn.BatchNorm2d(c)
        self.fc = nn.Linear(c, n_classes)

    def maps(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return F.relu(self.bn(x))


# ---- preact_resnet18 -----------------------------------------------------------------------------


class PreActBlock(nn.Module):
    def __init__(self, c_in, planes, stride, dropout):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv(c_in, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != planes:
            self.shortcut = nn.Sequential(conv(c_in, planes, 1, stride))
        self.dropout = dropout

    def forward(self, x):
        out = self.conv1(F.relu(self.bn1(x)))
        out = F.dropout(out, self.dropout, self.training)
        return self.conv2(F.relu(self.bn2(out))) + self.shortcut(x)


class PreActResNet(Expert):
    head = "linear"

    def __init__(self, n_classes, dropout=0.0, width=64, blocks=(2, 2, 2, 2)):
        super().__init__()
        self.conv1 = conv(3, width, 3)
        c = width
        for i, n in enumerate(blocks, 1):
            planes = width << (i - 1)
            stage = []
            for j in range(n):
                stage.append(PreActBlock(c, planes, 2 if i > 1 and j == 0 else 1, dropout))
                c = planes
            self.add_module(f"layer{i}", nn.Sequential(*stage))
        self.bn = nn.BatchNorm2d(c)
        self.linear = nn.Linear(c, n_classes)
        self.n_stages = len(blocks)

    def maps(self, x):
        x = self.conv1(x)
        for i in range(self.n_stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return F.relu(self.bn(x))


FAMILIES = {
    "resnet18": ResNet,
    "densenet121": DenseNet,
    "improved_wideresnet28_10": WideResNet,
    "preact_resnext29_8x64d": PreActResNeXt,
    "preact_resnet18": PreActResNet,
}


def init_expert(net):
    """Kaiming normal (fan out) convolutions, Xavier uniform classifier, zero bias."""
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, nn.Linear):
            nn.init.xavier_uniform_(m.weight)
            nn.init.zeros_(m.bias)


def make_expert(arch, n_classes=100, dropout=None):
    """arch: FAMILY[:KEY=VALUE,...]; blocks=a-b-c-d is a list.  dropout None: the family's."""
    family, _, rest = arch.partition(":")
    options = {} if dropout is None else {"dropout": dropout}
    for pair in filter(None, rest.split(",")):
        key, value = pair.split("=")
        is_list = key == "blocks"
        options[key] = tuple(map(int, value.split("-"))) if is_list else int(value)
    net = FAMILIES[family](n_classes, **options)
    init_expert(net)
    return net


# ---- fusions -------------------------------------------------------------------------------------


def make_mlp(c_in, width, dropout):
    return nn.Sequential(
        nn.Linear(c_in, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
    )


def product(values):
    out = values[0]
    for v in values[1:]:
        out = out * v
    return out


def weighted_sum(weights, values):
    w = torch.softmax(weights, 0)
    return sum(w[k] * v for k, v in enumerate(values))


class Multiplicative(nn.Module):
    def __init__(self, width, n_experts, dropout):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_experts))
        self.mlp = make_mlp(width, width, dropout)

    def normed(self, features):
        return [norm(f) for norm, f in zip(self.norms, features)]

    def forward(self, features):
        return self.mlp(product(self.normed(features)))


class MultiplicativeShifted(Multiplicative):
    def forward(self, features):
        return self.mlp(product([f + 1 for f in self.normed(features)]))


class MultiplicativeAddition(Multiplicative):
    def __init__(self, width, n_experts, dropout):
        super().__init__(width, n_experts, dropout)
        self.expert_weights = nn.Parameter(torch.ones(n_experts))

    def forward(self, features):
        normed = self.normed(features)
        return self.mlp(product(normed) + weighted_sum(self.expert_weights, normed))


class Concatenation(Multiplicative):
    def __init__(self, width, n_experts, dropout):
        super().__init__(width, n_experts, dropout)
        self.mlp = make_mlp(n_experts * width, width, dropout)

    def forward(self, features):
        return self.mlp(torch.cat(self.normed(features), 1))


class SimpleAddition(nn.Module):
    def __init__(self, width, n_experts, dropout):
        super().__init__()
        self.expert_weights = nn.Parameter(torch.ones(n_experts))
        self.mlp = make_mlp(width, width, dropout)

    def forward(self, features):
        return self.mlp(weighted_sum(self.expert_weights, features))


class TransformerBase(nn.Module):
    def __init__(self, width, n_experts, dropout):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_experts))
        self.attention = nn.MultiheadAttention(width, 8, dropout=dropout, batch_first=True)
        self.ffn = make_mlp(width, width, dropout)

    def forward(self, features):
        tokens = torch.stack([norm(f) for norm, f in zip(self.norms, features)], 1)
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return self.ffn(mixed.mean(1))


class Gated(nn.Module):
    def __init__(self, width, n_experts, dropout):
        super().__init__()
        self.gate = nn.Linear(n_experts * width, n_experts)

    def forward(self, features):
        weights = torch.softmax(self.gate(torch.cat(features, 1)), 1)
        return sum(weights[:, k : k + 1] * f for k, f in enumerate(features))


FUSIONS = {
    "multiplicative": Multiplicative,
    "multiplicativeAddition": MultiplicativeAddition,
    "TransformerBase": TransformerBase,
    "concatenation": Concatenation,
    "simpleAddition": SimpleAddition,
    "multiplicativeShifted": MultiplicativeShifted,
    "gated": Gated,
}


class FusionModel(nn.Module):
    """K experts, a fusion module and the global head; returns (fused logits, [K logits]).  fused:
    "head" or "residual", as the metadata of a checkpoint says; the original knows the first only."""

    def __init__(
        self,
        arch,
        fusion,
        n_classes=100,
        n_experts=4,
        expert_dropout=None,
        fusion_dropout=0.2,
        fused="head",
    ):
        super().__init__()
        self.fused = fused
        self.arch, self.fusion, self.n_classes = arch, fusion, n_classes
        self.expert_backbones = nn.ModuleList(
            make_expert(arch, n_classes, expert_dropout) for _ in range(n_experts)
        )
        width = getattr(self.expert_backbones[0], self.expert_backbones[0].head).in_features
        self.set_fusion(fusion, width, fusion_dropout)

    def set_fusion(self, fusion, width=None, dropout=0.2):
        """A fresh fusion module and head on the same experts: they cost most of the time."""
        width = width or self.global_head.in_features
        self.fusion = fusion
        self.fusion_module = FUSIONS[fusion](width, len(self.expert_backbones), dropout)
        self.global_head = nn.Linear(width, self.n_classes)

    def forward(self, x):
        features, logits = zip(*(expert(x) for expert in self.expert_backbones))
        return self.fuse(features, logits), list(logits)

    def fuse(self, features, logits):
        z = self.global_head(self.fusion_module(list(features)))
        return z + sum(logits) / len(logits) if self.fused == "residual" else z


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
