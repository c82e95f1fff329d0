"""The models of fusion-tools in plain PyTorch, and load(), which fills one from a file.

    from fusion_models import load
    model = load("run/best.safetensors", normalise=True)
    fused, experts = model(images)      # (N, 3, 32, 32), uint8 or float from 0 to 1

It needs torch alone.  Names of parameters and buffers are those of the checkpoints, so that a
state_dict travels both ways.  Members of a family are named as the tools name them:

    resnet18:width=16  densenet121:growth=8,blocks=2-2-2-2  preact_resnext29_8x64d:depth=11,width=16

The networks share no code and no table with the tools, whose tests compare the two.
"""

import glob
import json
import os
import re

import torch
import torch.nn.functional as F
from torch import nn


def conv(c_in, c_out, kernel, stride=1, groups=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)


def pooled(x):
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


class Normalise(nn.Module):
    """Images as bytes, or as floats from 0 to 1, to what the networks were trained on."""

    def __init__(self, mean, std):
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(value)[:, None, None], persistent=False)

    def forward(self, x):
        x = x.to(self.mean.dtype) / 255 if x.dtype == torch.uint8 else x
        return (x - self.mean) / self.std


class Expert(nn.Module):
    """A network that returns (feature vector, logits).  Children set self.head to the name of their
    classifier and define maps(x), the last feature maps before the global pool."""

    head = "fc"

    def __init__(self):
        super().__init__()
        self.normalise = nn.Identity()

    def forward(self, x):
        features = pooled(self.maps(self.normalise(x)))
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


def chosen(table, name, what):
    if name not in table:
        raise ValueError(f"{what} {name}: not one of {', '.join(table)}")
    return table[name]


def make_expert(arch, n_classes=100, dropout=None, init=True):
    """arch: FAMILY[:KEY=VALUE,...]; blocks=a-b-c-d is a list.  dropout None: the family's."""
    family, _, rest = arch.partition(":")
    options = {} if dropout is None else {"dropout": dropout}
    for pair in filter(None, rest.split(",")):
        key, value = pair.split("=")
        is_list = key == "blocks"
        options[key] = tuple(map(int, value.split("-"))) if is_list else int(value)
    net = chosen(FAMILIES, family, "architecture")(n_classes, **options)
    if init:
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
    """K experts, a fusion module and the global head; returns (fused logits, [K logits]).  arch: of
    all experts, or one for each joined by ";".  fusion None: experts alone, whose fused logits are
    None.  fused: "head" or "residual", as the metadata of a checkpoint says; the original knows the
    first only."""

    def __init__(
        self,
        arch,
        fusion,
        n_classes=100,
        n_experts=4,
        expert_dropout=None,
        fusion_dropout=0.2,
        fused="head",
        init=True,
    ):
        super().__init__()
        self.fused = fused
        self.arch, self.fusion, self.n_classes = arch, fusion, n_classes
        self.normalise = nn.Identity()
        archs = arch.split(";")
        if len(archs) not in (1, n_experts):
            raise ValueError(f"{arch}: {len(archs)} architectures for {n_experts} experts")
        self.expert_backbones = nn.ModuleList(
            make_expert(archs[k % len(archs)], n_classes, expert_dropout, init)
            for k in range(n_experts)
        )
        if fusion:
            self.set_fusion(fusion, fusion_dropout)

    def set_fusion(self, fusion, dropout=0.2):
        """A fresh fusion module and head on the same experts: they cost most of the time.  Features
        narrower than those of the widest expert pass a Linear, fusion_module.adapters.K."""
        widths = [getattr(e, e.head).in_features for e in self.expert_backbones]
        width = max(widths)
        self.fusion = fusion
        module = chosen(FUSIONS, fusion, "fusion")
        self.fusion_module = module(width, len(self.expert_backbones), dropout)
        self.fusion_module.adapters = nn.ModuleDict(
            {str(k): nn.Linear(w, width) for k, w in enumerate(widths) if w != width}
        )
        self.global_head = nn.Linear(width, self.n_classes)

    def forward(self, x):
        x = self.normalise(x)
        features, logits = zip(*(expert(x) for expert in self.expert_backbones))
        return self.fuse(features, logits), list(logits)

    def fuse(self, features, logits):
        if not self.fusion:
            return None
        adapters = self.fusion_module.adapters
        features = [
            adapters[str(k)](f) if str(k) in adapters else f for k, f in enumerate(features)
        ]
        z = self.global_head(self.fusion_module(features))
        return z + sum(logits) / len(logits) if self.fused == "residual" else z


# ---- files ---------------------------------------------------------------------------------------

DTYPES = {
    "U8": torch.uint8,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def is_of_model(name):
    return not name.startswith(("optimizer.", "train."))


def read_safetensors(path, wanted=is_of_model):
    """({name: tensor}, {key: string}) of a safetensors file; without a trainer's state."""
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        n = int.from_bytes(f.read(8), "little")
        if size < 8 or n > size - 8:
            raise ValueError(f"{path}: not a safetensors file, or the beginning of one")
        header = json.loads(f.read(n))
        facts, tensors = header.pop("__metadata__", {}), {}
        for name, entry in header.items():
            if wanted(name):
                tensors[name] = read_tensor(f, 8 + n, size, entry, f"{path}: {name}")
    return tensors, facts


def read_tensor(f, start, size, entry, what):
    dtype, (begin, end) = DTYPES[entry["dtype"]], entry["data_offsets"]
    values = torch.empty(entry["shape"], dtype=dtype)
    if end - begin != values.numel() * values.element_size() or start + end > size:
        raise ValueError(f"{what}: shape and place do not fit, or the file is cut off")
    f.seek(start + begin)
    if end > begin:
        data = bytearray(f.read(end - begin))
        values.copy_(torch.frombuffer(data, dtype=dtype).view(values.shape))
    return values


def read_file(path):
    """(tensors, what the file says of the model).  Of a .pth the .json beside it says that, which
    ckpt-split writes; nothing in a .pth is executed."""
    if not path.endswith((".pth", ".pt")):
        return read_safetensors(path)
    beside, facts = os.path.splitext(path)[0] + ".json", {}
    if os.path.isfile(beside):
        with open(beside, encoding="utf-8") as f:
            facts = json.load(f)
        facts = {**facts.pop("checkpoint", {}), **facts}
    return torch.load(path, map_location="cpu", weights_only=True), facts


def component_of(path, facts):
    """Which part of a model a file of a folder is: what it says, or where it lies."""
    if "component" in facts:
        return facts["component"]
    number = re.search(r"_expert_(\d+)_", os.path.basename(path))
    folder = os.path.basename(os.path.dirname(path))
    names = {"fusion": "fusion_module", "global": "global_head"}
    if folder == "experts" and number:
        return f"expert_backbones.{number[1]}"
    if folder not in names:
        raise ValueError(f"{path}: which component of a model is it?")
    return names[folder]


def read_folder(folder):
    """(tensors, facts) of the whole model whose components ckpt-split wrote into the folder."""
    tensors, parts = {}, {}
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*", "*"))):
        if not path.endswith((".pth", ".safetensors")):
            continue
        if not os.path.isfile(path):
            raise ValueError(f"{path}: is no regular file")
        values, facts = read_file(path)
        name = component_of(path, facts)
        if name in parts:
            raise ValueError(f"{path}: {name} is there twice")
        parts[name] = facts
        tensors.update({f"{name}.{key}": value for key, value in values.items()})
    if not parts:
        raise ValueError(f"{folder}: no experts/*.pth, fusion/*.pth and global/*.pth in it")
    return tensors, whole_facts(parts)


def whole_facts(parts):
    """The fusion is what the fusion module's file says, fused what the head's says: an expert may
    come from another run."""
    whole = {key: value for facts in parts.values() for key, value in facts.items()}
    experts = sorted(name for name in parts if name.startswith("expert_backbones."))
    archs = [parts[name].get("arch") for name in experts]
    if all(archs):
        whole["arch"] = archs[0] if len(set(archs)) == 1 else ";".join(archs)
    whole["fusion"] = parts.get("fusion_module", {}).get("fusion")
    whole["fused"] = parts.get("global_head", {}).get("fused", "head")
    return whole


# ---- loading -------------------------------------------------------------------------------------


def load(path, normalise=False, mean=None, std=None, **facts):
    """The model in a file or folder, in evaluation mode.

    path       a checkpoint (.safetensors), a folder of components (ckpt-split), the state_dict of a
               FusionModel (.pth), or one expert (.pth, .safetensors), which becomes an Expert and
               returns (features, logits)
    normalise  take images as bytes, or as floats from 0 to 1; otherwise they are normalised already
    mean, std  of red, green and blue, where the file does not say them, or says others
    facts      the same of arch, fusion, fused

    model.labels are the names of the classes, None where the file does not say them.
    """
    path = os.fspath(path)
    tensors, said = read_folder(path) if os.path.isdir(path) else read_file(path)
    said = {**said, **facts}
    if not said.get("arch"):
        raise ValueError(f"{path}: does not say its architecture: load(..., arch=...)")
    model = make_model(tensors, said, path)
    model.load_state_dict(tensors)
    model.labels = said_list(said, "fine_labels")
    mean, std = mean or said_list(said, "mean"), std or said_list(said, "std")
    if normalise and not (mean and std):
        raise ValueError(f"{path}: does not say mean and std: load(..., mean=..., std=...)")
    if normalise:
        model.normalise = Normalise(mean, std)
    return model.eval()


def make_model(tensors, said, path):
    """The model of these tensors, not yet with their values."""
    numbers = {name.split(".")[1] for name in tensors if name.startswith("expert_backbones.")}
    if not numbers:
        return make_expert(said["arch"], n_classes_of(tensors), init=False)
    fusion = said.get("fusion")
    if not fusion and "global_head.weight" in tensors:
        raise ValueError(f"{path}: does not say its fusion: load(..., fusion=...)")
    missing = [k for k in range(int(said.get("experts") or len(numbers))) if str(k) not in numbers]
    if missing:
        raise ValueError(f"{path}: no tensors of expert_backbones.{missing[0]}")
    head = "global_head." if fusion else "expert_backbones.0."
    return FusionModel(
        said["arch"],
        fusion,
        n_classes_of(tensors, head),
        len(numbers),
        fused=said.get("fused") or "head",
        init=False,
    )


def n_classes_of(tensors, prefix=""):
    """Of the head, which is a Linear, or of an expert, whose classifier has one of three names."""
    names = ("weight", "fc.weight", "linear.weight", "classifier.weight")
    return next((len(tensors[prefix + n]) for n in names if prefix + n in tensors), 100)


def said_list(said, key):
    """A list is a text in a .safetensors and a list in a .json."""
    value = said.get(key)
    return json.loads(value) if isinstance(value, str) else value
