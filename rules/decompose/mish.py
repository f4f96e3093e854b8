"""Write Mish out where CANN does not register it.

Why       Mish is registered at opset 18 only; a model at another opset is refused (GF101).
Rewrites  Mish(x) -> x * Tanh(Softplus(x)).
Leaves    A Mish whose element type is not known; one at opset 18, which CANN has.
Exact     rounding: float32 within 2e-6.
Source    ONNX operator schemas Mish-18 and Mish-22; ops-nn activation/mish/framework/
          mish_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeMish(Rule):
    """Mish -> Softplus, Tanh and Mul."""

    roots = ("Mish",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every Mish of a known float type."""
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        return b.site(b.op("Mul", x.name, b.op("Tanh", b.op("Softplus", x.name))))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Mish(x) }",
            after="g (float[2,3] x) => (float[2,3] y) {"
            " s = Softplus(x)  t = Tanh(s)  y = Mul(x, t) }",
            opset=18,
            target=17,
        ),
        Example(
            "g (float[N,3] x) => (float[N,3] y) { h = Relu(x)  y = Mish(h) }",
            after=["Relu", "Softplus", "Tanh", "Mul"],
            opset=22,
            target=11,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { h = UnknownOp(x)  y = Mish(h) }",
            reason="the element type is not known",
            opset=18,
            target=17,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Mish(x) }",
            reason="it would not lower the potential",
            opset=18,
        ),
    )
