"""Write ArgMin as ArgMax of the negated input, because CANN's ArgMin returns int32.

Why       ONNX says int64; what follows the ArgMin sees another type than the model declares.
Rewrites  ArgMin(x) -> ArgMax(-x); narrow integers are cast to float32 first, and for
          int32 and int64 -1 - x stands for -x, which has no overflow.
Leaves    select_last_index 1, which explicit/arg_select_last_index rewrites; unknown types.
Exact     exact for numbers; ONNX does not say which index comes out when NaN is among the values.
Source    ops-math math/arg_min/framework/argmin_onnx_plugin.cpp, August 2026; graph dumps.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_FLOATS = ("float16", "bfloat16", "float32", "double")
_NARROW = ("int8", "uint8", "int16", "uint16")  # float32 holds all of their values


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
        elif x.dtype in _NARROW:
            source = b.op("Neg", b.cast(x.name, "float32"))
        elif x.dtype in ("int32", "int64"):
            source = b.op("Sub", b.scalar(-1, x), x.name)
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
            "g (uint8[N,3] x) => (int64[3] y) { y = ArgMin<keepdims = 0>(x) }",
            after="g (uint8[N,3] x) => (int64[3] y)"
            " { c = Cast<to = 1>(x) n = Neg(c) y = ArgMax<axis = 0, keepdims = 0>(n) }",
            opset=11,
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
