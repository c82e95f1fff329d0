"""judge_torchmetrics.py DATA EVAL LOGITS: accuracy, top-5, loss and calibration error, computed again
with torchmetrics."""

import sys

import torch
from files import Judge, events, heads, member, tensors
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error


def main():
    data, evaluation, logits = sys.argv[1:]
    labels = torch.tensor(tensors(data)[1]["test.fine"].astype(int))
    event, = events(evaluation, "eval")
    judge = Judge()
    for head, z in heads(logits).items():
        z = torch.tensor(z)
        n = z.shape[1]
        for name, value in {
            "accuracy": 100 * multiclass_accuracy(z, labels, n, average="micro"),
            "top5": 100 * multiclass_accuracy(z, labels, n, top_k=5, average="micro"),
            "ece": 100 * multiclass_calibration_error(z.softmax(1), labels, n, n_bins=15, norm="l1"),
            "loss": torch.nn.functional.cross_entropy(z, labels),
        }.items():
            judge.near(f"{head} {name}", member(event, head, name), float(value), 1e-4)
    judge.end()


main()
