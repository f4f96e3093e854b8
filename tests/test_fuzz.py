"""Mutated models: a check gives a report that follows the schema, or a GraphfixError."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

import graphfix
from graphfix import GraphfixError, Target
from graphfix.graph import Model
from graphfix.report import markdown, text
from graphfix.report.json import document
from tests.builders import BOOL, INT64, NESTED_IF, external, model_of, relu, text_model

SEEDS = st.integers(0, 2**32)


def arithmetic() -> onnx.ModelProto:
    proto = text_model("""
        g (float[n, 3, 4] x) => (float[a, b] y, int64[c] z) {
            dims = Shape(x)
            first = Gather <axis = 0> (dims, zero)
            target = Concat <axis = 0> (first, rest)
            r = Reshape(x, target)
            s = Slice(r, zero, rest)
            y = Softmax <axis = -1> (s)
            n0 = Cast <to = 7> (first)
            z = Range(n0, n0, n0)
        }""")
    for name, array in {"zero": np.int64([0]), "rest": np.int64([-1])}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def vision() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("MaxPool", ["c"], ["p"], name="pool", kernel_shape=[2, 2], ceil_mode=1),
        helper.make_node("Resize", ["p", "", "scales"], ["u"], name="up", mode="nearest"),
        helper.make_node("Clip", ["u", "", "six"], ["q"], name="clip"),
        helper.make_node("Dropout", ["q", "half"], ["d", "mask"], name="drop"),
        helper.make_node("ReduceMean", ["d"], ["y"], name="mean", axes=[2, 3], keepdims=0),
    ]
    constants = {
        "k": np.zeros((4, 3, 3, 3), np.float32), "scales": np.float32([1, 1, 2, 2]),
        "six": np.float32(6), "half": np.float32(0.5),
    }  # fmt: skip
    return model_of(nodes, {"x": ["n", 3, 16, 16]}, {"y": ["n", 4]}, constants)


def functions() -> onnx.ModelProto:
    return onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "my" : 1]>
        g (float[2] x) => (float[2] y) { a = my.Twice(x) y = my.Twice(a) }
        <domain: "my", opset_import: ["" : 17]>
        Twice (a) => (b) { w = Constant <value = float[2] {1, 2}> () b = Mul(a, w) }""")


def branches() -> onnx.ModelProto:
    return text_model(NESTED_IF)


def spellings() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["k"], name="k", value_ints=[2, -1]),
        helper.make_node("ConstantOfShape", ["k"], ["z"], name="z"),
        helper.make_node("Reshape", ["x", "k"], ["r"], name="r"),
        helper.make_node("TopK", ["r", "one"], ["v", "i"], name="topk"),
        helper.make_node("Where", ["c", "v", "v"], ["w"], name="where"),
        helper.make_node("NonZero", ["w"], ["nz"], name="nz"),
        helper.make_node("Einsum", ["w", "w"], ["y"], name="ein", equation="ij,kj->ik"),
    ]
    inputs = {"x": [4, 6], "c": (BOOL, [])}
    outputs = {"y": None, "i": (INT64, None)}
    return model_of(nodes, inputs, outputs, {"one": np.int64([1])}, imports={"my.domain": 1})


def outside() -> onnx.ModelProto:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return external(Path(folder), "../w.bin", offset="4")


MODELS: tuple[Callable[[], onnx.ModelProto], ...] = (
    relu, arithmetic, vision, functions, branches, spellings, outside,
)  # fmt: skip
TARGETS = (
    Target.of(),
    Target.of(["Ascend310P3"], "2026.08"),
    Target.of(["Ascend910B3", "Ascend310B1"], precision_mode="must_keep_origin_dtype"),
)


@cache
def schema() -> jsonschema.Draft202012Validator:
    path = Path(graphfix.__file__).parent / "schemas" / "check-1.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def assert_report_or_error(model: Path | onnx.ModelProto, dice: random.Random) -> None:
    target = dice.choice(TARGETS)
    shapes = {"x": (2, 3, 4)} if dice.random() < 0.2 else None
    try:
        report = graphfix.check(model, target, shapes=shapes, weights=dice.random() < 0.3)
    except GraphfixError as error:
        assert str(error)
        return
    entry = json.loads(json.dumps(document([report], target)))
    schema().validate(entry)
    assert entry["models"][0]["verdict"] != "unreadable"
    for verbose in (False, True):
        assert text.render(report, verbose=verbose).encode()
        assert markdown.render(report, verbose=verbose).encode()


# ---------------------------------------------------------------------- bytes


def damaged(data: bytes, dice: random.Random) -> bytes:
    for _ in range(dice.randint(1, 4)):
        place, kind = dice.randrange(len(data) or 1), dice.randrange(5)
        length = dice.randint(1, 12)
        if kind == 0 and data:
            data = data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]
        elif kind == 1:
            data = data[:place] + data[place + length :]
        elif kind == 2:
            data = data[:place] + dice.randbytes(length) + data[place:]
        elif kind == 3:
            data = data[:place] + data[place : place + length] + data[place:]
        else:
            data = data[:place]
    return data


@pytest.fixture(scope="module", autouse=True)
def _memory_limit() -> Iterator[None]:
    """A model that asks for absurd amounts of memory fails this test, not the machine."""
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, old)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "model.onnx"


@settings(
    max_examples=1500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(seed=SEEDS)
def test_damaged_bytes(path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path.write_bytes(damaged(dice.choice(MODELS)().SerializeToString(), dice))
    assert_report_or_error(path, dice)


# ---------------------------------------------------------------------- fields


def graphs_of(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += graphs_of(attribute.g)
    return found


def mutate(proto: onnx.ModelProto, dice: random.Random) -> None:
    """One change of a field, such as a broken exporter could make."""
    graph = dice.choice(graphs_of(proto.graph))
    kind = dice.choice(KINDS)
    with contextlib.suppress(IndexError, ValueError):  # nothing of that kind here
        kind(proto, graph, dice)


def _name(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    node = dice.choice(graph.node)
    words = ("", "x", "twin", "größe", "a/b:c", "x" * 300, "\n", "%s{}", "y")
    field = dice.choice(["name", "op_type", "domain"])
    setattr(node, field, dice.choice((*words, "If", "Loop", "Constant", "my.domain", "ai.onnx")))


def _wire(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    node = dice.choice(graph.node)
    side = dice.choice([node.input, node.output])
    every = [n for other in graph.node for n in (*other.input, *other.output)]
    change = dice.randrange(4)
    if change == 0:
        side.append(dice.choice(["ghost", "", *every]))
    elif change == 1:
        side[dice.randrange(len(side))] = dice.choice(["ghost", "", *every])
    elif change == 2:
        del side[dice.randrange(len(side)) :]
    else:
        del side[:]


def _attribute_type(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    attribute = dice.choice([a for n in graph.node for a in n.attribute])
    change = dice.randrange(4)
    if change == 0:
        attribute.type = dice.choice(list(onnx.AttributeProto.AttributeType.values()))
    elif change == 1:
        attribute.ClearField(dice.choice(["i", "ints", "f", "s", "g", "t", "type", "name"]))
    elif change == 2:
        attribute.i = dice.choice([-(2**63), 2**63 - 1, -1, 0, 7])
        attribute.ints.extend([dice.choice([-(2**63), 2**63 - 1, -1, 0, 3])] * dice.randint(0, 5))
    else:
        attribute.name = dice.choice(["axis", "mode", "body", "then_branch", "", "value"])


def _attribute_count(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    node = dice.choice(graph.node)
    if dice.random() < 0.5:
        del node.attribute[dice.randrange(len(node.attribute))]
    else:
        donor = dice.choice([a for n in graph.node for a in n.attribute])
        node.attribute.add().CopyFrom(donor)


def _opset(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    change = dice.randrange(4)
    if change == 0:
        proto.opset_import[0].version = dice.choice([0, -1, 1, 7, 8, 11, 13, 18, 21, 99, 2**62])
    elif change == 1:
        proto.opset_import.add(domain=dice.choice(["", "ai.onnx", "odd"]), version=13)
    elif change == 2:
        del proto.opset_import[:]
    else:
        proto.ir_version = dice.choice([0, 3, 99, 2**62])


def _dims(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    info = dice.choice([*graph.input, *graph.output, *graph.value_info])
    change = dice.randrange(6)
    if change == 0:
        info.type.tensor_type.ClearField("shape")
    elif change == 1:
        info.type.tensor_type.elem_type = dice.choice([0, 7, 8, 16, 22, 77])
    elif change == 2:
        info.type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif change == 3:
        info.name = dice.choice(["", "x", "ghost", "y"])
    elif change == 4:
        info.ClearField("type")
    else:
        dim = dice.choice(info.type.tensor_type.shape.dim)
        dim.dim_value = dice.choice([-5, 0, 1, 2**12, 2**62])


def _tensor(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    inner = [a.t for n in graph.node for a in n.attribute if a.HasField("t")]
    tensor = dice.choice([*graph.initializer, *inner])
    change = dice.randrange(6)
    if change == 0:
        tensor.data_type = dice.choice([0, 1, 7, 8, 9, 10, 16, 17, 22, 77])
    elif change == 1:
        tensor.raw_data = tensor.raw_data[: dice.randrange(len(tensor.raw_data) + 1)]
    elif change == 2:
        tensor.dims.append(dice.choice([-1, 0, 2, 2**31, 2**62]))
    elif change == 3:
        tensor.name = dice.choice(["", "x", "ghost"])
    elif change == 4:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        key = dice.choice(["location", "offset", "length", "odd"])
        value = dice.choice(["", "../w", "w", "/dev/null", "4", "-4", "9" * 30, "four", "a\0b"])
        tensor.external_data.add(key=key, value=value)
    else:
        tensor.ClearField("raw_data")
        tensor.int32_data.append(3)


def _lists(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    items = dice.choice([graph.node, graph.input, graph.output, graph.initializer])
    change, place = dice.randrange(4), dice.randrange(len(items) or 1)
    if change == 0:
        del items[place]
    elif change == 1:
        items.add().CopyFrom(items[place])
    elif change == 2:
        items.append(items.pop(place))
    else:
        del items[:]


def _subgraph(proto: onnx.ModelProto, graph: onnx.GraphProto, dice: random.Random) -> None:
    node = dice.choice(graph.node)
    node.op_type = dice.choice(["If", "Loop", "Scan", "Odd"])
    attribute = node.attribute.add(name=dice.choice(["then_branch", "else_branch", "body", "z"]))
    attribute.type = onnx.AttributeProto.GRAPH
    if dice.random() < 0.8:
        attribute.g.CopyFrom(relu().graph)


KINDS = (
    _name, _wire, _wire, _attribute_type, _attribute_count, _opset, _dims, _tensor, _lists,
    _subgraph,
)  # fmt: skip


@settings(
    max_examples=2000, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(seed=SEEDS)
def test_damaged_fields(seed: int) -> None:
    dice = random.Random(seed)
    proto = dice.choice(MODELS)()
    for _ in range(dice.randint(1, 3)):
        mutate(proto, dice)
    assert_report_or_error(proto, dice)


@settings(
    max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(seed=SEEDS)
def test_damaged_models_are_written_without_loss(seed: int) -> None:
    dice = random.Random(seed)
    proto = dice.choice(MODELS)()
    for _ in range(dice.randint(1, 3)):
        mutate(proto, dice)
    written = Model(proto).to_proto()

    def content(graph: onnx.GraphProto) -> Any:
        return sorted((n.op_type, n.name, *n.input, *n.output) for n in graph.node)

    assert content(written.graph) == content(proto.graph)
    with contextlib.suppress(DecodeError):
        assert onnx.ModelProto.FromString(written.SerializeToString()) == written


# ---------------------------------------------------------------------- found by the tests above


def _long_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].op_type = "x" * 300


def _huge_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 2**62


def _half_a_float(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].CopyFrom(helper.make_node("Add", ["x", "w"], ["y"]))
    proto.graph.initializer.add(name="w", data_type=1, dims=[1], raw_data=b"\0\0")


def _no_utf8(proto: onnx.ModelProto) -> None:
    data = proto.SerializeToString().replace(b"Relu", b"R\xffl\xfe")
    proto.ParseFromString(data)


@pytest.mark.parametrize("change", [_long_operator, _huge_opset, _half_a_float, _no_utf8])
def test_known_damage(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    proto = relu()
    change(proto)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    for seed in range(6):
        assert_report_or_error(tmp_path / "model.onnx", random.Random(seed))


def test_graph_attribute_without_graph_is_written_as_it_is() -> None:
    proto = branches()
    node = proto.graph.node[-1]
    node.attribute.add(name="z", type=onnx.AttributeProto.GRAPH)
    assert Model(proto).to_proto().graph.node[-1] == node
    inner = node.attribute[0].g
    node.attribute[0].type = onnx.AttributeProto.INT
    assert Model(proto).to_proto().graph.node[-1].attribute[0].g == inner
