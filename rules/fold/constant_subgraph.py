"""Compute what follows from constants and static shapes alone.

Why       Parsers want constants where exporters leave arithmetic (the dims of a Reshape, the sizes
          of a Resize); the arithmetic itself runs on the host or the AI CPU.
Rewrites  A node whose inputs are small constants, or a Shape or Size of a static shape, becomes a
          constant of at most 1024 elements.
Leaves    Outputs of the graph; floating sums, products and ranges, whose rounding depends on the
          order; sums and products of large integers, which runtimes compute in float32; Casts of
          floats that the integer type does not hold, or of doubles to float16 that float32 in
          between would round otherwise; operators that are not deterministic.
Exact     exact.
Source    ONNX operator schemas; graphfix's constant propagation.
"""

import numpy as np

from graphfix.graph import Graph, Node, Value, dtypes
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_FROM_SHAPE = ("Shape", "Size")
# the order of the operations decides the rounding
_ROUNDS = ("ReduceSum", "ReduceProd", "Range")
# runtimes sum and multiply integers in float32, which holds them up to here
_WHOLE = 2**24


class FoldConstants(Rule):
    """Constant arithmetic -> its result."""

    roots = (
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand",
        "Floor", "Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max",
        "Min", "Mod", "Mul", "Neg", "Not", "Or", "Range", "ReduceMax", "ReduceMin", "ReduceProd",
        "ReduceSum", "Reshape", "Shape", "Size", "Slice", "Sqrt", "Squeeze", "Sub", "Tile",
        "Transpose", "Unsqueeze", "Where",
    )  # fmt: skip

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a node whose result is known."""
        result = node.output(0)
        if result is None or len(node.outputs) != 1:
            return No("it has no result")
        if result.is_output or any(index < 0 for _, index in result.uses):
            return No("its output is an output of the graph")
        inputs = [node.input(i) for i, name in enumerate(node.inputs) if name]
        if node.op_type not in _FROM_SHAPE and not all(map(_is_small_constant, inputs)):
            return No("an input is no small constant")
        known = result.known
        if known is None or known.dtype.kind not in "biuf":
            return No("its result is not known")
        dtype = dtypes.NUMBERS.get(result.dtype or "", 0)
        if dtypes.numpy_dtype(dtype) != known.dtype:
            return No("the element type of its result is not known")
        is_float = known.dtype.kind == "f"
        if is_float and node.op_type in _ROUNDS:
            return No("its rounding depends on the order of the operations")
        if node.op_type in ("ReduceSum", "ReduceProd") and not _is_small(node.op_type, inputs[0]):
            return No("the integers are too large for every runtime to agree")
        if node.op_type == "Cast" and not _holds(inputs[0], known.dtype):
            return No("the integer type does not hold the values")
        if node.op_type == "Cast" and not _rounds_once(inputs[0], known):
            return No("runtimes round the values by way of float32, and differ")
        b = Builder(node, graph)
        return b.site(b.constant(known))

    examples = (
        Example(
            """
            g (float[2,3,4] x) => (float[2,12] y) <int64[1] rest = {-1}, int64[1] zero = {0}> {
                s = Shape(x)  n = Gather(s, zero)  dims = Concat<axis = 0>(n, rest)
                y = Reshape(x, dims)
            }
            """,
            after="""
            g (float[2,3,4] x) => (float[2,12] y) <int64[2] dims = {2, -1}> { y = Reshape(x, dims) }
            """,
        ),
        Example(
            """
            g (float[N,3] x) => (float[N,3] y) <float[3] a = {1.0, 2.0, 4.0}, float b = {3.0}> {
                c = Div(a, b)  y = Mul(x, c)
            }
            """,
            after=["Mul"],
            opset=13,
        ),
        Example(
            """
            g (float[N,3] x) => (float[N,3] y) <float[3] a = {1.5, -2.5, 4.0}> {
                i = Cast<to = 6>(a)  c = Cast<to = 1>(i)  y = Mul(x, c)
            }
            """,
            after="""
            g (float[N,3] x) => (float[N,3] y) <float[3] c = {1.0, -2.0, 4.0}> { y = Mul(x, c) }
            """,
        ),
        Example(
            """
            g (float[2,3,4] x) => (float[24] y) <int64[1] zero = {0}> {
                s = Shape(x)  n = ReduceProd<keepdims = 0>(s)  dims = Unsqueeze(n, zero)
                y = Reshape(x, dims)
            }
            """,
            after="g (float[2,3,4] x) => (float[24] y) <int64[1] d = {24}> { y = Reshape(x, d) }",
        ),
        NearMiss(
            """
            g (float[N,3] x) => (int64[1] y) <int64[1] one = {1}> {
                s = Shape(x)  y = Gather(s, one)
            }
            """,
            reason="its result is not known",
        ),
        NearMiss(
            "g (float[2,3] x) => (int64[2] y) { y = Shape(x) }",
            reason="its output is an output of the graph",
        ),
        NearMiss(
            """
            g (float[2] x) => (float[2] y) <float[2] a = {0.1, 0.7}> {
                s = ReduceSum<keepdims = 0>(a)  y = Mul(x, s)
            }
            """,
            reason="its rounding depends on the order of the operations",
        ),
        NearMiss(
            """
            g (int64[2] x) => (int64[2] y) <int64[2] a = {16777215, 2}> {
                s = ReduceSum<keepdims = 0>(a)  y = Mul(x, s)
            }
            """,
            reason="the integers are too large for every runtime to agree",
        ),
        NearMiss(
            """
            g (int32[2] x) => (int32[2] y) <float[2] a = {1e20, 1.0}> {
                i = Cast<to = 6>(a)  y = Add(x, i)
            }
            """,
            reason="the integer type does not hold the values",
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) { h = Abs(x)  y = Relu(h) }",
            reason="an input is no small constant",
        ),
    )


def _is_small_constant(value: Value | None) -> bool:
    # what is only known is folded itself first; a site's proof takes constants as they are
    return value is not None and value.constant is not None and value.known is not None


def _is_small(op_type: str, value: Value | None) -> bool:
    sizes = np.abs(value.known.astype(np.float64)) if value and value.known is not None else None
    if sizes is None:
        return False
    total = sizes.sum() if op_type == "ReduceSum" else np.maximum(sizes, 1.0).prod()
    return bool(total < _WHOLE)


def _rounds_once(value: Value | None, result: np.ndarray) -> bool:
    """Whether a Cast of double to float16 gives the same by way of float32."""
    data = value.known if value is not None else None
    if data is None or data.dtype != np.float64 or result.dtype != np.float16:
        return True
    with np.errstate(over="ignore"):
        twice = data.astype(np.float32).astype(np.float16)
    return np.array_equal(twice, result, equal_nan=True)


def _holds(value: Value | None, dtype: np.dtype) -> bool:
    data = value.known if value is not None else None
    if data is None or data.dtype.kind != "f" or dtype.kind not in "iu":
        return True
    limits = np.iinfo(dtype)
    whole = np.trunc(data.astype(np.float64))
    top = float(limits.max) + 1.0 if limits.bits < 64 else 2.0 ** (64 - (dtype.kind == "i"))
    return bool((np.isfinite(data) & (whole >= float(limits.min)) & (whole < top)).all())
