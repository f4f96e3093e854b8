"""The models whose conversions the excerpts tell of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from graphfix.graph import Model
from graphfix.rewrite.fix import FixReport, fix
from tests.builders import model_of, text_model

LONG = (
    "/backbone/stage4"
    + "".join(f"/blocks.{i}/attention/self_attn_block" for i in range(9))
    + "/out/MatMul"
)
CHINESE = "/主干网络/卷积层_3/Conv"


def detector(opset: int = 20) -> onnx.ModelProto:
    """A small detector as PyTorch names it: Conv, Gelu, Resize, NonMaxSuppression and the like."""
    proto = text_model(
        """
        g (float[batch,3,64,64] images) => (float[N,M,K,L] output0) {
            c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (images, w)
            b = Sigmoid(c)
            m = Mul(c, b)
            g = Gelu(m)
            s = Slice(g, start, end)
            r = Resize <mode = "nearest"> (s, roi, scales)
            p = MaxPool <kernel_shape = [2, 2]> (r)
            i = IsInf(p)
            k = Cast <to = 1> (i)
            output0 = Add(p, k)
        }
        """,
        opset,
    )
    names = {"c": "/model.0/conv/Conv", "b": "/model.0/act/Sigmoid", "m": "/model.0/act/Mul",
             "g": "/model.9/Gelu_3", "s": "/model.9/Slice_1", "r": "/model.10/Resize",
             "p": "/model.11/MaxPool", "i": "/model.12/IsInf", "k": "/model.12/Cast",
             "output0": "/model.12/Add"}  # fmt: skip
    for node in proto.graph.node:
        node.name = names[node.output[0]]
    tensors = {"w": np.zeros((3, 3, 3, 3), np.float32), "start": np.array([0], np.int64),
               "end": np.array([1], np.int64), "roi": np.zeros(0, np.float32),
               "scales": np.array([1, 1, 2, 2], np.float32)}  # fmt: skip
    for name, array in tensors.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def nameless() -> onnx.ModelProto:
    """Nodes without names: the parser calls them Relu_0, Gelu_1, Relu_2."""
    return text_model("g (float[2] x) => (float[2] y) { a = Relu(x) b = Gelu(a) y = Relu(b) }", 20)


def transformer() -> onnx.ModelProto:
    """Two inputs, a name above 100 characters, and names in Chinese."""
    nodes = [
        helper.make_node("MatMul", ["hidden", "q"], ["a"], name=LONG),
        helper.make_node("Conv", ["image", "w"], ["b"], name=CHINESE),
        helper.make_node("Relu", ["b"], ["c"], name="/主干网络/激活/Relu"),
        helper.make_node("LayerNormalization", ["a", "s"], ["n"], name="/encoder/LayerNorm"),
        helper.make_node("Softmax", ["n"], ["y"], name="/encoder/Softmax_O1l"),
    ]
    return model_of(
        nodes,
        {"hidden": ["batch", 8, 16], "image": [1, 3, 8, 8]},
        {"y": ["batch", 8, 16], "c": [1, 3, 8, 8]},
        {"q": np.zeros((16, 16), np.float32), "w": np.zeros((3, 3, 1, 1), np.float32),
         "s": np.ones(16, np.float32)},
    )  # fmt: skip


def twins() -> onnx.ModelProto:
    """Two nodes of one name."""
    proto = text_model("g (float[2] x) => (float[2] y) { a = Relu(x) y = Neg(a) }")
    for node in proto.graph.node:
        node.name = "/block/act"
    return proto


def domains() -> onnx.ModelProto:
    """Nodes of two domains, so two opset imports."""
    nodes = [
        helper.make_node("FusedMatMul", ["x", "x"], ["a"], name="/attn/FusedMatMul_7",
                         domain="com.microsoft"),
        helper.make_node("Relu", ["a"], ["y"], name="/attn/Relu"),
    ]  # fmt: skip
    return model_of(nodes, {"x": [4, 4]}, {"y": [4, 4]}, imports={"com.microsoft": 1})


def branches() -> onnx.ModelProto:
    """An If whose branches hold named nodes."""

    def branch(name: str, op: str) -> onnx.GraphProto:
        node = helper.make_node(op, ["x"], [f"{name}_y"], name=f"{name}_{op}")
        value = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [2])
        return helper.make_graph([node], name, [], [value])

    yes, no = branch("yes", "Gelu"), branch("no", "Abs")
    node = helper.make_node("If", ["c"], ["y"], "/choose/If", then_branch=yes, else_branch=no)
    return model_of([node], {"c": (TensorProto.BOOL, []), "x": [2]}, {"y": [2]}, opset=20)


def fixed() -> FixReport:
    """What fix makes of the detector: opset 17, Gelu spelled out."""
    return fix(Model(detector()), shapes={"images": (1, 3, 64, 64)})


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "detector": detector,
    "detector17": lambda: detector(17),
    "nameless": nameless,
    "transformer": transformer,
    "twins": twins,
    "domains": domains,
    "branches": branches,
    "fixed": lambda: fixed().model.to_proto(),
}
