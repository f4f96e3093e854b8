"""Small random models for bench_compare and its tests, each standing for a family of networks."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """Collects nodes with names such as exporters give."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, *dims: int, dtype: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        name = f"/{op_type}_{len(self.nodes)}"
        names = [f"{name}_output_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name, **attributes))
        return names[0]

    def const(self, array: object, dtype: type = np.float32) -> str:
        name = f"const_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.const(numbers, np.int64)

    def weight(self, *dims: int, scale: float | None = None) -> str:
        fan = int(np.prod(dims[1:])) if len(dims) > 2 else dims[0]
        return self.const(self.rng.normal(0, scale or fan**-0.5, dims))

    def model(self, *outputs: str, opset: int = 17) -> onnx.ModelProto:
        infos = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.weights)
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )
        return onnx.shape_inference.infer_shapes(proto)

    # ------------------------------------------------------------------ blocks

    def linear(self, x: str, inner: int, outer: int) -> str:
        product = self.op("MatMul", x, self.weight(inner, outer))
        return self.op("Add", product, self.weight(outer, scale=0.1))

    def layer_norm(self, x: str, size: int, form: str) -> str:
        gamma = self.const(self.rng.normal(1, 0.1, size))
        beta = self.weight(size, scale=0.1)
        if form == "operator":
            return self.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=1e-5)
        two = self.const(2.0)
        if form == "rms":
            mean = self.op("ReduceMean", self.op("Pow", x, two), axes=[-1], keepdims=1)
            root = self.op("Sqrt", self.op("Add", mean, self.const(1e-5)))
            return self.op("Mul", self.op("Div", x, root), gamma)
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1], keepdims=1))
        mean = self.op("ReduceMean", self.op("Pow", centred, two), axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.const(1e-5)))
        return self.op("Add", self.op("Mul", self.op("Div", centred, root), gamma), beta)

    def activation(self, x: str, form: str) -> str:
        if form == "gelu":
            erf = self.op("Erf", self.op("Div", x, self.const(2**0.5)))
            gate = self.op("Mul", x, self.op("Add", erf, self.const(1.0)))
            return self.op("Mul", gate, self.const(0.5))
        if form == "silu":
            return self.op("Mul", x, self.op("Sigmoid", x))
        return self.op(form, x)

    def attention(self, x: str, tokens: int, size: int, heads: int, mask: str | None) -> str:
        shape = self.ints(1, tokens, heads, size // heads)
        q, k, v = (
            self.op("Transpose", self.op("Reshape", self.linear(x, size, size), shape), perm=p)
            for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        )
        scores = self.op("Div", self.op("MatMul", q, k), self.const((size // heads) ** 0.5))
        if mask is not None:
            scores = self.op("Add", scores, mask)
        merged = self.op(
            "Transpose", self.op("MatMul", self.op("Softmax", scores, axis=-1), v),
            perm=[0, 2, 1, 3],
        )  # fmt: skip
        return self.linear(self.op("Reshape", merged, self.ints(1, tokens, size)), size, size)


def transformer(seed: int, norm: str, act: str, masked: bool, layers: int = 2) -> onnx.ModelProto:
    net, tokens, size = Net(seed), 8, 16
    ids = net.input("input_ids", 1, tokens, dtype=TensorProto.INT64)
    mask = None
    if masked:
        given = net.input("attention_mask", 1, tokens, dtype=TensorProto.INT64)
        given = net.op("Unsqueeze", net.op("Cast", given, to=TensorProto.FLOAT), net.ints(1, 2))
        hidden = net.op("Sub", net.const(1.0), given)
        mask = net.op("Mul", hidden, net.const(-3.4e38 if seed % 2 else -1e4))
    x = net.op("Gather", net.weight(50, size, scale=1.0), ids, axis=0)
    x = net.op("Add", x, net.weight(1, tokens, size, scale=0.3))
    for _ in range(layers):
        inner = net.attention(net.layer_norm(x, size, norm), tokens, size, 4, mask)
        x = net.op("Add", x, inner)
        hidden = net.activation(net.linear(net.layer_norm(x, size, norm), size, 32), act)
        x = net.op("Add", x, net.linear(hidden, 32, size))
    pooled = net.op("Gather", x, net.ints(0), axis=1)
    return net.model(net.layer_norm(x, size, norm), net.op("Tanh", net.linear(pooled, size, 4)))


def cnn(seed: int, act: str, residual: bool, pool: str, resize: bool = False) -> onnx.ModelProto:
    net = Net(seed)
    x = net.input("image", 1, 3, 16, 16)
    channels = 3
    for stage, width in enumerate((8, 8, 16)):
        y = net.op("Conv", x, net.weight(width, channels, 3, 3), net.weight(width, scale=0.1),
                   kernel_shape=[3, 3], pads=[1, 1, 1, 1])  # fmt: skip
        y = net.op(
            "BatchNormalization", y, net.const(net.rng.normal(1, 0.1, width)),
            net.weight(width, scale=0.1), net.weight(width, scale=0.1),
            net.const(net.rng.uniform(0.01, 2, width)), epsilon=1e-5,
        )  # fmt: skip
        y = net.activation(y, act)
        x = net.op("Add", x, y) if residual and channels == width else y
        channels = width
        if stage == 0:
            x = net.op(pool, x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    depth = net.op("Conv", x, net.weight(16, 1, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                   group=16)  # fmt: skip
    x = net.op("Concat", x, depth, axis=1)
    if resize:
        x = net.op("Resize", x, "", net.const([1, 1, 2, 2]), mode="linear",
                   coordinate_transformation_mode="half_pixel")  # fmt: skip
        x = net.op("Pad", x, net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    x = net.op("Flatten", net.op("GlobalAveragePool", x), axis=1)
    logits = net.op("Gemm", x, net.weight(10, 32), net.weight(10, scale=0.1), transB=1)
    return net.model(net.op("Softmax", logits, axis=1))


def recurrent(seed: int, cell: str) -> onnx.ModelProto:
    net, gates = Net(seed), {"LSTM": 4, "GRU": 3, "RNN": 1}[cell]
    x = net.input("features", 6, 2, 8)
    for _ in range(2):
        extra = {"linear_before_reset": 1} if cell == "GRU" else {}
        y = net.op(cell, x, net.weight(1, gates * 8, 8, scale=0.4),
                   net.weight(1, gates * 8, 8, scale=0.4), net.weight(1, gates * 16, scale=0.2),
                   hidden_size=8, **extra)  # fmt: skip
        x = net.op("Squeeze", y, net.ints(1))
    last = net.op("Slice", x, net.ints(5), net.ints(6), net.ints(0))
    return net.model(net.op("LogSoftmax", net.linear(last, 8, 5), axis=-1), x)


def mixed(seed: int, act: str) -> onnx.ModelProto:
    """Elementwise chains, selections and reductions."""
    net = Net(seed)
    x, y = net.input("x", 6, 6), net.input("y", 6, 6)
    total = net.op("Sub", net.op("Mul", x, net.weight(6, 6, scale=1.0)), y)
    h = net.op("Where", net.op("Less", x, y), total, net.activation(x, act))
    h = net.op("Concat", net.op("Slice", h, net.ints(0), net.ints(3), net.ints(0)),
               net.op("Slice", h, net.ints(2), net.ints(5), net.ints(0)), axis=0)  # fmt: skip
    h = net.op("MatMul", h, net.op("Transpose", net.op("Softmax", h, axis=1), perm=[1, 0]))
    h = net.op("Clip", h, net.const(-1.5), net.const(1.5))
    h = net.op("CumSum", h, net.const(1, np.int64))
    h = net.op("Gather", h, net.ints(4, 1, 0, 3), axis=0)
    square = net.op("Pow", h, net.const(2.0))
    norm = net.op("Sqrt", net.op("Add", net.op("ReduceMean", square, axes=[1], keepdims=1),
                                 net.const(1e-3)))  # fmt: skip
    h = net.op("Div", h, norm)
    return net.model(net.op("ReduceSum", h, net.ints(1), keepdims=0), net.op("Exp", h))


def models() -> dict[str, onnx.ModelProto]:
    """Twenty models of five families, by name."""
    made: dict[str, onnx.ModelProto] = {}
    variants = [
        ("written out", "gelu", True),
        ("operator", "Relu", False),
        ("rms", "silu", True),
        ("written out", "Tanh", False),
        ("operator", "gelu", True),
        ("rms", "gelu", False),
    ]
    for i, (norm, act, masked) in enumerate(variants):
        made[f"transformer {i}: {norm}, {act}"] = transformer(i, norm, act, masked)
    convs = [("Relu", True, "MaxPool", False), ("silu", False, "AveragePool", True),
             ("LeakyRelu", True, "AveragePool", False), ("HardSigmoid", False, "MaxPool", True),
             ("Elu", True, "MaxPool", True), ("gelu", True, "AveragePool", True)]  # fmt: skip
    for i, (act, residual, pool, resize) in enumerate(convs):
        made[f"cnn {i}: {act}, {pool}"] = cnn(20 + i, act, residual, pool, resize)
    for i, cell in enumerate(("LSTM", "GRU", "RNN")):
        made[f"recurrent {i}: {cell}"] = recurrent(40 + i, cell)
    for i, act in enumerate(("Softplus", "Sigmoid", "Elu", "gelu", "Softsign")):
        made[f"mixed {i}: {act}"] = mixed(60 + i, act)
    return made
