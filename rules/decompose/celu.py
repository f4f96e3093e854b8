"""Write Celu with Elu where the opset has no Celu for the element type.

Why       Celu starts at opset 12, and before 28 it takes float32 only; a model that goes to 11, or
          one with half types that comes from 28, must spell it out.
Rewrites  Celu(x) -> alpha * Elu(x / alpha); alpha = 1 needs Elu alone.
Leaves    alpha of zero or below, for which the form with Elu is another function; a Celu whose
          element type is not known; a float32 Celu at opset 12 to 18, which CANN has.
Exact     rounding: float32 within 2e-6.
Source    ONNX operator schemas Celu-12, Celu-28 and Elu-6; registrations of the ops-* plugins,
          August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeCelu(Rule):
    """Celu -> Elu between a division and a multiplication."""

    roots = ("Celu",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every Celu of a known float type whose alpha is positive."""
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        alpha = node.attributes["alpha"].f if "alpha" in node.attributes else 1.0
        if not alpha > 0:
            return No("alpha is not positive")
        b = Builder(node, graph)
        if alpha == 1.0:
            return b.site(b.op("Elu", x.name, alpha=1.0))
        factor = b.scalar(alpha, x)
        return b.site(b.op("Mul", b.op("Elu", b.op("Div", x.name, factor), alpha=1.0), factor))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Celu(x) }",
            after="g (float[2,3] x) => (float[2,3] y) { y = Elu<alpha = 1.0>(x) }",
            opset=12,
            target=11,
        ),
        Example(
            "g (float[N,C] x) => (float[N,C] y) { y = Celu<alpha = 0.3>(x) }",
            after=["Div", "Elu", "Mul"],
            opset=17,
            target=11,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Celu<alpha = -1.0>(x) }",
            reason="alpha is not positive",
            opset=12,
            target=11,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { h = UnknownOp(x)  y = Celu(h) }",
            reason="the element type is not known",
            opset=12,
            target=11,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Celu<alpha = 0.5>(x) }",
            reason="it would not lower the potential",
            opset=12,
        ),
    )
