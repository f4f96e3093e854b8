"""Write Clip of old opsets as Max and Min, because CANN returns float32 whatever comes in.

Why       Up to opset 10 the plugin casts the input of Clip to float32 and leaves it so.
Rewrites  Clip<min, max>(x) -> Min(Max(x, min), max), in x's element type.
Leaves    float32; opset 11 and later, where Clip keeps its type; unknown types.
Exact     exact.
Source    ops-math clip_by_value/framework/clip_onnx_plugin.cpp, August 2026; ONNX operator schema
          Clip-6.
"""

from graphfix.graph import Graph, Node, dtypes
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_LARGEST = 3.4028234663852886e38  # of float32


class ClipTypes(Rule):
    """Clip with attributes, not of float32 -> Max, Min."""

    roots = ("Clip",)
    fixes = ("Clip/always-float32",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on other floats than float32."""
        if (graph.model.opset or 0) > 10:
            return No("from opset 11 on Clip keeps its type")
        x = node.input(0)
        if x is None or x.dtype not in dtypes.FLOATS:
            return No("the element type is not known")
        if x.dtype == "float32":
            return No("it is float32")
        b, y = Builder(node, graph), x.name
        for operator, name, default in (("Max", "min", -_LARGEST), ("Min", "max", _LARGEST)):
            if name in node.attributes:
                y = b.op(operator, y, b.scalar(node.attributes[name].f, x))
            elif x.dtype == "double":  # the default is a bound for it
                y = b.op(operator, y, b.scalar(default, x))
        return b.site(b.op("Identity", y) if y == x.name else y)

    examples = (
        Example(
            "g (double[2,3] x) => (double[2,3] y) { y = Clip<min = 0.0, max = 6.0>(x) }",
            after="g (double[2,3] x) => (double[2,3] y) <double a = {0.0}, double b = {6.0}>"
            " { h = Max(x, a) y = Min(h, b) }",
            opset=10,
        ),
        Example(
            "g (double[N,3] x) => (double[N,3] y) { y = Clip<min = -1.0>(x) }",
            after=["Max", "Min"],
            opset=9,
        ),
        NearMiss(
            "g (float[2,3] x) => (float[2,3] y) { y = Clip<min = 0.0, max = 6.0>(x) }",
            reason="it is float32",
            opset=10,
        ),
        NearMiss(
            "g (double[2,3] x, double lo) => (double[2,3] y) { y = Clip(x, lo) }",
            reason="from opset 11 on Clip keeps its type",
            opset=11,
        ),
    )
