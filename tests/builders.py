"""Builders of tiny models, shared by the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from onnx import TensorProto, helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def text_model(body: str, opset: int = 17, imports: str = "") -> onnx.ModelProto:
    """A model from ONNX's text form: `g (float[2] x) => (float[2] y) { y = Relu(x) }`."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}{imports}]>\n'
    return onnx.parser.parse_model(head + body)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    initializers: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    imports: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model of these nodes; inputs and outputs are name -> dims or (dtype, dims)."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [_info(name, kind) for name, kind in inputs.items()],
        [_info(name, kind) for name, kind in outputs.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, version) for domain, version in (imports or {}).items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _info(name: str, kind: Any) -> onnx.ValueInfoProto:
    dtype, dims = kind if isinstance(kind, tuple) else (FLOAT, kind)
    return helper.make_tensor_value_info(name, dtype, dims)


def relu(opset: int = 17, dims: Sequence[Any] = (2, 3)) -> onnx.ModelProto:
    """The smallest model that ATC takes: one named Relu."""
    node = helper.make_node("Relu", ["x"], ["y"], name="relu_0")
    return model_of([node], {"x": list(dims)}, {"y": list(dims)}, opset=opset)


def write(proto: onnx.ModelProto, path: Path) -> Path:
    """Write a model as it is, valid or not."""
    path.write_bytes(proto.SerializeToString())
    return path


def external(
    folder: Path, location: str, count: int = 4, offset: str | None = None
) -> onnx.ModelProto:
    """x + w, where the `count` floats of w lie at `location`, which is not written."""
    proto = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"], name="add_0")], {"x": [count]}, {"y": [count]}
    )
    tensor = proto.graph.initializer.add(name="w", data_type=FLOAT, dims=[count])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    if offset is not None:
        tensor.external_data.add(key="offset", value=offset)
    write(proto, folder / "model.onnx")
    return proto


NESTED_IF = """
g (bool c, float[2] x) => (float[2] y) {
    a = Relu(x)
    b = Sigmoid(x)
    y = If (c) <
        then_branch = outer_then () => (float[2] t) { t = Neg(a) },
        else_branch = outer_else () => (float[2] e) {
            e = If (c) <
                then_branch = inner_then () => (b) {},
                else_branch = inner_else () => (float[2] q) { q = Abs(x) }
            >
        }
    >
}
"""
