"""Write DynamicQuantizeLinear out, because CANN registers it at no opset.

Why       Dynamically quantized models compute the scale of each activation in the model; the
          parser of ATC does not know the operator that does it (E19010).
Rewrites  ReduceMin and ReduceMax with 0 give the range; scale = range / 255 (1 where it is empty);
          zero point = Round(Clip(-min / scale)); y = Clip(Round(x / scale) + zero point), Cast.
Leaves    Inputs other than float32; models below opset 11.
Exact     rounding: the scale within 2e-6, the integers are equal; NaN is left out.
Source    ONNX operator schema DynamicQuantizeLinear-11; registrations of the ops-* plugins,
          August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_1 = [
    "ReduceMin", "Min", "ReduceMax", "Max", "Sub", "Equal", "Div", "Where", "Neg", "Div", "Clip",
    "Round", "Div", "Round", "Add", "Clip", "Cast", "Cast",
]  # fmt: skip
_EXAMPLE_2 = [
    "ReduceMin", "Min", "ReduceMax", "Max", "Sub", "Equal", "Div", "Where", "Neg", "Div", "Clip",
    "Round", "Div", "Round", "Add", "Clip", "Cast", "Cast",
]  # fmt: skip


class DecomposeDynamicQuantizeLinear(Rule):
    """DynamicQuantizeLinear -> ReduceMin, ReduceMax, Div, Round, Clip, Cast."""

    roots = ("DynamicQuantizeLinear",)
    exactness = Exactness.ROUNDING  # integers are compared as they are; NaN is left out
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every float32 input."""
        x = node.input(0)
        if x is None or x.dtype != "float32":
            return No("the input is not known to be float32")
        b = Builder(node, graph)
        if b.opset < 11:
            return No("below opset 11 there is no Round")
        zero, one = b.scalar(0.0, x), b.scalar(1.0, x)
        low = b.op("Min", b.reduce("ReduceMin", x.name, None, keepdims=False), zero)
        high = b.op("Max", b.reduce("ReduceMax", x.name, None, keepdims=False), zero)
        width = b.op("Sub", high, low)
        is_empty = b.op("Equal", width, zero)
        scale = b.op("Where", is_empty, one, b.op("Div", width, b.scalar(255.0, x)))
        ideal = b.op("Clip", b.op("Div", b.op("Neg", low), scale), zero, b.scalar(255.0, x))
        point = b.op("Round", ideal)
        y = quantize.saturated(b, b.op("Div", x.name, scale), point, "uint8")
        results = (y, scale, b.cast(point, "uint8"))
        return b.site({old: new for old, new in zip(node.outputs, results, strict=False) if old})

    examples = (
        Example(
            "g (float[2,3] x) => (uint8[2,3] y, float s, uint8 z)"
            " { y, s, z = DynamicQuantizeLinear(x) }",
            after=_EXAMPLE_1,
            opset=13,
        ),
        Example(
            "g (float[N,3] x) => (uint8[N,3] y, float s) { y, s, z = DynamicQuantizeLinear(x) }",
            after=_EXAMPLE_2,
            opset=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (uint8[2,3] y, float s, uint8 z)"
            " { h = UnknownOp(x)  y, s, z = DynamicQuantizeLinear(h) }",
            reason="the input is not known to be float32",
        ),
    )
