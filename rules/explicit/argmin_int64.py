"""Write ArgMin as ArgMax of the negated input, because CANN's ArgMin returns int32.

Why       ONNX says int64; what follows the ArgMin sees another type than the model declares.
Rewrites  ArgMin(x) -> ArgMax(-x); for integers the complement (-1 - x, for uint8 255 - x) stands
          for -x, which has no overflow.
Leaves    select_last_index 1, which explicit/arg_select_last_index rewrites; unknown types.
Exact     exact for numbers; ONNX does not say which index comes out when NaN is among the values.
Source    ops-math math/arg_min/framework/argmin_onnx_plugin.cpp, August 2026; graph dumps.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_FLOATS = ("float16", "bfloat16", "float32", "double")
_LARGEST = {"uint8": 255, "uint16": 65535}
_SIGNED = ("int8", "int16", "int32", "int64")


class ArgMinInt64(Rule):
    """ArgMin -> ArgMax of what is negated."""

    roots = ("ArgMin",)
    exactness = Exactness.ROUNDING  # indices are compared as they are; NaN is left out
    fixes = ("ArgMin/int32-output",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an ArgMin of a known element type that wants the first of equal values."""
        last = node.attributes.get("select_last_index")
        if last is not None and last.i != 0:
            return No("select_last_index is 1")
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        if x.dtype in _FLOATS:
            source = b.op("Neg", x.name)
        elif x.dtype in _SIGNED:
            source = b.op("Sub", b.scalar(-1, x), x.name)
        elif x.dtype in _LARGEST:
            source = b.op("Sub", b.scalar(_LARGEST[x.dtype], x), x.name)
        else:
            return No(f"{x.dtype} has no negation")
        axis = node.attributes["axis"].i if "axis" in node.attributes else 0
        keepdims = node.attributes["keepdims"].i if "keepdims" in node.attributes else 1
        return b.site(b.op("ArgMax", source, axis=axis, keepdims=keepdims))

    examples = (
        Example(
            "g (float[2,3] x) => (int64[2,1] y) { y = ArgMin<axis = 1>(x) }",
            after="g (float[2,3] x) => (int64[2,1] y)"
            " { n = Neg(x) y = ArgMax<axis = 1, keepdims = 1>(n) }",
        ),
        Example(
            "g (int32[N,3] x) => (int64[3] y) { y = ArgMin<keepdims = 0>(x) }",
            after="g (int32[N,3] x) => (int64[3] y) <int32 one = {-1}>"
            " { n = Sub(one, x) y = ArgMax<axis = 0, keepdims = 0>(n) }",
            opset=11,
        ),
        Example(
            "g (uint8[4,3] x) => (int64[4] y) { y = ArgMin<axis = -1, keepdims = 0>(x) }",
            after=["Sub", "ArgMax"],
        ),
        NearMiss(
            "g (float[2,3] x) => (int64[1,3] y) { y = ArgMin<select_last_index = 1>(x) }",
            reason="select_last_index is 1",
        ),
        NearMiss(
            "g (float[2,3] x) => (int64[1,3] y) { h = UnknownOp(x) y = ArgMin(h) }",
            reason="the element type is not known",
        ),
    )
