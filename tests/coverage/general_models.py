"""A minimal model for each row of general.csv, by (row id, case).

Rows that only say "not registered at this opset" need none: the case names the opset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.builders import BOOL, FLOAT, INT64, NESTED_IF, model_of, text_model

Model = onnx.ModelProto
MODELS: dict[tuple[str, str], Callable[[], Model]] = {}


def row(*ids: str, case: str = "") -> Callable[[Callable[[], Model]], Callable[[], Model]]:
    """Register a builder for these rows."""

    def register(build: Callable[[], Model]) -> Callable[[], Model]:
        for row_id in ids:
            assert (row_id, case) not in MODELS
            MODELS[row_id, case] = build
        return build

    return register


def single(op_type: str, opset: int) -> Model:
    """One node of an operator with one input and one output."""
    node = helper.make_node(op_type, ["x"], ["y"], name="node")
    return model_of([node], {"x": [2, 3]}, {"y": [2, 3]}, opset=opset)


def one(op_type: str, inputs: list[str], opset: int = 17, **attributes: Any) -> Model:
    """One node whose inputs named x, a, b ... are graph inputs, with an output y."""
    node = helper.make_node(op_type, inputs, ["y"], name="node", **attributes)
    given = {name: [2, 3] for name in inputs if name and name != "nowhere"}
    return model_of([node], given, {"y": [2, 3]}, opset=opset)


def with_constant(tensor: TensorProto) -> Model:
    """Identity of an initializer, beside an input that is only there."""
    tensor.name = "w"
    model = text_model("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    model.graph.node.append(helper.make_node("Identity", ["w"], ["z"], name="identity"))
    model.graph.output.append(helper.make_tensor_value_info("z", tensor.data_type, None))
    model.graph.initializer.append(tensor)
    return model


def external_tensor(dtype: int = FLOAT, dims: tuple[int, ...] = (2,), **keys: str) -> TensorProto:
    tensor = TensorProto(data_type=dtype, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in keys.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


# ---------------------------------------------------------------------- registration and names


@row("c001")
def _() -> Model:
    return single("Add", 19)


@row("c002")
def _() -> Model:
    return single("Relu", 21)


@row("c003")
def _() -> Model:
    return single("Relu", 7)


@row("c004")
def _() -> Model:
    model = single("NPUMish", 17)
    model.graph.node[0].domain = "npu"
    return model


@row("c005", case="two nodes")
def _() -> Model:
    model = text_model("g (float[2] x) => (float[2] y) { a = Relu(x) y = Neg(a) }")
    for node in model.graph.node:
        node.name = "same"
    return model


@row("c005", case="node and graph input")
def _() -> Model:
    model = single("Relu", 17)
    model.graph.node[0].name = "x"
    return model


@row("c006")
def _() -> Model:
    model = text_model("g (float[2] x) => (float[2] y) { a = Neg(x) y = Relu(a) }")
    model.graph.node[1].name = "Neg_0"
    return model


@row("c007", case="wrong kind")
def _() -> Model:
    return one("LeakyRelu", ["x"], alpha=1)


@row("c007", case="no kind")
def _() -> Model:
    model = one("LeakyRelu", ["x"], alpha=0.5)
    model.graph.node[0].attribute[0].ClearField("type")
    return model


@row("c010")
def _() -> Model:
    model = single("Relu", 17)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


@row("c011")
def _() -> Model:
    model = single("Relu", 17)
    model.graph.node[0].domain = "ai.onnx"
    return model


@row("c012")
def _() -> Model:
    node = helper.make_node("RandomNormal", [], ["r"], name="random", shape=[2, 3])
    add = helper.make_node("Add", ["x", "r"], ["y"], name="add")
    return model_of([node, add], {"x": [2, 3]}, {"y": [2, 3]})


@row("c019")
def _() -> Model:
    model = single("Twice", 17)
    model.graph.node[0].domain = "local"
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, imports))
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


# ---------------------------------------------------------------------- edges


@row("c300")
@row("c009", case="Dropout ratio")
def _() -> Model:
    node = helper.make_node("Dropout", ["x", "ratio"], ["y"], name="node")
    ratio = {"ratio": np.array(0.5, np.float32)}
    return model_of([node], {"x": [2, 3]}, {"y": [2, 3]}, ratio)


@row("c008")
@row("c009", case="Pad axes")
def _() -> Model:
    node = helper.make_node("Pad", ["x", "pads", "value", "axes"], ["y"], name="node")
    constants = {
        "pads": np.array([1, 1]), "value": np.array(0, np.float32), "axes": np.array([1]),
    }  # fmt: skip
    return model_of([node], {"x": [2, 3]}, {"y": [2, 5]}, constants, opset=18)


def _reduce(op_type: str, opset: int) -> Callable[[], Model]:
    def build() -> Model:
        node = helper.make_node(op_type, ["x", "axes"], ["y"], name="node")
        constants = {"axes": np.array([1])}
        return model_of([node], {"x": [2, 3]}, {"y": [2, 1]}, constants, opset=opset)

    return build


row("c358")(_reduce("ReduceL1", 17))
row("c360")(_reduce("ReduceL2", 17))
row("c361")(_reduce("ReduceSumSquare", 18))


@row("c013", case="consumed")
def _() -> Model:
    return text_model(
        "g (float[2] x) => (float[2] y, bool[2] z) { y, mask = Dropout (x) z = Not(mask) }"
    )


@row("c013", case="graph output")
def _() -> Model:
    return text_model("g (float[2] x) => (float[2] y, bool[2] mask) { y, mask = Dropout (x) }")


@row("c209", case="opset 9")
def _() -> Model:
    return one("ScatterND", ["x", "a", "b"], opset=9)


def _lstm(inputs: list[str], outputs: list[str], name: str) -> onnx.NodeProto:
    return helper.make_node("LSTM", inputs, outputs, name=name, hidden_size=5)


def _recurrent(nodes: list[onnx.NodeProto]) -> Model:
    weights = {
        "w": np.ones((1, 20, 5), np.float32),
        "r": np.ones((1, 20, 5), np.float32),
        "h": np.ones((1, 2, 5), np.float32),
    }
    return model_of(nodes, {"x": [3, 2, 5]}, {"y": None}, weights, opset=13)


@row("c014", case="another node's output")
def _() -> Model:
    first = _lstm(["x", "w", "r"], ["", "y1"], "first")
    second = _lstm(["x", "w", "r", "", "", "h"], ["y2"], "second")
    add = helper.make_node("Add", ["y1", "y2"], ["y"], name="add")
    return _recurrent([first, second, add])


@row("c014", case="two outputs")
def _() -> Model:
    first = _lstm(["x", "w", "r"], ["", "y1"], "first")
    second = _lstm(["x", "w", "r"], ["", "y2"], "second")
    third = _lstm(["x", "w", "r", "", "", "h"], ["y3"], "third")
    total = helper.make_node("Sum", ["y1", "y2", "y3"], ["y"], name="sum")
    return _recurrent([first, second, third, total])


@row("c014", case="its own output")
def _() -> Model:
    return _recurrent([_lstm(["x", "w", "r", "", "", "h"], ["", "y"], "node")])


@row("c015")
def _() -> Model:
    return one("Add", ["x", "nowhere"])


@row("c016", case="empty")
def _() -> Model:
    return one("Concat", ["x", ""], axis=0)


@row("c016", case="unknown")
def _() -> Model:
    return one("Concat", ["x", "nowhere"], axis=0)


@row("c016", case="missing")
def _() -> Model:
    return one("Gather", ["x"])


@row("c131")
def _() -> Model:
    return one("Gemm", ["x", "a", ""])


@row("c096")
def _() -> Model:
    return one("MaxUnpool", ["x", "a", ""], kernel_shape=[2, 2])


@row("c152")
def _() -> Model:
    return one("LayerNormalization", ["x", "a", ""])


@row("c196")
def _() -> Model:
    return one("Upsample", ["x"], opset=8, scales=[1.0, 1.0, 2.0, 2.0], mode="nearest")


@row("c265")
def _() -> Model:
    return one("Split", ["x", ""], axis=0)


@row("c274")
def _() -> Model:
    return one("Trilu", ["x", ""])


@row("c409")
def _() -> Model:
    return one("NonMaxSuppression", ["x", "a", "", "b"])


@row("c017", case="two nodes")
def _() -> Model:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="one"),
        helper.make_node("Neg", ["x"], ["a"], name="two"),
        helper.make_node("Abs", ["a"], ["y"], name="three"),
    ]
    return model_of(nodes, {"x": [2]}, {"y": [2]})


@row("c017", case="node and graph input")
def _() -> Model:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="one"),
        helper.make_node("Abs", ["a"], ["y"], name="two"),
    ]
    return model_of(nodes, {"x": [2], "a": [2]}, {"y": [2]})


@row("c018")
def _() -> Model:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"], name="one"),
        helper.make_node("Neg", ["a"], ["b"], name="two"),
        helper.make_node("Abs", ["b"], ["y"], name="three"),
    ]
    return model_of(nodes, {"x": [2]}, {"y": [2]})


# ---------------------------------------------------------------------- interface


@row("c020")
def _() -> Model:
    model = one("Add", ["x", "w"])
    del model.graph.input[1]
    sparse = model.graph.sparse_initializer.add(dims=[2, 3])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([4]), "w_indices"))
    return model


@row("c021")
def _() -> Model:
    model = single("Relu", 17)
    del model.graph.output[:]
    return model


@row("c022")
def _() -> Model:
    node = helper.make_node("Relu", ["w"], ["y"], name="node")
    return model_of([node], {}, {"y": [2]}, {"w": np.ones(2, np.float32)})


@row("c023")
def _() -> Model:
    model = single("Relu", 17)
    model.graph.output.append(helper.make_tensor_value_info("nowhere", FLOAT, [2]))
    return model


@row("c024", case="sequence")
def _() -> Model:
    node = helper.make_node("SequenceLength", ["s"], ["y"], name="node")
    model = model_of([node], {"x": [2]}, {"y": (INT64, [])})
    model.graph.input.append(helper.make_tensor_sequence_value_info("s", FLOAT, None))
    return model


@row("c024", case="unmapped")
def _() -> Model:
    model = single("Identity", 17)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT8E5M2FNUZ
    return model


# ---------------------------------------------------------------------- constants


def _constant_node(**attributes: Any) -> Model:
    nodes = [
        helper.make_node("Constant", [], ["c"], name="constant", **attributes),
        helper.make_node("Identity", ["c"], ["y"], name="identity"),
    ]
    model = model_of(nodes, {"x": [2]}, {"y": None, "z": [2]})
    model.graph.node.append(helper.make_node("Relu", ["x"], ["z"], name="relu"))
    return model


@row("c026")
def _() -> Model:
    return _constant_node(value_floats=[1.0, 2.0])


@row("c027")
def _() -> Model:
    values = numpy_helper.from_array(np.ones(1, np.float32), "values")
    indices = numpy_helper.from_array(np.array([1]), "indices")
    return _constant_node(sparse_value=helper.make_sparse_tensor(values, indices, [3]))


@row("c028", case="uint4")
def _() -> Model:
    return with_constant(TensorProto(data_type=TensorProto.UINT4, dims=[2], raw_data=b"\x12"))


@row("c028", case="int4")
def _() -> Model:
    return with_constant(TensorProto(data_type=TensorProto.INT4, dims=[2], raw_data=b"\x12"))


@row("c029")
def _() -> Model:
    return with_constant(
        TensorProto(data_type=TensorProto.FLOAT8E4M3FN, dims=[2], raw_data=b"\x01\x02")
    )


@row("c030")
def _() -> Model:
    return with_constant(TensorProto(data_type=FLOAT, dims=[2]))


@row("c031")
def _() -> Model:
    return with_constant(
        external_tensor(TensorProto.INT8, (2**16, 2**15), location="w.bin", offset="0")
    )


@row("c032")
def _() -> Model:
    return with_constant(TensorProto(data_type=FLOAT, dims=[4], float_data=[1.0, 2.0]))


@row("c033")
def _() -> Model:
    return with_constant(TensorProto(data_type=FLOAT, dims=[-1], raw_data=bytes(8)))


@row("c034", case="checksum")
def _() -> Model:
    return with_constant(external_tensor(location="w.bin", checksum="sha1"))


@row("c034", case="no location")
def _() -> Model:
    return with_constant(external_tensor(length="8"))


@row("c036")
def _() -> Model:
    value = external_tensor(dims=(1,), location="w.bin")
    node = helper.make_node("ConstantOfShape", ["x"], ["y"], name="node", value=value)
    return model_of([node], {"x": (INT64, [2])}, {"y": None})


# ---------------------------------------------------------------------- control flow

_IF = """
g (bool c, float[2] x) => (float[2] y) {
    a = Abs(x)
    y = If (c) <
        then_branch = one () => (float[2] t) { t = Neg(x) },
        else_branch = two () => (float[2] e) { e = Relu(x) }
    >
}
"""


def _branches() -> tuple[Model, onnx.NodeProto, onnx.GraphProto]:
    model = text_model(_IF)
    node = next(n for n in model.graph.node if n.op_type == "If")
    return model, node, node.attribute[0].g


@row("c035")
def _() -> Model:
    model, _, branch = _branches()
    tensor = external_tensor(location="w.bin")
    tensor.name = "w"
    branch.initializer.append(tensor)
    branch.node[0].CopyFrom(helper.make_node("Add", ["x", "w"], ["t"], name="inner"))
    return model


@row("c038", case="three attributes")
def _() -> Model:
    model, node, _ = _branches()
    node.attribute.append(helper.make_attribute("note", 1))
    return model


@row("c038", case="one attribute")
def _() -> Model:
    model, node, _ = _branches()
    del node.attribute[1]
    return model


@row("c039")
def _() -> Model:
    model, _, branch = _branches()
    del branch.node[:]
    branch.output[0].name = "a"
    return model


@row("c040")
def _() -> Model:
    inner = "inner_then () => (float[2] p) { p = Exp(b) }"
    return text_model(NESTED_IF.replace("inner_then () => (b) {}", inner))


@row("c041")
def _() -> Model:
    model, _, branch = _branches()
    branch.node[0].CopyFrom(helper.make_node("Clip", ["x", "", "x"], ["t"], name="inner"))
    return model


def _body(inputs: int) -> onnx.GraphProto:
    names = ["i", "go", "v"][:inputs] if inputs == 3 else ["v"]
    types = {"i": INT64, "go": BOOL, "v": FLOAT}
    nodes = [helper.make_node("Relu", ["v"], ["w"], name="inner")]
    outputs = [helper.make_tensor_value_info("w", FLOAT, [2])]
    if inputs == 3:
        nodes.append(helper.make_node("Identity", ["go"], ["more"], name="go_on"))
        outputs.insert(0, helper.make_tensor_value_info("more", BOOL, []))
    given = [helper.make_tensor_value_info(n, types[n], [2] if n == "v" else []) for n in names]
    return helper.make_graph(nodes, "body", given, outputs)


@row("c043")
def _() -> Model:
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="node", body=_body(3))
    return model_of([node], {"x": [2], "n": (INT64, [])}, {"y": [2]})


@row("c044")
def _() -> Model:
    node = helper.make_node("Scan", ["x"], ["y"], name="node", body=_body(1), num_scan_inputs=1)
    return model_of([node], {"x": [3, 2]}, {"y": [3, 2]})


@row("c045")
def _() -> Model:
    nodes = [
        helper.make_node("SequenceConstruct", ["x"], ["s"], name="sequence"),
        helper.make_node("SequenceMap", ["s"], ["t"], name="node", body=_body(1)),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], name="concat", axis=0),
    ]
    return model_of(nodes, {"x": [2]}, {"y": [2]})
