"""judge_ood.py EVAL LOGITS OOD_LOGITS: every number of an ood event, computed again with scikit-learn."""

import sys

import numpy as np
from files import Judge, events, heads, member, softmax
from scipy.special import entr, logsumexp
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve


def scores(inside, outside):
    is_in = np.r_[np.ones(len(inside)), np.zeros(len(outside))]
    value = np.r_[inside, outside]
    fpr, tpr, _ = roc_curve(is_in, value, drop_intermediate=False)
    return {
        "auroc": 100 * roc_auc_score(is_in, value),
        "aupr_in": 100 * average_precision_score(is_in, value),
        "aupr_out": 100 * average_precision_score(1 - is_in, -value),
        "fpr95": 100 * fpr[np.argmax(tpr >= 0.95)],
    }


def divergence(measured):
    p = [softmax(z) for head, z in measured.items() if head[0] == "expert_"]
    return entr(np.mean(p, 0)).sum(1) - np.mean([entr(x).sum(1) for x in p], 0)


def main():
    evaluation, inside, outside = sys.argv[1], heads(sys.argv[2]), heads(sys.argv[3])
    event, = events(evaluation, "ood")
    judge = Judge()
    for head in inside:
        for kind, of in {"msp": lambda z: softmax(z).max(1), "energy": lambda z: logsumexp(z, 1)}.items():
            for name, value in scores(of(inside[head]), of(outside[head])).items():
                judge.near(f"{head} {kind}_{name}", member(event, head, f"{kind}_{name}"), value)
    for name, value in scores(-divergence(inside), -divergence(outside)).items():
        judge.near(f"disagreement_{name}", event[f"disagreement_{name}"], value)
    judge.end()


main()
