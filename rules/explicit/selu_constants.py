"""Write Selu with constants of its own as Elu and Mul, because CANN knows one pair only.

Why       The plugin refuses an alpha other than 1.67326324 and a gamma other than 1.05070099.
Rewrites  Selu<alpha, gamma>(x) -> Mul(Elu<alpha>(x), gamma).
Leaves    The usual constants; a negative alpha, for which runtimes disagree; unknown types.
Exact     rounding: float32 within 2e-6.
Source    ops-nn activation/selu/framework/selu_onnx_plugin.cpp, August 2026; ONNX operator schema
          Selu-6.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site

_ALPHA = 1.67326319217681884765625
_GAMMA = 1.05070102214813232421875
_NEAR = 1e-5  # what the plugin allows


class SeluConstants(Rule):
    """Selu with other constants -> Elu and Mul."""

    roots = ("Selu",)
    exactness = Exactness.ROUNDING
    fixes = ("Selu/alpha", "Selu/gamma")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Selu whose alpha or gamma is not the usual one."""
        alpha = node.attributes["alpha"].f if "alpha" in node.attributes else _ALPHA
        gamma = node.attributes["gamma"].f if "gamma" in node.attributes else _GAMMA
        if abs(alpha - _ALPHA) <= _NEAR and abs(gamma - _GAMMA) <= _NEAR:
            return No("the constants are the usual ones")
        if not alpha >= 0:
            return No("alpha is negative")
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        return b.site(b.op("Mul", b.op("Elu", x.name, alpha=alpha), b.scalar(gamma, x)))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Selu<alpha = 2.0, gamma = 3.0>(x) }",
            after="g (float[2,3] x) => (float[2,3] y) <float g = {3.0}>"
            " { e = Elu<alpha = 2.0>(x) y = Mul(e, g) }",
        ),
        Example(
            "g (float[N] x) => (float[N] y) { y = Selu<gamma = 0.5>(x) }",
            after=["Elu", "Mul"],
            opset=11,
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) { y = Selu(x) }",
            reason="the constants are the usual ones",
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) { y = Selu<alpha = -1.0>(x) }",
            reason="alpha is negative",
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) { h = UnknownOp(x) y = Selu<alpha = 2.0>(h) }",
            reason="the element type is not known",
        ),
    )
