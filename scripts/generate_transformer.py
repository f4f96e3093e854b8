#!/usr/bin/env python3
"""Write a transformer-like ONNX graph of a given number of nodes, for benchmarks.

    generate_transformer.py NODES OUT [--external-bytes N] [--opset 17]

Exporters write attention, LayerNormalization and GELU out into small operators; so does this. From
opset 20 on LayerNormalization and Gelu are operators, as the newer exporters write them.
With --external-bytes the weights lie in OUT.weights, a sparse file of at least that size; the
hidden size grows until they fill it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HIDDEN, HEADS, SEQUENCE = 16, 4, 32
LAYER_NODES, FUSED_LAYER_NODES = 43, 23


class Builder:
    def __init__(
        self, external: str | None = None, hidden: int = HIDDEN, is_fused: bool = False
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.external = external
        self.hidden = hidden
        self.is_fused = is_fused
        self.offset = 0

    def op(self, op_type: str, *inputs: str, **attributes: object) -> str:
        number = len(self.nodes)
        name = f"/{op_type}_{number}"
        self.nodes.append(
            helper.make_node(op_type, list(inputs), [f"{name}_out"], name, **attributes)
        )
        return f"{name}_out"

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def weight(self) -> str:
        dims = (self.hidden, self.hidden)
        if self.external is None:
            return self.constant(np.zeros(dims, np.float32))
        name = f"w{len(self.initializers)}"
        tensor = TensorProto(
            name=name,
            data_type=TensorProto.FLOAT,
            dims=dims,
            data_location=TensorProto.EXTERNAL,
        )
        size = 4 * math.prod(dims)
        for key, value in (("location", self.external), ("offset", self.offset), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        self.offset += size
        self.initializers.append(tensor)
        return name

    def layer(self, x: str) -> str:
        x = self.op("Add", x, self.attention(self.norm(x)))
        return self.op("Add", x, self.feed_forward(self.norm(x)))

    def norm(self, x: str) -> str:
        if self.is_fused:
            ones = np.ones(self.hidden, np.float32)
            return self.op("LayerNormalization", x, self.constant(ones), self.constant(0 * ones))
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        square = self.op("Pow", centred, self.constant(np.float32(2)))
        spread = self.op(
            "Add", self.op("ReduceMean", square, axes=[-1]), self.constant(np.float32(1e-5))
        )
        normal = self.op("Div", centred, self.op("Sqrt", spread))
        scaled = self.op("Mul", normal, self.constant(np.ones(self.hidden, np.float32)))
        return self.op("Add", scaled, self.constant(np.zeros(self.hidden, np.float32)))

    def attention(self, x: str) -> str:
        size = self.hidden // HEADS
        split = self.constant(np.array([0, 0, HEADS, size]))

        def project(perm: list[int]) -> str:
            y = self.op("MatMul", x, self.weight())
            return self.op("Transpose", self.op("Reshape", y, split), perm=perm)

        q, k, v = project([0, 2, 1, 3]), project([0, 2, 3, 1]), project([0, 2, 1, 3])
        scores = self.op("Div", self.op("MatMul", q, k), self.constant(np.float32(size**0.5)))
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), v)
        joined = self.op(
            "Reshape",
            self.op("Transpose", mixed, perm=[0, 2, 1, 3]),
            self.constant(np.array([0, 0, self.hidden])),
        )
        return self.op("MatMul", joined, self.weight())

    def feed_forward(self, x: str) -> str:
        up = self.op("MatMul", x, self.weight())
        if self.is_fused:
            return self.op("MatMul", self.op("Gelu", up), self.weight())
        erf = self.op("Erf", self.op("Div", up, self.constant(np.float32(2**0.5))))
        gate = self.op("Mul", up, self.op("Add", erf, self.constant(np.float32(1))))
        gelu = self.op("Mul", gate, self.constant(np.float32(0.5)))
        return self.op("MatMul", gelu, self.weight())


def generate(
    nodes: int, opset: int = 17, external: str | None = None, external_bytes: int = 0
) -> tuple[onnx.ModelProto, int]:
    """Return (a model of about `nodes` nodes, bytes of external weights)."""
    is_fused = opset >= 20
    # six square weights in each started layer, of a size that heads divide
    tensors = 6 * math.ceil(nodes / (FUSED_LAYER_NODES if is_fused else LAYER_NODES))
    side = math.isqrt(external_bytes // (4 * tensors)) + 1
    hidden = max(HIDDEN, -(-side // HEADS) * HEADS) if external else HIDDEN
    builder = Builder(external, hidden, is_fused)
    x = "input"
    while len(builder.nodes) < nodes:
        x = builder.layer(x)
    shape = [1, SEQUENCE, hidden]
    graph = helper.make_graph(
        builder.nodes,
        "transformer",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        builder.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model, builder.offset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nodes", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--external-bytes", type=int, default=0)
    parser.add_argument("--opset", type=int, default=17)
    options = parser.parse_args()
    weights = options.out.with_suffix(".weights") if options.external_bytes else None
    model, size = generate(
        options.nodes, options.opset, weights.name if weights else None, options.external_bytes
    )
    options.out.write_bytes(model.SerializeToString())
    if weights is not None:
        with weights.open("wb") as file:
            file.truncate(size)
    print(f"{options.out}: {len(model.graph.node)} nodes, {size:,} bytes of external weights")


if __name__ == "__main__":
    main()
