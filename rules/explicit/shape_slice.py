"""Cut the part of a shape with Slice, because CANN reads past start and end of Shape.

Why       Shape has start and end since opset 15; the plugin never reads them, so that the whole
          shape comes out.
Rewrites  Shape<start, end>(x) -> Slice(Shape(x)); a constant when the dims of that part are
          numbers; Shape(x) when the part is the whole.
Leaves    A Shape without start and end; unknown ranks.
Exact     exact.
Source    ops-math math/shape/framework/shape_onnx_plugin.cpp, August 2026.
"""

import numpy as np

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_TO_THE_END = 2**63 - 1


class ShapeSlice(Rule):
    """Shape with start or end -> Shape and Slice, or a constant."""

    roots = ("Shape",)
    fixes = ("Shape/start", "Shape/end")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Shape that has start or end."""
        x, y = node.input(0), node.output(0)
        if x is None or y is None:
            return No("an input or output is missing")
        if (graph.model.opset or 0) < 15:
            return No("below opset 15 the whole shape comes out")
        if "start" not in node.attributes and "end" not in node.attributes:
            return No("the whole shape is asked for")
        start = int(node.attributes["start"].i) if "start" in node.attributes else 0
        end = int(node.attributes["end"].i) if "end" in node.attributes else _TO_THE_END
        if x.shape is None:
            return No("the rank is not known")
        b = Builder(node, graph)
        start, end, _ = slice(start, end).indices(len(x.shape))
        part = x.shape[start:end]
        numbers = [dim for dim in part if isinstance(dim, int)]
        if len(numbers) == len(part) and not _leaves_graph(y):
            return b.site(b.constant(np.array(numbers, np.int64)))
        whole = b.op("Shape", x.name)
        if start == 0 and end == len(x.shape):
            return b.site(whole)
        return b.site(b.slice(whole, [start], [end], [0]))

    examples = (
        Example(
            "g (float[N,3,M] x) => (int64[2] y) { y = Shape<start = 1>(x) }",
            after="g (float[N,3,M] x) => (int64[2] y) <int64[1] s = {1}, int64[1] e = {3}, "
            "int64[1] a = {0}> { h = Shape(x)  y = Slice(h, s, e, a) }",
        ),
        Example(
            "g (float[N,3,M] x) => (int64[1] y) { h = Shape<start = -2, end = -1>(x)  y = Neg(h) }",
            after="g (float[N,3,M] x) => (int64[1] y) <int64[1] h = {3}> { y = Neg(h) }",
            opset=15,
        ),
        Example(
            "g (float[N,M] x) => (int64[K] y) { h = Relu(x)  y = Shape<start = -9, end = 1>(h) }",
            after=["Relu", "Shape", "Slice"],
            opset=18,
        ),
        Example(
            "g (float[N,M] x) => (int64[2] y) { y = Shape<start = 0>(x) }",
            after="g (float[N,M] x) => (int64[2] y) { y = Shape(x) }",
            opset=20,
            target=14,
        ),
        NearMiss(
            "g (float[2,3] x) => (int64[2] y) { y = Shape(x) }",
            reason="the whole shape is asked for",
        ),
        NearMiss(
            "g (float[] x) => (int64[K] y) { y = Shape<start = -2>(x) }",
            reason="the rank is not known",
        ),
        NearMiss(
            "g (float[2,3] x) => (int64[2] y) { y = Shape(x) }",
            reason="below opset 15",
            opset=13,
        ),
    )


def _leaves_graph(value: Value) -> bool:
    return value.is_output or any(index < 0 for _, index in value.uses)
