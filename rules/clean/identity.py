"""Remove Identity.

Why       It computes nothing, and hides what follows from rules and from fusion.
Rewrites  y = Identity(x): what used y uses x.
Leaves    An Identity whose output is an output of the graph, or of a branch.
Exact     exact.
Source    ONNX operator schema Identity.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class RemoveIdentity(Rule):
    """Identity -> nothing."""

    roots = ("Identity",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an Identity between two nodes."""
        x, y = node.input(0), node.output(0)
        if x is None or y is None:
            return No("an input or output is missing")
        if y.is_output or any(index < 0 for _, index in y.uses):
            return No("its output is an output of the graph")
        return Builder(node, graph).site(x.name)

    examples = (
        Example(
            "g (float[2] x) => (float[2] y) { h = Identity(x)  y = Relu(h) }",
            after="g (float[2] x) => (float[2] y) { y = Relu(x) }",
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) { y = Identity(x) }",
            reason="its output is an output of the graph",
        ),
    )
