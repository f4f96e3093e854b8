"""Write Gelu out, because CANN registers no Gelu at any opset.

Why       The standard Gelu starts at opset 20; registrations end at 18 (E13010, in 8.1 E19010).
Rewrites  approximate = none: 0.5 * x * (1 + Erf(x / sqrt 2));
          approximate = tanh: 0.5 * x * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))).
Leaves    A Gelu whose element type is not known.
Exact     rounding: float32 within 2e-6.
Source    ONNX operator schema Gelu-20; registrations of the ops-* plugins, August 2026.
"""

import math

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class DecomposeGelu(Rule):
    """Gelu -> Erf or Tanh form."""

    roots = ("Gelu",)
    exactness = Exactness.ROUNDING
    fixes = ("GF101", "GF102")
    is_local = True
    tolerance = 3e-6

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every Gelu of a known float type."""
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        approximate = node.attributes.get("approximate")
        if approximate is not None and approximate.s == b"tanh":
            cube = b.op("Mul", b.op("Mul", x.name, x.name), x.name)
            inner = b.op("Add", x.name, b.op("Mul", cube, b.scalar(0.044715, x)))
            bend = b.op("Tanh", b.op("Mul", inner, b.scalar(math.sqrt(2 / math.pi), x)))
        else:
            bend = b.op("Erf", b.op("Mul", x.name, b.scalar(math.sqrt(0.5), x)))
        half = b.op("Mul", x.name, b.scalar(0.5, x))
        return b.site(b.op("Mul", half, b.op("Add", bend, b.scalar(1.0, x))))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Gelu(x) }",
            after=["Mul", "Erf", "Mul", "Add", "Mul"],
            opset=20,
            target=17,
        ),
        Example(
            'g (float[N,3] x) => (float[N,3] y) { y = Gelu<approximate = "tanh">(x) }',
            after=["Mul", "Mul", "Mul", "Add", "Mul", "Tanh", "Mul", "Add", "Mul"],
            opset=20,
            target=17,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { h = UnknownOp(x)  y = Gelu(h) }",
            reason="the element type is not known",
            opset=20,
            target=17,
        ),
    )
