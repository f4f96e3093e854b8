"""Give depth the type of the indices, because CANN's OneHot wants one type for both.

Why       The plugin adds depth to the indices and takes the remainder, which is refused where the
          types differ.
Rewrites  A constant depth is stored in the type of the indices; any other integer one is cast.
Leaves    Equal types; a constant that the type of the indices does not hold; a depth of floats that
          is no constant, or of whose type a Cast may lose numbers.
Exact     exact.
Source    ops-math math/one_hot/framework/onehot_onnx_plugin.cpp, August 2026; ONNX operator schema
          OneHot-11.
"""

import numpy as np

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class OneHotDepth(Rule):
    """OneHot with another type of depth -> the type of the indices."""

    roots = ("OneHot",)
    fixes = ("OneHot/one-type",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the types differ and no number is lost."""
        indices, depth = node.input(0), node.input(1)
        if indices is None or depth is None or not indices.dtype or not depth.dtype:
            return No("an element type is not known")
        if indices.dtype == depth.dtype:
            return No("both have one type")
        number = dtypes.numpy_dtype(dtypes.NUMBERS[indices.dtype])
        if number is None:
            return No(f"{indices.dtype} is no type for a depth")
        b = Builder(node, graph)
        if depth.constant is None or depth.known is None:
            given = dtypes.numpy_dtype(dtypes.NUMBERS[depth.dtype])
            if given is None or not np.can_cast(given, number, "safe"):
                return No("depth is no constant, and a Cast may lose numbers")
            name = b.cast(depth.name, indices.dtype)
        else:
            with np.errstate(all="ignore"):
                same = depth.known.astype(number)
            if not np.array_equal(same.astype(np.float64), depth.known.astype(np.float64)):
                return No("the type of the indices does not hold depth")
            name = b.constant(same)
        return b.site(b.copy(node, [node.inputs[0], name, *node.inputs[2:]])[0])

    examples = (
        Example(
            "g (int64[3] i) => (float[3,5] y) <int32 d = {5}, float[2] v = {0.0, 1.0}>"
            " { y = OneHot(i, d, v) }",
            after="g (int64[3] i) => (float[3,5] y) <int64 d = {5}, float[2] v = {0.0, 1.0}>"
            " { y = OneHot(i, d, v) }",
            opset=11,
        ),
        Example(
            "g (int32[N,3] i) => (float[N,5,3] y) <int64 d = {5}, float[2] v = {0.0, 1.0}>"
            " { y = OneHot<axis = 1>(i, d, v) }",
            after="g (int32[N,3] i) => (float[N,5,3] y) <int32 d = {5},"
            " float[2] v = {0.0, 1.0}> { y = OneHot<axis = 1>(i, d, v) }",
        ),
        Example(
            "g (int64[3] i, int32 d) => (float[3,D] y) <float[2] v = {0.0, 1.0}>"
            " { y = OneHot(i, d, v) }",
            after=["Cast", "OneHot"],
            opset=13,
        ),
        NearMiss(
            "g (int64[3] i) => (float[3,5] y) <int64 d = {5}, float[2] v = {0.0, 1.0}>"
            " { y = OneHot(i, d, v) }",
            reason="both have one type",
        ),
        NearMiss(
            "g (int32[3] i, int64 d) => (float[3,D] y) <float[2] v = {0.0, 1.0}>"
            " { y = OneHot(i, d, v) }",
            reason="a Cast may lose numbers",
        ),
        NearMiss(
            "g (int64[3] i) => (float[3,D] y) <float d = {5.5}, float[2] v = {0.0, 1.0}>"
            " { y = OneHot(i, d, v) }",
            reason="the type of the indices does not hold depth",
        ),
    )
