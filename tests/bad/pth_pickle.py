"""Zips that are whole, around pickles that are hostile, or that lie about their tensors."""

from torchfile import (
    FALSE,
    FLOATS,
    NONE,
    RUN_A_COMMAND,
    STATE,
    TRUE,
    call,
    counts,
    dictionary,
    name,
    num,
    pickled,
    pth,
    state,
    storage,
    tensor,
    text,
    tup,
)

IMPOSSIBLE = "weight: tensor with an impossible size, stride or offset"
BEYOND = "weight: tensor reaches beyond its storage of *"


def v3(dtype, size=(2, 3)):
    return call(
        "torch._utils",
        "_rebuild_tensor_v3",
        storage("0", 24, "UntypedStorage", "torch.storage"),
        num(0),
        counts(size),
        counts((3, 1)),
        FALSE,
        call("collections", "OrderedDict"),
        dtype,
    )


def hostile():
    """Pickles made to run something.  bad.bats also sees that they left nothing behind."""
    yield "runs", pickled(RUN_A_COMMAND), "holds no tensors"
    yield "runs-in-dict", pickled(dictionary(("weight", RUN_A_COMMAND))), "holds no tensors"
    yield "runs-as-storage", state(tensor(RUN_A_COMMAND)), "malformed storage reference"
    yield "runs-as-size", state(
        tensor(storage()).replace(counts((2, 3)), RUN_A_COMMAND)
    ), IMPOSSIBLE
    protocol_4 = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0btouch pwned\x85R."
    yield "runs-protocol-4", protocol_4, "holds no tensors"
    yield "evaluates", pickled(
        call("builtins", "eval", text("open('pwned', 'w')"))
    ), "holds no tensors"
    yield "imports", pickled(name("pwned", "x")), "holds no tensors"
    yield "builds", pickled(
        name("os", "environ") + b")\x81" + dictionary(("x", num(1))) + b"b"
    ), "holds no tensors"


def unreadable():
    yield "empty", b"", "pickle: byte 0: cut: *"
    yield "protocol-0", b"(dp0\n.", "pickle: byte 0: no pickle of protocol 2 or later"
    yield "opcode", pickled(b"I1\n"), "pickle: byte 2: opcode 0x49 is not supported"
    yield "trailing", STATE + b"N", "pickle: 1 bytes follow its end"
    for cut in range(1, len(STATE), 5):
        yield f"cut-{cut}", STATE[:cut], "pickle: byte *"
    yield "string-length", pickled(b"X\xff\xff\xff\xff"), "pickle: byte 2: cut: *"
    yield "memo", pickled(b"h\x05"), "pickle: byte 2: memo number 5 was never set"
    yield "memo-huge", pickled(b"Nr\xff\xff\xff\xff"), "pickle: byte 3: memo number 4294967295 *"
    yield "odd-dict", pickled(b"}(K\1u"), "pickle: byte 6: a key without a value"
    yield "stack-bomb", pickled(b"N" * 200000), "pickle: *: stack deeper than 100000"
    yield "value-bomb", pickled(b"(" + b"N0" * 4200000), "pickle: *: more than 4194304 values"


def cyclic():
    itself = b"}q\0" + text("a") + b"h\0s"
    yield "cycle", pickled(itself), "a: contains itself"
    yield "cycle-unwrapping", pickled(
        b"}q\0" + text("state_dict") + b"h\0s"
    ), "state_dict: contains itself"
    dag = b"]q\0" + b"".join(b"0](h%ch%ceq%c" % (i, i, i + 1) for i in range(40))
    yield "dag", pickled(dag), "*: the same values are used in too many places"
    yield "deep", pickled(b"]" + b"\x85" * 1000000), "*: nested too deeply"
    yield "deep-dict", pickled(
        b"}" + (text("a") + b"}") * 40000 + b"s" * 40000
    ), "*: nested too deeply"


def foreign():
    """A tensor that cannot be read is not passed over, though others beside it could be."""
    for case, function, why in (
        ("quantised", "_rebuild_qtensor", "fc.weight: is quantised; *"),
        ("sparse", "_rebuild_sparse_tensor", "fc.weight: is sparse; *"),
        ("nested", "_rebuild_nested_tensor", "fc.weight: is a nested tensor; *"),
        ("meta", "_rebuild_meta_tensor_no_storage", "fc.weight: has no elements: *"),
        ("other", "_rebuild_of_tomorrow", "fc.weight: is a kind of tensor that is not read; *"),
    ):
        made = call("torch._utils", function, storage(kind="QInt8Storage"))
        kept = call("torch._utils", "_rebuild_parameter", made, FALSE)
        typed = call(
            "torch._tensor",
            "_rebuild_from_type_v2",
            name("torch._utils", function),
            name("m", "Tensor"),
            tup(storage(kind="QInt8Storage")),
            NONE,
        )
        for spelling, value in (("", made), ("-parameter", kept), ("-typed", typed)):
            pairs = ("fc.bias", tensor()), ("fc.weight", value)
            yield "foreign-" + case + spelling, pickled(dictionary(*pairs)), why


def lazy():
    """A tensor of torch is what is stored, or that negated or conjugated."""
    untyped = storage("0", 24, "UntypedStorage", "torch.storage")
    for key in ("neg", "conj"):
        said = dictionary((key, TRUE))
        second = tensor(None, 0, (2, 3), (3, 1), said)
        dtype = name("torch", "float32")
        third = tensor(untyped, 0, (2, 3), (3, 1), dtype, said, function="_rebuild_tensor_v3")
        kept = call("torch._utils", "_rebuild_parameter", second, FALSE)
        for spelling, value in (("", second), ("-parameter", kept), ("-v3", third)):
            yield f"lazy-{key}{spelling}", state(value), "weight: is stored without its *"


def lying():
    for case, size, stride in (
        ("overflow", (2**62, 4), (4, 1)),
        ("overflow-product", (2**32, 2**32), (2**32, 1)),
        ("overflow-stride", (2, 3), (2**62, 2**62)),
        ("overflow-sum", (3, 3), (2**62 - 1, 2**62 - 1)),
        ("too-large", (2, 4), (4, 1)),
        ("stride", (2, 3), (4, 1)),
    ):
        yield "size-" + case, state(tensor(size=size, stride=stride)), "weight: *"
    yield "size-negative", state(tensor(size=(-2, 3))), IMPOSSIBLE
    yield "stride-negative", state(tensor(stride=(-3, 1))), IMPOSSIBLE
    yield "offset-negative", state(tensor(offset=-1)), IMPOSSIBLE
    yield "offset", state(tensor(offset=1)), BEYOND
    yield "offset-huge", state(tensor(offset=2**63 - 1)), BEYOND
    yield "dims-differ", state(tensor(size=(6,))), IMPOSSIBLE
    yield "dims-nine", state(tensor(size=(1,) * 9, stride=(1,) * 9)), IMPOSSIBLE
    yield "size-text", state(tensor().replace(counts((2, 3)), text("2, 3"))), IMPOSSIBLE
    yield "repeated", state(tensor(size=(2**20, 2**20), stride=(0, 0))), "expands to *"
    yield "numel-short", state(tensor(storage(numel=5))), BEYOND + "5 elements"
    yield "numel-long", state(tensor(storage(numel=7))), "storage 0 has 24 bytes, too few for 7 *"
    yield "numel-huge", state(tensor(storage(numel=2**62))), "storage 0 has 24 bytes, too few for *"
    yield "numel-negative", state(tensor(storage(numel=-1))), "malformed storage reference"
    yield "dtype-wider", state(tensor(storage(kind="DoubleStorage"))), "storage 0 has 24 bytes, *"
    yield "dtype-unknown", state(tensor(storage(kind="QInt8Storage"))), "storage of *QInt8Storage *"
    yield "dtype-complex128", state(tensor(storage(kind="ComplexDoubleStorage"))), "storage of *"
    yield "dtype-foreign", state(tensor(storage(module="os"))), "storage of the name os.*"
    yield "v3-dtype", state(v3(name("torch", "qint8"))), "weight: tensor of an unknown dtype"
    yield "v3-no-dtype", state(v3(NONE)), "weight: tensor of an unknown dtype"
    yield "v3-short", state(v3(name("torch", "float64"))), BEYOND
    yield "key-missing", state(tensor(storage(key="1"))), "storage 1 is missing"
    yield "key-path", state(
        tensor(storage(key="../../etc/passwd"))
    ), "storage ../../etc/passwd is missing"
    yield "key-number", state(
        tensor(
            tup(text("storage"), name("torch", "FloatStorage"), num(0), text("cpu"), num(6)) + b"Q"
        )
    ), "malformed storage reference"
    yield "reference-short", state(
        tensor(tup(text("storage")) + b"Q")
    ), "malformed storage reference"
    yield "reference-module", state(tensor(tup(text("module"), NONE) + b"Q")), "malformed storage *"
    yield "reference-number", state(tensor(num(7))), "malformed storage reference"
    yield "no-arguments", state(call("torch._utils", "_rebuild_tensor_v2")), "malformed storage *"
    yield "parameter-itself", state(
        call("torch._utils", "_rebuild_parameter", NONE)
    ), "holds no tensors"


def misnamed():
    yield "name-newline", pickled(
        dictionary(("a\nb", tensor()))
    ), "a tensor's name is not printable text"
    yield "name-zero", pickled(
        dictionary(("a\0b", tensor()))
    ), "a tensor's name is not printable text"
    yield "name-utf8", pickled(dictionary((b"\xff\xfe", tensor()))), "a tensor's name is not *"
    yield "name-surrogate", pickled(
        dictionary((b"\xed\xa0\x80", tensor()))
    ), "a tensor's name is not *"
    yield "name-empty", pickled(dictionary(("", tensor()))), "a tensor's name is not *"
    yield "name-tuple", pickled(b"}" + tup(num(1)) + tensor() + b"s"), "a tensor's name is not *"
    yield "name-long", pickled(
        dictionary(("a" * 1023, dictionary(("b", tensor()))))
    ), "a name is longer than 1023 bytes"
    yield "name-twice", pickled(
        dictionary(("a.b", tensor()), ("a", dictionary(("b", tensor()))))
    ), "tensor 'a.b': given twice"
    yield "no-tensors", pickled(dictionary(("epoch", num(3)))), "holds no tensors"
    yield "none", pickled(NONE), "holds no tensors"


def cases():
    for section in (hostile, unreadable, cyclic, foreign, lazy, lying, misnamed):
        for case, pickle, why in section():
            yield case + ".pth", pth(pickle), why
    yield "storage-short.pth", pth(
        storages=(FLOATS[:-1],)
    ), "storage 0 has 23 bytes, too few for 6 *"
    yield "storage-empty.pth", pth(storages=(b"",)), "storage 0 has 0 bytes, too few for 6 *"
    many = dictionary(*[(f"t{i}", tensor(size=(2**13, 2**13), stride=(0, 0))) for i in range(64)])
    yield "repeated-often.pth", pth(pickled(many)), "expands to *"
