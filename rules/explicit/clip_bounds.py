"""Replace a Clip without bounds by Identity, because CANN refuses it.

Why       The parser refuses a Clip that has neither min nor max as an input (E19999).
Rewrites  Clip(x), Clip(x, "", "") -> Identity(x).
Leaves    A Clip with a bound; the forms below opset 11, whose bounds are attributes.
Exact     the same for finite values and NaN; ONNX would cut an infinity to the largest number.
Source    ops-math conversion/clip_by_value/framework/clip_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Exactness, Example, NearMiss, No, Rule, Site


class ClipBounds(Rule):
    """Clip without bounds -> Identity."""

    roots = ("Clip",)
    exactness = Exactness.ROUNDING
    fixes = ("Clip/no-bounds",)
    is_local = True
    tolerance = 0.0

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Clip of opset 11 or later that has no bound at all."""
        if (graph.model.opset or 0) < 11:
            return No("below opset 11 the bounds are attributes")
        if "min" in node.attributes or "max" in node.attributes:
            return No("a bound is written as an attribute, which this opset does not know")
        b = Builder(node, graph)
        if b.given(1) or b.given(2):
            return No("it has a bound")
        if not b.given(0):
            return No("the input is missing")
        return b.site(b.op("Identity", node.inputs[0]))

    examples = (
        Example(
            "g (float[2,3] x) => (float[2,3] y) { y = Clip(x) }",
            after="g (float[2,3] x) => (float[2,3] y) { y = Identity(x) }",
        ),
        Example(
            'g (int64[N] x) => (int64[N] y) { y = Clip(x, "", "") }',
            after=["Identity"],
            opset=12,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) <float low = {0.0}> { y = Clip(x, low) }",
            reason="it has a bound",
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Clip<min = 0.0>(x) }",
            reason="below opset 11 the bounds are attributes",
            opset=10,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Clip<min = 0.0>(x) }",
            reason="a bound is written as an attribute",
        ),
    )
