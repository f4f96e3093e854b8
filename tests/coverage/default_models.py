"""A model for each row of defaults.csv in which the attribute is left out, and what answers it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from audit_models import OMITTED, build
from onnx import helper

from tests.builders import FLOAT, INT64, model_of

# row -> (model at an opset, the constraint that must be found)
DEFAULTS: dict[str, tuple[Callable[[int], onnx.ModelProto], str]] = {}


def row(row_id: str, constraint: str) -> Callable[..., Callable[[int], onnx.ModelProto]]:
    def register(make: Callable[[int], onnx.ModelProto]) -> Callable[[int], onnx.ModelProto]:
        DEFAULTS[row_id] = make, constraint
        return make

    return register


def _audit(operator: str, base: str, attribute: str) -> Callable[[int], onnx.ModelProto]:
    return lambda opset: build(operator, opset, base, attribute, OMITTED)


row("d01", "Hardmax/axis-omitted")(_audit("Hardmax", "rank3", "axis"))
row("d02", "LogSoftmax/axis-omitted")(_audit("LogSoftmax", "rank3", "axis"))
row("d06", "EyeLike/dtype-default")(_audit("EyeLike", "int32_in", "dtype"))
row("d08", "SoftmaxCrossEntropyLoss/ignore-index")(
    _audit("SoftmaxCrossEntropyLoss", "", "ignore_index")
)
row("d15", "Resize/nearest-mode-half-pixel")(_audit("Resize", "nearest_sizes", "nearest_mode"))


def _one(operator: str, opset: int, *dims: int, **attributes: object) -> onnx.ModelProto:
    node = helper.make_node(operator, ["x"], ["y"], name="node", **attributes)
    return model_of([node], {"x": list(dims)}, {"y": None}, opset=opset)


@row("d03", "Softmax/old-flattening")
def _(opset: int) -> onnx.ModelProto:
    return _one("Softmax", opset, 2, 3, 4)


def _grid_sample(opset: int) -> onnx.ModelProto:
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], name="node")
    return model_of([node], {"x": [1, 2, 4, 4], "grid": [1, 3, 3, 2]}, {"y": None}, opset=opset)


row("d04", "GridSample/mode-omitted")(_grid_sample)
row("d05", "GridSample/padding-mode-omitted")(_grid_sample)


@row("d07", "Bernoulli/no-dtype")
def _(opset: int) -> onnx.ModelProto:
    return _one("Bernoulli", opset, 2, 3)


@row("d09", "ReduceLogSum/no-axes")
def _(opset: int) -> onnx.ModelProto:
    return _one("ReduceLogSum", opset, 2, 3)


def _scaled(operator: str, mode: str, scale: float) -> Callable[[int], onnx.ModelProto]:
    def make(opset: int) -> onnx.ModelProto:
        node = helper.make_node(operator, ["x", "s"], ["y"], name="node", mode=mode)
        scales = {"s": np.array([1, 1, scale, scale], np.float32)}
        return model_of([node], {"x": [1, 1, 4, 4]}, {"y": None}, scales, opset=opset)

    return make


row("d12", "Upsample/opset-9-linear")(_scaled("Upsample", "linear", 2))
row("d13", "Upsample/opset-9-nearest")(_scaled("Upsample", "nearest", 1.5))
row("d14", "Resize/opset-10-linear")(_scaled("Resize", "linear", 2))


def _batch_norm(opset: int) -> onnx.ModelProto:
    extra = {"training_mode": 1} if opset >= 14 else {}
    names = ["x", "scale", "bias", "mean", "var"]
    node = helper.make_node(
        "BatchNormalization", names, ["y", "m", "v"], name="node", **extra
    )  # fmt: skip
    constants = {name: np.ones(3, np.float32) for name in names[1:]}
    outputs = {"y": None, "m": None, "v": None}
    return model_of([node], {"x": [2, 3, 4, 4]}, outputs, constants, opset=opset)


row("d16", "BatchNormalization/")(_batch_norm)  # momentum, or up to opset 13 training-outputs


@row("d18", "Conv/format-3d")
def _(opset: int) -> onnx.ModelProto:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="node", kernel_shape=[2, 2, 2])
    weight = {"w": np.ones((2, 1, 2, 2, 2), np.float32)}
    return model_of([node], {"x": [1, 1, 4, 4, 4]}, {"y": None}, weight, opset=opset)


@row("d20", "ConvTranspose/leaked-auto-pad")
def _(opset: int) -> onnx.ModelProto:
    common = {"kernel_shape": [3, 3], "strides": [2, 2]}
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], name="one",
                         output_shape=[8, 8], **common),
        helper.make_node("ConvTranspose", ["a", "w"], ["y"], name="two", **common),
    ]  # fmt: skip
    weight = {"w": np.ones((1, 1, 3, 3), np.float32)}
    return model_of(nodes, {"x": [1, 1, 4, 4]}, {"y": None}, weight, opset=opset)


@row("d21", "DeformableConv2D/groups-default")
def _(opset: int) -> onnx.ModelProto:
    node = helper.make_node(
        "DeformableConv2D", ["x", "w", "offsets"], ["y"], name="node",
        strides=[1, 1], pads=[0, 0], dilations=[1, 1],
    )  # fmt: skip
    inputs = {"x": [1, 2, 6, 6], "w": [2, 2, 3, 3], "offsets": [1, 27, 4, 4]}
    return model_of([node], inputs, {"y": None}, opset=opset)


@row("d22", "ArgMin/int32-output")
def _(opset: int) -> onnx.ModelProto:
    node = helper.make_node("ArgMin", ["x"], ["y"], name="node")
    return model_of([node], {"x": (FLOAT, [2, 3])}, {"y": (INT64, None)}, opset=opset)
