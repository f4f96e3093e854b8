"""Derive what CANN does not compute of Unique: the first indices, and an axis that stands alone.

Why       The plugin drops axis, and its second output (first indices) is a tensor that nobody
          computes.
Rewrites  the first indices: ArgMax over inverse == k for every unique element k;
          an axis beside which all dims are 1: Unique of the flattened input, Reshape behind it.
Leaves    An axis with other dims beside it (whole slices would be compared); inputs that are
          empty, longer than 2048 elements or of unknown shape.
Exact     exact.
Source    ops-nn index/unique_with_counts_and_sorting/framework/unique_onnx_plugin.cpp, August
          2026; ONNX operator schema Unique-11.
"""

import math

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# the comparison takes the square of this
_MAX_ELEMENTS = 2048

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Unique", "ReduceMax", "Add", "Range", "Unsqueeze", "Unsqueeze", "Equal", "Cast", "ArgMax",
]  # fmt: skip


class UniqueFirstIndices(Rule):
    """Unique with axis or first indices -> Unique of the flattened input and what follows."""

    roots = ("Unique",)
    fixes = ("Unique/axis", "Unique/first-indices")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on used first indices, or an axis without company."""
        x = node.input(0)
        if x is None or x.shape is None or x.dtype is None:
            return No("the shape or the element type is not known")
        if not all(isinstance(d, int) for d in x.shape):
            return No("the shape is not static")
        shape = [d for d in x.shape if isinstance(d, int)]
        count = math.prod(shape)
        has_axis = "axis" in node.attributes
        axis = node.attributes["axis"].i if has_axis else 0
        axis += len(shape) if axis < 0 else 0
        if has_axis and not 0 <= axis < len(shape):
            return No("axis is out of range")
        if has_axis and math.prod(shape[:axis] + shape[axis + 1 :]) != 1:
            return No("whole slices are compared")
        wanted = [v is not None and bool(v.uses or v.is_output) for v in map(node.output, range(4))]
        if not wanted[1] and not (has_axis and len(shape) > 1):
            return No("neither axis nor first indices are asked for")
        if not 1 <= count <= _MAX_ELEMENTS:
            return No("the input is empty or too long")
        b = Builder(node, graph)
        ordered = node.attributes["sorted"].i if "sorted" in node.attributes else 1
        y, _, inverse, counts = b.multi("Unique", 4, x.name, sorted=ordered)
        results = {2: inverse, 3: counts}
        results[0] = y
        if has_axis and len(shape) > 1:
            results[0] = b.reshape(y, [-1 if i == axis else 1 for i in range(len(shape))])
        if wanted[1]:
            zero, one = (b.constant(np.array(i, np.int64)) for i in (0, 1))
            # not from the shape of y: a file may state another one than the data make
            last = b.reduce("ReduceMax", inverse, None, keepdims=False)
            length = b.op("Add", last, one)
            numbers = b.unsqueeze(b.op("Range", zero, length, one), [1])
            match = b.cast(b.op("Equal", b.unsqueeze(inverse, [0]), numbers), "float32")
            results[1] = b.op("ArgMax", match, axis=1, keepdims=0)
        return b.site({node.outputs[i]: results[i] for i in range(4) if wanted[i]})

    examples = (
        Example(
            "g (float[6] x) => (float[N] y, int64[N] f) { y, f = Unique(x) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (float[1,6] x) => (float[1,N] y, int64[6] v) { y, , v = Unique<axis = -1>(x) }",
            after=["Unique", "Reshape"],
            opset=11,
        ),
        NearMiss(
            "g (float[6] x) => (float[N] y, int64[6] v, int64[N] c)"
            " { y, , v, c = Unique<axis = 0>(x) }",
            reason="neither axis nor first indices are asked for",
        ),
        NearMiss(
            "g (float[2,3] x) => (float[N,3] y) { y = Unique<axis = 0>(x) }",
            reason="whole slices are compared",
        ),
        NearMiss(
            "g (float[M] x) => (float[N] y, int64[N] f) { y, f = Unique(x) }",
            reason="the shape is not static",
        ),
    )
