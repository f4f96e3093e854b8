"""The models of the differential audit: one node of an operator, at an opset, in a context.

A context is the `base` column of audit.csv: which shape, window or mode makes the attribute matter.
"""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OMITTED = "<omitted>"
Shape = tuple[int, ...] | None


class Builder:
    """Collects the inputs, constants and outputs around one node."""

    def __init__(self, op: str, opset: int) -> None:
        self.op, self.opset = op, opset
        self.attributes: dict[str, Any] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.names: list[str] = []
        self.outputs: list[tuple[str, int]] = []

    def input(self, dtype: int, *shape: int) -> None:
        """Add a graph input as the node's next input."""
        name = f"x{len(self.names)}"
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        self.names.append(name)

    def constant(self, values: Any, dtype: str) -> None:
        """Add an initializer as the node's next input."""
        name = f"c{len(self.names)}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        self.names.append(name)

    def skip(self) -> None:
        """Leave the node's next input empty."""
        self.names.append("")

    def model(self) -> onnx.ModelProto:
        """Return the model."""
        outputs = self.outputs or [("y", TensorProto.FLOAT)]
        node = helper.make_node(
            self.op, self.names, [name for name, _ in outputs], "node", **self.attributes
        )
        given = self.inputs or [helper.make_tensor_value_info("unused", TensorProto.FLOAT, [1])]
        graph = helper.make_graph(
            [node],
            "audit",
            given,
            [helper.make_tensor_value_info(name, dtype, None) for name, dtype in outputs if name],
            self.constants,
        )
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def parse_value(text: str) -> Any:
    """Return a cell of audit.csv as an attribute value: a number, a list, or a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def build(op: str, opset: int, base: str, attribute: str | None, value: str) -> onnx.ModelProto:
    """Return the model of context `base` with `attribute` set to `value` (or left out)."""
    builder = Builder(op, opset)
    _CONTEXTS[op](builder, base)
    if attribute is not None:
        builder.attributes.pop(attribute, None)
        if value != OMITTED:
            builder.attributes[attribute] = _attribute(op, attribute, value)
    return builder.model()


def _attribute(op: str, name: str, text: str) -> Any:
    if op == "Constant" and name == "sparse_value":
        values = np.array(ast.literal_eval(text.removeprefix("sparse:")), np.float32)
        return helper.make_sparse_tensor(
            numpy_helper.from_array(values, "values"),
            numpy_helper.from_array(np.array([0, 2], np.int64), "indices"),
            [4],
        )
    if op == "ConstantOfShape":
        kind, _, values = text.removeprefix("typed_fields ").partition("[")
        dtype = {"bool": 9, "float16": 10, "uint8": 2, "int8": 3}[kind]
        return helper.make_tensor("value", dtype, [1], ast.literal_eval("[" + values))
    return parse_value(text)


# ---------------------------------------------------------------------- pooling

# rank of the window, its size, stride and the spatial size of the input
_WINDOWS: dict[str, tuple[int, int, int, int]] = {
    "1d": (1, 2, 1, 8),
    "2d": (2, 2, 1, 8),
    "2d_big": (2, 16, 1, 20),
    "2d_big5": (2, 16, 2, 37),
    "2d_stride2": (2, 3, 2, 8),
    "3d": (3, 2, 1, 8),
    "3d_stride2": (3, 3, 2, 8),
    "1d_ceil": (1, 2, 2, 7),
    "2d_ceil": (2, 2, 2, 7),
    "3d_ceil": (3, 2, 2, 7),
    "1d_dil": (1, 2, 1, 8),
    "2d_dil": (2, 2, 1, 8),
    "2d_dilated": (2, 2, 1, 8),
    "3d_dil": (3, 2, 1, 8),
}


def _pool(b: Builder, base: str) -> None:
    rank, window, stride, size = _WINDOWS[base]
    b.input(TensorProto.FLOAT, 1, 3, *[size] * rank)
    b.attributes = {"kernel_shape": [window] * rank, "strides": [stride] * rank}
    if base == "2d_dilated":
        b.attributes["dilations"] = [2, 2]


# ---------------------------------------------------------------------- Resize


def _resize(b: Builder, base: str) -> None:
    mode, _, rest = base.partition("_")
    if mode == "axes":
        b.input(TensorProto.FLOAT, 1, 3, 6, 8)
        b.attributes = {"mode": "linear", "axes": [2, 3]}
        b.skip()
        if rest == "scales":
            b.constant([2.0, 3.0], "float32")
        else:
            b.skip()
            b.constant([12, 24], "int64")
        return
    b.attributes = {"mode": mode}
    for name in ("asymmetric", "align_corners"):
        if rest.endswith("_" + name):
            b.attributes["coordinate_transformation_mode"] = name
            rest = rest.removesuffix("_" + name)
    b.input(TensorProto.FLOAT, 1, 1, 4, 8)
    if rest == "crop":
        b.attributes["coordinate_transformation_mode"] = "tf_crop_and_resize"
        b.constant([0, 0, -0.2, 0.1, 1, 1, 1.2, 0.9], "float32")
    else:
        b.skip()
    if rest in ("scales", "scales_down"):
        b.constant([1, 1, 2, 2] if rest == "scales" else [1, 1, 0.75, 0.75], "float32")
    elif rest == "crop":
        b.constant([1, 1, 1.5, 1.5], "float32")
    else:
        b.skip()
        b.constant([1, 1, 8, 3] if rest == "sizes" else [1, 1, 1, 1], "int64")


# ---------------------------------------------------------------------- recurrent


def _recurrent(b: Builder, base: str) -> None:
    gates = 4 if b.op == "LSTM" else 3
    both = 2 if base == "bidirectional" else 1
    b.input(TensorProto.FLOAT, 3, 3, 4)  # steps = batch, so that either layout fits
    b.constant(np.full((both, gates * 5, 4), 0.1), "float32")
    b.constant(np.full((both, gates * 5, 5), 0.1), "float32")
    if base == "bias":
        b.constant(np.full((both, gates * 10), 0.1), "float32")
    b.attributes["hidden_size"] = 5
    if base == "bidirectional":
        b.attributes["direction"] = "bidirectional"
    if base == "hardsigmoid":
        tail = ["Tanh", "Tanh"] if b.op == "LSTM" else ["Tanh"]
        b.attributes["activations"] = ["HardSigmoid", *tail]


# ---------------------------------------------------------------------- the rest

_RANKS = {"rank2": (3, 4), "rank3": (2, 3, 4), "rank4": (2, 3, 4, 5)}


def _softmax(b: Builder, base: str) -> None:
    shape, _, axis = base.partition("_axis")
    b.input(TensorProto.FLOAT, *_RANKS[shape])
    if axis:
        b.attributes["axis"] = int(axis)


def _batch_norm(b: Builder, base: str) -> None:
    assert base == "train"
    b.input(TensorProto.FLOAT, 2, 3, 4, 4)
    for value in (1, 0, 0, 1):
        b.constant([value] * 3, "float32")
    b.attributes["training_mode"] = 1
    b.outputs = [(name, TensorProto.FLOAT) for name in ("y", "running_mean", "running_var")]


def _constant(b: Builder, base: str) -> None:
    kinds = {"value_int": TensorProto.INT64, "value_ints": TensorProto.INT64}
    b.outputs = [("y", kinds.get(base, TensorProto.FLOAT))]


def _constant_of_shape(b: Builder, base: str) -> None:
    b.input(TensorProto.INT64, 2)


def _eye_like(b: Builder, base: str) -> None:
    assert base == "int32_in"
    b.input(TensorProto.INT32, 3, 4)


def _gemm(b: Builder, base: str) -> None:
    assert base == "no_c"
    b.input(TensorProto.FLOAT, 2, 3)
    b.input(TensorProto.FLOAT, 3, 4)


def _mod(b: Builder, base: str) -> None:
    dtype = TensorProto.FLOAT if base == "float" else TensorProto.INT32
    b.input(dtype, 4)
    b.input(dtype, 4)
    b.outputs = [("y", dtype)]


def _multinomial(b: Builder, base: str) -> None:
    b.input(TensorProto.FLOAT, 2, 5)
    b.outputs = [("y", TensorProto.INT32)]


def _roi_align(b: Builder, base: str) -> None:
    b.input(TensorProto.FLOAT, 1, 3, 8, 8)
    b.input(TensorProto.FLOAT, 2, 4)
    b.constant([0, 0], "int64")
    if base == "2x2":
        b.attributes |= {"output_height": 2, "output_width": 2}


def _scatter_nd(b: Builder, base: str) -> None:
    b.input(TensorProto.FLOAT, 5, 4)
    b.constant([[0], [0], [2]], "int64")
    b.input(TensorProto.FLOAT, 3, 4)


def _shape(b: Builder, base: str) -> None:
    b.input(TensorProto.FLOAT, 2, 3, 4, 5)
    if base == "start1":
        b.attributes["start"] = 1
    b.outputs = [("y", TensorProto.INT64)]


def _cross_entropy(b: Builder, base: str) -> None:
    b.input(TensorProto.FLOAT, 4, 5)
    b.input(TensorProto.INT64, 4)


def _unique(b: Builder, base: str) -> None:
    b.input(TensorProto.FLOAT, 3, 4)
    if base == "all_outputs":
        names = ("indices", "inverse", "counts")
        b.outputs = [("y", TensorProto.FLOAT), *((n, TensorProto.INT64) for n in names)]


_CONTEXTS = {
    "AveragePool": _pool, "MaxPool": _pool, "LpPool": _pool, "Resize": _resize,
    "LSTM": _recurrent, "GRU": _recurrent, "Hardmax": _softmax, "LogSoftmax": _softmax,
    "BatchNormalization": _batch_norm, "Constant": _constant,
    "ConstantOfShape": _constant_of_shape, "EyeLike": _eye_like, "Gemm": _gemm, "Mod": _mod,
    "Multinomial": _multinomial, "RoiAlign": _roi_align, "ScatterND": _scatter_nd,
    "Shape": _shape, "SoftmaxCrossEntropyLoss": _cross_entropy, "Unique": _unique,
}  # fmt: skip
