"""judge_eval.py DATA EVAL LOGITS VAL_LOGITS: every number of an eval event and its details, computed
again with scikit-learn and scipy."""

import sys

import numpy as np
from files import Judge, events, heads, member, softmax, tensors
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import binomtest, bootstrap
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, top_k_accuracy_score

BINS = 15


def ece(probabilities, right):
    """By scikit-learn's curve, weighted with the images of each bin."""
    top = probabilities.max(1)
    accuracy, confidence = calibration_curve(right, top, n_bins=BINS)
    n = np.histogram(top, np.linspace(0, 1, BINS + 1))[0]
    return 100 * np.sum(n[n > 0] * abs(accuracy - confidence)) / len(top)


def ece_mass(probabilities, right):
    top = probabilities.max(1)
    order = np.argsort(top, kind="stable")
    return 100 * sum(abs(np.sum(right[i]) - np.sum(top[i])) for i in np.array_split(order, BINS)) / len(top)


def brier(probabilities, labels):
    return np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2, 1))


def fitted(logits, labels):
    def loss(log_t):
        z = logits / np.exp(log_t)
        return np.mean(logsumexp(z, 1) - z[np.arange(len(labels)), labels])

    return np.exp(minimize_scalar(loss, bounds=(np.log(0.01), np.log(100)), method="bounded",
                                  options={"xatol": 1e-10}).x)


def main():
    data, evaluation, logits, val_logits = sys.argv[1:]
    _, data = tensors(data)
    labels, coarse = data["test.fine"].astype(int), data["test.coarse"].astype(int)
    val_labels = data["train.fine"].astype(int)[data["split.val"]]
    classes = np.arange(data["train.fine"].max() + 1)
    superclass = np.array([data["train.coarse"][data["train.fine"] == c][0] for c in classes])
    measured, of_val = heads(logits), heads(val_logits)
    event, = events(evaluation, "eval")
    judge = Judge()

    for head, z in measured.items():
        p, predicted = softmax(z), z.argmax(1)
        right = predicted == labels
        for name, value in {
            "accuracy": 100 * accuracy_score(labels, predicted),
            "loss": log_loss(labels, p, labels=classes),
            "top5": 100 * top_k_accuracy_score(labels, z, k=5, labels=classes),
            "brier": brier(p, labels),
            "ece": ece(p, right),
            "ece_mass": ece_mass(p, right),
            "superclass_accuracy": 100 * accuracy_score(coarse, superclass[predicted]),
        }.items():
            judge.near(f"{head} {name}", member(event, head, name), value, 1e-5)
        t = fitted(of_val[head], val_labels)
        judge.near(f"{head} temperature", member(event, head, "temperature"), t, 1e-4)
        p = softmax(z / t)
        judge.near(f"{head} scaled_loss", member(event, head, "scaled_loss"), log_loss(labels, p, labels=classes), 1e-4)
        judge.near(f"{head} scaled_brier", member(event, head, "scaled_brier"), brier(p, labels), 1e-4)
        judge.near(f"{head} scaled_ece", member(event, head, "scaled_ece"), ece(p, right), 1e-2)
        # Other samples give other intervals: they agree as far as the samples' number lets them.
        interval = bootstrap((100.0 * right,), np.mean, n_resamples=4000, method="percentile",
                             random_state=np.random.default_rng(1)).confidence_interval
        width = interval.high - interval.low
        judge.near(f"{head} low", member(event, head, "accuracy_low"), interval.low, 0.15 * width / interval.low)
        judge.near(f"{head} high", member(event, head, "accuracy_high"), interval.high, 0.15 * width / interval.high)

    fused, ensemble = measured["", None].argmax(1) == labels, measured["ensemble_", None].argmax(1) == labels
    b, c = np.sum(fused & ~ensemble), np.sum(~fused & ensemble)
    judge.near("McNemar", event["mcnemar_p"], binomtest(int(b), int(b + c)).pvalue)
    judge.near("gain", event["gain"], 100 * (b - c) / len(labels))
    predictions = [measured["expert_", k].argmax(1) for k in range(len(event["expert_accuracy"]))]
    for i, x in enumerate(predictions):
        for j, y in enumerate(predictions):
            judge.near("disagreement", event["disagreement"][i][j], 100 * np.mean(x != y))

    matrix = confusion_matrix(labels, measured["", None].argmax(1), labels=classes)
    for detail in events(evaluation, "class"):
        k = detail["class"]
        assert detail["predicted"] == list(matrix[k]), k
        judge.near("class", detail["accuracy"], 100 * matrix[k, k] / matrix[k].sum())
    for detail in events(evaluation, "superclass"):
        mine = coarse == detail["superclass"]
        predicted = superclass[predictions[1]]
        judge.near("superclass", detail["expert_superclass_accuracy"][1], 100 * np.mean(predicted[mine] == coarse[mine]))
    bins = events(evaluation, "bin")
    assert sum(detail["images"] for detail in bins) == len(labels)
    judge.end()


main()
