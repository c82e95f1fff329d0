"""make_runs.py: write a folder runs/ with runs in every state, for the tools that look at runs.

The numbers are made up so that each can be recognised where it is shown: run r, epoch e, expert k.
"""
import json
import os

EXPERTS = 2


def write(name, lines, file="history.jsonl"):
    os.makedirs(f"runs/{name}", exist_ok=True)
    with open(f"runs/{name}/{file}", "w") as out:
        out.writelines(line if isinstance(line, str) else json.dumps(line) + "\n"
                       for line in lines)


def start(number, **more):
    event = {"event": "start", "arch": "resnet18:width=8", "fusion": "multiplicative",
             "experts": EXPERTS, "epochs": 4, "steps_per_epoch": 10, "val_images": 50, "train_images": 9000,
             "seed": number, "timestamp": f"2026-01-0{number} 03:04:05", **more}
    return {key: value for key, value in event.items() if value is not None}


def before(number):
    return {"event": "eval", "split": "val", "epoch": 0, "images": 50,
            "expert_accuracy": [number + 0.25, number + 0.5], "ensemble_accuracy": number,
            "timestamp": f"2026-01-0{number} 03:05:00"}


def epoch(number, e, value=None):
    accuracy = value if value is not None else 10 * number + e
    return {"event": "epoch", "epoch": e, "step": 10 * e, "train_loss": 4.5, "loss_global": 4 - e,
            "train_accuracy": 5, "val_loss_global": None if e == 2 else 4.5 - e,
            "val_accuracy": accuracy, "val_ece": 3,
            "expert_accuracy": [accuracy - 3.25, accuracy - 4.5], "expert_loss": [1.5, 1.25],
            "ensemble_accuracy": accuracy - 2, "ensemble_loss": 1, "images_per_second": 250.5,
            "seconds": 100, "timestamp": f"2026-01-0{number} 04:0{e}:00"}


def end(number, status="done", **more):
    return {"event": "end", "status": status, "epoch": 4, "seconds": 3725.4,
            "timestamp": f"2026-01-0{number} 05:00:00", **more}


def test(fused, experts, ensemble, ece=2.5, **more):
    return {"test_images": 200, "test_accuracy": fused, "test_expert_accuracy": experts,
            "test_ensemble_accuracy": ensemble, "test_ece": ece, **more}


write("done", [start(1, device="cpu", precision="fp32"), before(1), *[epoch(1, e) for e in (1, 2, 3, 4)],
               end(1, **test(55.55, [44.25, 41.5], 50.75, test_fused_only=12, test_ensemble_only=4))])
write("under/way", [start(2), before(2), epoch(2, 1), epoch(2, 2)])
write("dead", [start(3), before(3), epoch(3, 1), '{"event":"epo'])
write("stopped", [start(4), epoch(4, 1, 20), epoch(4, 2, 19), end(4, "stopped", reason="signal")])
write("diverged", [start(5), epoch(5, 1), end(5, "diverged", reason="loss is not finite")])
write("fresh", [])
write("single", [start(6, fusion=None, expert="all", experts=1), epoch(6, 1),
                 end(6, **test(48.5, [48.5], 48.5))], "metrics.jsonl")
write("<b>&\"evil'", [start(7, fusion="<script>alert(1)</script>", task="</details>\u0001"),
                      epoch(7, 1), end(7, "failed", reason="<img src=x>")])
write("broken", [start(8), "not JSON\n", end(8)])
write(".hidden", [start(9), end(9)])
for name in ("done", "under/way", "dead", "stopped", "diverged", "fresh"):
    open(f"runs/{name}/lock", "w").close()
