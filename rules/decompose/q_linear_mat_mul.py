"""Write QLinearMatMul as MatMul in float32, because CANN registers it at no opset.

Why       The parser of ATC does not know QLinearMatMul (E19010).
Rewrites  The integer product as decompose/mat_mul_integer writes it, then Mul by a_scale * b_scale
          / y_scale, Round, Add of the zero point, Clip, Cast.
Leaves    An inner axis of unknown length; more than 64 exact parts; 4-bit and float8 numbers;
          unknown types.
Exact     rounding: the integers are equal, as long as MatMul runs in float32: a precision mode that
          lowers it to float16 can move a result by a step.
Source    ONNX operator schema QLinearMatMul-21; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "Cast", "Cast", "Sub", "Cast", "Cast", "Sub", "MatMul", "Cast", "Mul", "Div", "Mul", "Round",
    "Add", "Clip", "Cast",
]  # fmt: skip
_EXAMPLE_2 = [
    "Cast", "Cast", "Cast", "Sub", "MatMul", "Squeeze", "Squeeze", "Cast", "Squeeze", "Mul", "Div",
    "Mul", "Round", "Add", "Clip", "Cast",
]  # fmt: skip


class DecomposeQLinearMatMul(Rule):
    """QLinearMatMul -> Cast, Sub, MatMul, Mul, Round, Add, Clip, Cast."""

    roots = ("QLinearMatMul",)
    exactness = Exactness.ROUNDING  # integers are compared as they are
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the sums can be made exact."""
        b = Builder(node, graph)
        if b.opset < 11:
            return No("below opset 11 there is no Round")
        scales = [node.input(i) for i in (1, 4, 6)]
        zero = node.input(7)
        if zero is None or zero.dtype not in ("uint8", "int8"):
            return No("the result is not known to be an 8-bit integer")
        if any(s is None or quantize.known_type(s.dtype) or s.shape is None for s in scales):
            return No("the type or the rank of a scale is not known")
        if zero.shape is None:
            return No("the rank of a zero point is not known")
        parts = quantize.exact_products(b, (0, 3), (2, 5))
        if isinstance(parts, No):
            return parts
        factors = []
        for value, is_left in zip(scales, (True, False, True), strict=True):
            name = quantize.as_float(b, value)
            factors.append(quantize.beside(b, name, value, is_left))
        total = parts[0] if len(parts) == 1 else b.cast(quantize.joined(b, parts), "float32")
        added = quantize.beside(b, b.cast(zero.name, "float32"), zero, True)
        y = quantize.requantized(b, total, (factors[0], factors[1], factors[2]), added, zero.dtype)
        return b.site(y)

    examples = (
        Example(
            "g (uint8[2,4] a, uint8[4,3] b) => (uint8[2,3] y) <float s = {0.0066}, uint8 p = {113},"
            " float t = {0.00705}, uint8 q = {114}, float u = {0.0107}, uint8 r = {118}>"
            " { y = QLinearMatMul(a, s, p, b, t, q, u, r) }",
            after=_EXAMPLE_1,
        ),
        Example(
            "g (int8[N,2,300] a, int8[300,3] b) => (int8[N,2,3] y) <float[1] s = {0.01},"
            " int8[1] p = {0}, float[3] t = {0.1, 0.2, 0.3}, int8[3] q = {1, 2, 3},"
            " float[1] u = {0.5}, int8[1] r = {-7}>"
            " { y = QLinearMatMul(a, s, p, b, t, q, u, r) }",
            after=_EXAMPLE_2,
            opset=13,
        ),
        NearMiss(
            "g (uint8[2,K] a, uint8[K,3] b) => (uint8[2,3] y) <float s = {0.0066}, uint8 p = {113}>"
            " { y = QLinearMatMul(a, s, p, b, s, p, s, p) }",
            reason="the length of the inner axis is not known",
        ),
        NearMiss(
            "g (uint8[2,4] a, uint8[4,3] b, float[] s) => (uint8[2,3] y) <uint8 p = {113}>"
            " { y = QLinearMatMul(a, s, p, b, s, p, s, p) }",
            reason="the type or the rank of a scale is not known",
        ),
    )
