"""Find the last of equal values by reversing the axis, because CANN returns the first.

Why       The plugins of ArgMax and ArgMin refuse select_last_index 1 (EZ9999).
Rewrites  ArgMax<select_last_index = 1>(x) -> (n - 1) - ArgMax(x reversed along the axis);
          ArgMin likewise, over -x (-1 - x for int32 and int64, float32 for narrower
          integers), because CANN's ArgMin returns int32.
Leaves    select_last_index 0; inputs of unknown rank or type.
Exact     exact for numbers; ONNX does not say which index comes out when NaN is among the values.
Source    ops-math math/arg_max_v2/framework/argmax_onnx_plugin.cpp, August 2026; ONNX operator
          schemas ArgMax-12, ArgMin-12.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_FLOATS = ("float16", "bfloat16", "float32", "double")
_NARROW = ("int8", "uint8", "int16", "uint16")  # float32 holds all of their values


class ArgSelectLastIndex(Rule):
    """ArgMax, ArgMin with select_last_index -> ArgMax of the reversed axis."""

    roots = ("ArgMax", "ArgMin")
    exactness = Exactness.ROUNDING  # indices are compared as they are; NaN is left out
    fixes = ("ArgMax/select-last-index", "ArgMin/select-last-index")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on select_last_index 1 where rank and element type are known."""
        last = node.attributes.get("select_last_index")
        if last is None or last.i == 0:
            return No("select_last_index is 0")
        x = node.input(0)
        if x is None or x.shape is None or x.dtype is None:
            return No("the rank or the element type is not known")
        if not x.shape:
            return No("a scalar has no axes")
        axis = node.attributes["axis"].i if "axis" in node.attributes else 0
        axis += len(x.shape) if axis < 0 else 0
        if not 0 <= axis < len(x.shape):
            return No("axis is out of range")
        b = Builder(node, graph)
        source = x.name
        if node.op_type == "ArgMin":
            if x.dtype in _FLOATS:
                source = b.op("Neg", source)
            elif x.dtype in _NARROW:
                source = b.op("Neg", b.cast(source, "float32"))
            elif x.dtype in ("int32", "int64"):
                source = b.op("Sub", b.scalar(-1, x), source)
            else:
                return No(f"{x.dtype} has no negation")
        size = x.shape[axis]
        source = b.slice(source, [-1], [-(2**31)], [axis], [-1])
        keepdims = node.attributes["keepdims"].i if "keepdims" in node.attributes else 1
        index = b.op("ArgMax", source, axis=axis, keepdims=keepdims)
        if isinstance(size, int):
            top = b.constant(np.array(size - 1, np.int64))
        else:
            length = b.op("Gather", b.op("Shape", x.name), b.constant(np.array(axis, np.int64)))
            top = b.op("Sub", length, b.constant(np.array(1, np.int64)))
        return b.site(b.op("Sub", top, index))

    examples = (
        Example(
            "g (float[2,3] x) => (int64[2,1] y)"
            " { y = ArgMax<axis = -1, select_last_index = 1>(x) }",
            after="g (float[2,3] x) => (int64[2,1] y) <int64[1] s = {-1},"
            " int64[1] e = {-2147483648}, int64[1] a = {1}, int64[1] t = {-1}, int64 n = {2}>"
            " { r = Slice(x, s, e, a, t) i = ArgMax<axis = 1, keepdims = 1>(r) y = Sub(n, i) }",
        ),
        Example(
            "g (float[2,N] x) => (int64[2] y)"
            " { y = ArgMin<axis = 1, keepdims = 0, select_last_index = 1>(x) }",
            after=["Neg", "Slice", "ArgMax", "Shape", "Gather", "Sub", "Sub"],
            opset=13,
        ),
        Example(
            "g (int8[4,3] x) => (int64[1,3] y) { y = ArgMin<select_last_index = 1>(x) }",
            after=["Cast", "Neg", "Slice", "ArgMax", "Sub"],
        ),
        NearMiss(
            "g (float[2,3] x) => (int64[1,3] y) { y = ArgMax<select_last_index = 0>(x) }",
            reason="select_last_index is 0",
        ),
        NearMiss(
            "g (float[] x) => (int64[] y) { y = ArgMax<select_last_index = 1>(x) }",
            reason="the rank or the element type is not known",
        ),
    )
