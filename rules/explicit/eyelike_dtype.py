"""Store the matrix of EyeLike, or write its type out, because CANN takes float32 for granted.

Why       Without dtype CANN makes a float32 matrix, ONNX one of the input's type; types of 8 bytes
          lose their zeros, and with k the diagonal gets a wrong length.
Rewrites  static shape: a constant matrix; else EyeLike with dtype, and a Cast behind a float32 one
          for int64, uint64 and double.
Leaves    Unknown element types; a matrix of unknown shape whose dtype is written and narrow.
Exact     exact.
Source    ops-math common/src/framework/eyelike_onnx_plugin.cpp, August 2026; ONNX operator schema
          EyeLike-9.
"""

import numpy as np

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_MAX_ELEMENTS = 1 << 16  # larger matrices are left to be computed
_WIDE = ("int64", "uint64", "double")


class EyeLikeDtype(Rule):
    """EyeLike -> constant, or EyeLike with dtype."""

    roots = ("EyeLike",)
    fixes = ("EyeLike/dtype-default", "EyeLike/diagonal", "EyeLike/wide-types")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a static shape, on an omitted dtype other than float32 and on wide types."""
        x, y = node.input(0), node.output(0)
        if x is None or y is None:
            return No("an input or output is missing")
        written = node.attributes.get("dtype")
        dtype = dtypes.NAMES.get(written.i) if written is not None else x.dtype
        if dtype is None:
            return No("the element type is not known")
        k = node.attributes["k"].i if "k" in node.attributes else 0
        b = Builder(node, graph)
        if x.shape is not None and len(x.shape) == 2:
            rows, columns = x.shape
            if (
                isinstance(rows, int)
                and isinstance(columns, int)
                and rows * columns <= _MAX_ELEMENTS
                and (dtype == "bfloat16" or dtypes.numpy_dtype(dtypes.NUMBERS[dtype]) is not None)
            ):
                matrix = b.constant(np.eye(rows, columns, k), dtype)
                is_output = y.is_output or any(index < 0 for _, index in y.uses)
                return b.site(b.op("Identity", matrix) if is_output else matrix)
        if dtype in _WIDE:
            eye = b.copy(node, dtype=dtypes.NUMBERS["float32"])[0]
            return b.site(b.cast(eye, dtype))
        if written is not None:
            return No("dtype is written out")
        if dtype == "float32":
            return No("float32 is what CANN takes for granted")
        return b.site(b.copy(node, dtype=dtypes.NUMBERS[dtype])[0])

    examples = (
        Example(
            "g (int32[2,3] x) => (int32[2,3] y) { e = EyeLike<k = 1>(x) y = Add(x, e) }",
            after="g (int32[2,3] x) => (int32[2,3] y) <int32[2,3] e = {0, 1, 0, 0, 0, 1}>"
            " { y = Add(x, e) }",
        ),
        Example(
            "g (int32[N,N] x) => (int32[N,N] y) { y = EyeLike(x) }",
            after="g (int32[N,N] x) => (int32[N,N] y) { y = EyeLike<dtype = 6>(x) }",
        ),
        Example(
            "g (float[N,3] x) => (int64[N,3] y) { y = EyeLike<dtype = 7>(x) }",
            after="g (float[N,3] x) => (int64[N,3] y)"
            " { e = EyeLike<dtype = 1>(x) y = Cast<to = 7>(e) }",
            opset=11,
        ),
        Example(
            "g (double[2,2] x) => (double[2,2] y) { y = EyeLike(x) }",
            after=["Identity"],
        ),
        NearMiss(
            "g (float[N,N] x) => (float[N,N] y) { y = EyeLike(x) }",
            reason="float32 is what CANN takes for granted",
        ),
        NearMiss(
            "g (float[N,N] x) => (int32[N,N] y) { y = EyeLike<dtype = 6>(x) }",
            reason="dtype is written out",
        ),
    )
