"""Write HardSwish out for the opsets that do not have it.

Why       HardSwish exists from opset 14 on; a model that goes to 11, 12 or 13 must spell it out.
Rewrites  HardSwish(x) -> x * HardSigmoid<alpha = 1/6, beta = 0.5>(x).
Leaves    A HardSwish whose element type is not known; one at opset 14 to 18, which CANN has.
Exact     rounding: float32 within 2e-6.
Source    ONNX operator schemas HardSwish-14 and HardSigmoid-6; registrations of the ops-* plugins,
          August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeHardSwish(Rule):
    """HardSwish -> HardSigmoid and Mul."""

    roots = ("HardSwish",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every HardSwish of a known float type."""
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        return b.site(b.op("Mul", x.name, b.op("HardSigmoid", x.name, alpha=1 / 6, beta=0.5)))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = HardSwish(x) }",
            after=["HardSigmoid", "Mul"],
            opset=14,
            target=13,
        ),
        Example(
            "g (float[N,C,4] x) => (float[N,C,4] y) { h = Relu(x)  y = HardSwish(h) }",
            after=["Relu", "HardSigmoid", "Mul"],
            opset=17,
            target=11,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { h = UnknownOp(x)  y = HardSwish(h) }",
            reason="the element type is not known",
            opset=14,
            target=13,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = HardSwish(x) }",
            reason="it would not lower the potential",
            opset=14,
        ),
    )
