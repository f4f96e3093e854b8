"""Write QLinearConv as Conv in float32, because CANN registers it at no opset.

Why       The parser of ATC does not know QLinearConv (E19010).
Rewrites  The integer sums as decompose/conv_integer writes them, Add of the bias as int32, then Mul
          by x_scale * w_scale / y_scale, Round, Add of the zero point, Clip, Cast.
Leaves    Weights of unknown shape; groups whose sums are too large; more than 64 exact parts;
          unknown types.
Exact     rounding: the integers are equal, as long as Conv runs in float32: a precision mode that
          lowers it to float16 can move a result by a step.
Source    ONNX operator schema QLinearConv-10; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Squeeze", "Cast", "Cast", "Sub", "Cast", "Cast", "Sub", "Conv", "Squeeze", "Cast", "Mul",
    "Div", "Mul", "Round", "Add", "Clip", "Cast",
]  # fmt: skip
_EXAMPLE_2 = [
    "Cast", "Cast", "Sub", "Cast", "Conv", "Reshape", "Cast", "Reshape", "Add", "Cast", "Mul",
    "Div", "Mul", "Round", "Clip", "Cast",
]  # fmt: skip


class DecomposeQLinearConv(Rule):
    """QLinearConv -> Cast, Sub, Conv, Mul, Round, Add, Clip, Cast."""

    roots = ("QLinearConv",)
    exactness = Exactness.ROUNDING  # integers are compared as they are
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the sums can be made exact."""
        b = Builder(node, graph)
        if b.opset < 11:
            return No("below opset 11 there is no Round")
        scales = [node.input(i) for i in (1, 4, 6)]
        zero, bias = node.input(7), node.input(8)
        if zero is None or zero.dtype not in ("uint8", "int8"):
            return No("the result is not known to be an 8-bit integer")
        if any(s is None or s.dtype != "float32" or s.shape is None for s in scales):
            return No("the type or the rank of a scale is not known")
        if any(v is None or v.shape not in ((), (1,)) for v in (scales[0], scales[2], zero)):
            return No("a scale of the input or the result is no single number")
        parts = quantize.exact_convolutions(b, (0, 3), (2, 5))
        if isinstance(parts, No):
            return parts
        weight = node.input(3)
        assert weight is not None and weight.shape is not None
        space = len(weight.shape) - 2
        names = [quantize.per_channel(b, s.name, s, space) for s in scales if s is not None]
        total = parts[0]
        if len(parts) > 1 or bias is not None:
            whole = quantize.joined(b, parts)
            if bias is not None:
                whole = b.op("Add", whole, b.reshape(bias.name, [-1] + [1] * space))
            total = b.cast(whole, "float32")
        added = "" if quantize.is_zero(zero) else b.cast(zero.name, "float32")
        y = quantize.requantized(b, total, (names[0], names[1], names[2]), added, zero.dtype)
        return b.site(y)

    examples = (
        Example(
            "g (uint8[1,1,5,5] x, uint8[1,1,3,3] w) => (uint8[1,1,5,5] y) <float s = {0.00369},"
            " uint8 p = {132}, float[1] t = {0.00172}, uint8[1] q = {255}, float u = {0.00162},"
            " uint8 r = {123}>"
            " { y = QLinearConv<pads = [1, 1, 1, 1]>(x, s, p, w, t, q, u, r) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (uint8[N,4,5,5] x, int8[2,2,3,3] w) => (uint8[N,2,3,3] y) <float s = {0.01},"
            " uint8 p = {132}, float[2] t = {0.1, 0.2}, int8[2] q = {0, 0}, float u = {0.5},"
            " uint8 r = {0}, int32[2] c = {100, -700}>"
            " { y = QLinearConv<group = 2>(x, s, p, w, t, q, u, r, c) }",
            after=_EXAMPLE_2,
            opset=13,
        ),
        NearMiss(
            "g (uint8[1,1,5,5] x, uint8[M,1,3,3] w, float[] t) => (uint8[1,M,3,3] y)"
            " <float s = {0.1}, uint8 p = {132}> { y = QLinearConv(x, s, p, w, t, p, s, p) }",
            reason="the type or the rank of a scale is not known",
        ),
        NearMiss(
            "g (uint8[1,1,5,5] x, uint8[M,1,K,3] w) => (uint8[1,M,P,3] y)"
            " <float s = {0.1}, uint8 p = {132}> { y = QLinearConv(x, s, p, w, s, p, s, p) }",
            reason="the shape of the weight is not known",
        ),
    )
