"""Remove a Squeeze that undoes an Unsqueeze, or the other way round.

Why       Exporters add an axis for one operator and drop it for the next; both cost a node, and on
          some chips a change of the memory format.
Rewrites  Squeeze(Unsqueeze(x, axes), axes) and Unsqueeze(Squeeze(x, axes), axes): what used the
          result uses x.
Leaves    Axes that differ, are computed, or are left out (which drops every axis of size 1);
          negative beside positive axes where the rank is not known.
Exact     exact.
Source    ONNX operator schemas Squeeze-13 and Unsqueeze-13.
"""

from graphfix.graph import Graph, Node, Value
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_OPPOSITE = {"Squeeze": "Unsqueeze", "Unsqueeze": "Squeeze"}


class RemoveUnsqueezeSqueeze(Rule):
    """Unsqueeze, Squeeze of the same axes -> nothing."""

    roots = ("Squeeze", "Unsqueeze")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the input comes from the opposite operator with the same axes."""
        middle, result = node.input(0), node.output(0)
        first = middle.producer if middle is not None else None
        wanted = _OPPOSITE[node.op_type]
        if middle is None or result is None or first is None:
            return No("its input does not come from the opposite operator")
        if first.op_type != wanted or not first.is_standard:
            return No("its input does not come from the opposite operator")
        x = first.input(0)
        if x is None or first.graph is not graph:
            return No("the first node lies outside the branch")
        mine, theirs = _axes(node), _axes(first)
        if mine is None or theirs is None:
            return No("the axes are computed or left out")
        # both count axes in the longer of the two shapes
        longer = middle if wanted == "Unsqueeze" else x
        if not _agree(mine, theirs, longer):
            return No("the axes differ")
        if result.is_output or any(index < 0 for _, index in result.uses):
            return No("its output is an output of the graph")
        elsewhere = middle.is_output or len(middle.uses) > 1
        b = Builder(node, graph)
        # the first is written again where something else needs it, so that the proof sees both
        kept = {middle.name: b.copy(first)[0]} if elsewhere else {}
        return b.site({result.name: x.name, **kept}, drop=(node, first))

    examples = (
        Example(
            """
            g (float[2,N] x) => (float[2,N] y) <int64[1] a = {1}, int64[1] b = {-2}> {
                h = Unsqueeze(x, a)  s = Squeeze(h, b)  y = Relu(s)
            }
            """,
            after="g (float[2,N] x) => (float[2,N] y) { y = Relu(x) }",
        ),
        Example(
            """
            g (float[1,3,1] x) => (float[1,3,1] y) {
                h = Squeeze<axes = [2, 0]>(x)  s = Unsqueeze<axes = [0, 2]>(h)  y = Relu(s)
            }
            """,
            after="g (float[1,3,1] x) => (float[1,3,1] y) { y = Relu(x) }",
            opset=11,
        ),
        Example(
            """
            g (float[3] x) => (float[3] y, float[1,3] z) <int64[1] a = {0}> {
                h = Unsqueeze(x, a)  s = Squeeze(h, a)  y = Relu(s)  z = Relu(h)
            }
            """,
            after="""
            g (float[3] x) => (float[3] y, float[1,3] z) <int64[1] a = {0}> {
                h = Unsqueeze(x, a)  y = Relu(x)  z = Relu(h)
            }
            """,
        ),
        NearMiss(
            """
            g (float[1,3] x) => (float[1,3] y) <int64[1] a = {2}, int64[1] b = {0}> {
                h = Unsqueeze(x, a)  s = Squeeze(h, b)  y = Relu(s)
            }
            """,
            reason="the axes differ",
        ),
        NearMiss(
            """
            g (float[2,3] x) => (float[2,3] y) <int64[1] a = {0}> {
                h = Unsqueeze(x, a)  s = Squeeze(h)  y = Relu(s)
            }
            """,
            reason="the axes are computed or left out",
        ),
        NearMiss(
            """
            g (float[] x) => (float[] y) <int64[1] a = {0}, int64[1] b = {-1}> {
                h = Unsqueeze(x, a)  s = Squeeze(h, b)  y = Relu(s)
            }
            """,
            reason="the axes differ",
        ),
        NearMiss(
            """
            g (float[2,3] x) => (float[2,3] y) <int64[1] a = {0}> {
                h = Unsqueeze(x, a)  y = Squeeze(h, a)
            }
            """,
            reason="its output is an output of the graph",
        ),
        NearMiss(
            "g (float[1,3] x) => (float[3] y) <int64[1] a = {0}> { y = Squeeze(x, a) }",
            reason="its input does not come from the opposite operator",
        ),
    )


def _axes(node: Node) -> list[int] | None:
    written = node.attributes.get("axes")
    if written is not None:
        return list(written.ints) or None
    value = node.input(1)
    if value is None or value.constant is None or value.known is None or not value.known.size:
        return None
    return [int(axis) for axis in value.known.reshape(-1)]


def _agree(a: list[int], b: list[int], longer: Value) -> bool:
    if longer.shape is not None and longer.shape:
        rank = len(longer.shape)
        return sorted(axis % rank for axis in a) == sorted(axis % rank for axis in b)
    return sorted(a) == sorted(b)
