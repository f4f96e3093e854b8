"""Write Swish out, because CANN registers no Swish at any opset.

Why       The standard Swish starts at opset 24; registrations end at 18 (E13010, in 8.1 E19010).
Rewrites  Swish(x) -> x * Sigmoid(alpha * x); alpha = 1 needs no multiplication.
Leaves    A Swish whose element type is not known.
Exact     rounding: float32 within 2e-6.
Source    ONNX operator schema Swish-24; registrations of the ops-* plugins, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeSwish(Rule):
    """Swish -> Sigmoid and Mul."""

    roots = ("Swish",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every Swish of a known float type."""
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        alpha = node.attributes["alpha"].f if "alpha" in node.attributes else 1.0
        inner = x.name if alpha == 1.0 else b.op("Mul", x.name, b.scalar(alpha, x))
        return b.site(b.op("Mul", x.name, b.op("Sigmoid", inner)))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Swish(x) }",
            after="g (float[2,3] x) => (float[2,3] y) { s = Sigmoid(x)  y = Mul(x, s) }",
            opset=24,
            target=17,
        ),
        Example(
            "g (float[N,3] x) => (float[N,3] y) { y = Swish<alpha = 1.702>(x) }",
            after=["Mul", "Sigmoid", "Mul"],
            opset=24,
            target=11,
        ),
        Example(
            "g (float16[2,3] x) => (float16[2,3] y) { y = Swish<alpha = 0.0>(x) }",
            after=["Mul", "Sigmoid", "Mul"],
            opset=24,
            target=18,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { h = UnknownOp(x)  y = Swish(h) }",
            reason="the element type is not known",
            opset=24,
            target=17,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Swish(x) }",
            reason="it would not lower the potential",
            opset=24,
        ),
    )
