"""Metrics streams that are none."""
import json

START = {"event": "start", "arch": "resnet18", "fusion": "multiplicative", "experts": 1}
EPOCH = {
    "event": "epoch", "epoch": 1, "step": 1, "train_loss": 1.0, "loss_global": 1.0,
    "loss_individual": 1.0, "loss_total": 1.0, "train_accuracy": 1.0, "val_loss": 1.0,
    "val_loss_global": 1.0, "val_accuracy": 1.0, "expert_accuracy": [1.0], "expert_loss": [1.0],
    "ensemble_accuracy": 1.0, "lr_experts": 1.0, "lr_fusion": 1.0, "lr_global_head": 1.0,
    "best": True, "images_per_second": 1.0, "seconds": 1.0, "val_seconds": 1.0,
    "timestamp": "2026-01-02 03:04:05",
}
END = {"event": "end", "status": "done"}
NO_END = "stream ends without an end event"


def stream(*events):
    lines = (e if isinstance(e, bytes) else json.dumps(e).encode() for e in events)
    return b"".join(line + b"\n" for line in lines)


def cases():
    good = stream(START, EPOCH, END)
    yield "empty", b"", "is empty, not a metrics stream; *"
    yield "newline", b"\n", "is a text file, not *"
    yield "csv", b"epoch,train_loss\n1,2\n", "is a CSV table, not *"
    yield "zeros", bytes(1000), "line 1: *"
    yield "gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\3\n", "is a gzip file, not *"
    yield "one-line", good.replace(b"\n", b" ") + b"\n", "line 1: *"
    for cut in range(1, len(good), 41):
        yield f"cut-{cut:04}", good[:cut], "*"
    yield "cut-newline", good[:-1], "line 3: cut off before its end"
    yield "cut-event", stream(START, EPOCH), NO_END
    yield "array", stream(START, [1, 2]), "line 2: *"
    yield "deep", stream(START, b'{"event":' + b"[" * 100000), "line 2: *"
    yield "deep-closed", stream(START, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), "line 2: *"
    yield "long", stream(START, b'{"event":"' + b"x" * 5000000), "line 2: *"
    yield "utf8", stream(START, b'{"event":"\xff"}'), "line 2: *"
    yield "surrogate", stream(START, b'{"event":"\\ud800"}'), "line 2: *"
    yield "zero-text", stream(START, b'{"event":"e\\u0000"}'), "line 2: *"
    yield "zero-byte", stream(START, b'{"event":"end"\0,"status":"done"}'), "line 2: *"
    yield "twice", stream(START, b'{"event":"end","status":"done","status":"done"}'), "line 2: *"
    yield "nan", stream(START, b'{"event":"end","status":NaN}'), "line 2: *"
    yield "overflow", stream(START, dict(EPOCH, epoch=2**70), END), "line 2: *"
    overflow = json.dumps(EPOCH).replace("1.0", "1e999").encode()
    yield "overflow-real", stream(START, overflow), "line 2: *"
    for member in EPOCH:
        without = {k: v for k, v in EPOCH.items() if k != member}
        if member in ("best", "val_seconds"):  # not in the table
            continue
        yield f"no-{member}", stream(START, without, END), "line 2: *"
        if member != "event":
            yield f"object-{member}", stream(START, dict(EPOCH, **{member: {}}), END), "line 2: *"
    yield "experts-two", stream(dict(START, experts=2), EPOCH, END), "line 2: *"
    yield "experts-text", stream(dict(START, experts="1"), EPOCH, END), "line 1: *"
    yield "experts-many", stream(dict(START, experts=2**40), EPOCH, END), "line 1: *"
    yield "expert-text", stream(START, dict(EPOCH, expert_loss=["1"]), END), "line 2: *"
    yield "expert-array", stream(START, dict(EPOCH, expert_loss=[[1]]), END), "line 2: *"
    yield "alpha-object", stream(dict(START, alpha={}), EPOCH, END), "line 2: *"
    yield "epochs-again", stream(START, EPOCH, EPOCH, END), "line 3: epoch: does not ascend"
    yield "two-runs", good + good, "line 4: stands after the end event"
    yield "two-starts", stream(START, START, END), "line 2: a second start event"
    yield "no-start", stream(EPOCH, END), "line 1: stands before the start event"
    yield "status", stream(START, dict(END, status="fine")), "line 2: status: not one of *"
