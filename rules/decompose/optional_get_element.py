"""Take the element of an optional value directly, because CANN registers no optional values.

Why       The parser of ATC does not know optional values (E19010).
Rewrites  OptionalGetElement of Optional(x), or of x itself, -> x.
Leaves    Optional values that come from an input of the graph, or out of a branch or loop.
Exact     exact.
Source    ONNX operator schemas OptionalGetElement-18, Optional-15; registrations of the ops-*
          plugins, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class OptionalGetElement(Rule):
    """OptionalGetElement -> Identity."""

    roots = ("OptionalGetElement",)
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the element is known."""
        x = node.input(0)
        if x is None:
            return No("it has no input")
        b = Builder(node, graph)
        made = x.producer
        if made is not None and made.op_type == "Optional" and made.graph is graph:
            if not made.inputs or not made.inputs[0]:
                return No("there is no element")
            replace = {node.outputs[0]: b.op("Identity", made.inputs[0])}
            if x.is_output or any(user is not node for user, _ in x.uses):
                replace[x.name] = b.copy(made)[0]
            return b.site(replace, (node, made))
        if x.kind != "tensor" or x.dtype is None:
            return No("the element comes from outside")
        return b.site(b.op("Identity", x.name))

    examples = (
        Example(
            "g (float[2] x) => (float[2] y) { y = OptionalGetElement(x) }",
            after=["Identity"],
            opset=18,
        ),
        Example(
            "g (float[2] x) => (float[2] y) { h = Optional(x)  y = OptionalGetElement(h) }",
            after=["Identity"],
            opset=16,
        ),
        NearMiss(
            "g (optional(float[2]) x) => (float[2] y) { y = OptionalGetElement(x) }",
            reason="the element comes from outside",
            opset=18,
        ),
    )
