"""Answer OptionalHasElement beforehand, because CANN registers no optional values.

Why       The parser of ATC does not know optional values (E19010).
Rewrites  OptionalHasElement of a tensor or of Optional(x) -> true; of nothing, or of an Optional of
          a type alone -> false.
Leaves    Optional values that come from an input of the graph, or out of a branch or loop.
Exact     exact.
Source    ONNX operator schemas OptionalHasElement-18, Optional-15; registrations of the ops-*
          plugins, August 2026.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class OptionalHasElement(Rule):
    """OptionalHasElement -> a constant."""

    roots = ("OptionalHasElement",)
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where it is known whether there is an element."""
        x = node.input(0)
        b = Builder(node, graph)
        if x is None:
            return _constant(b, False)
        made = x.producer
        if made is not None and made.op_type == "Optional":
            return _constant(b, bool(made.inputs and made.inputs[0]), made)
        if x.kind != "tensor" or x.dtype is None:
            return No("whether there is an element is decided outside")
        return _constant(b, True)

    examples = (
        Example(
            "g (float[2] x) => (bool y) { y = OptionalHasElement(x) }",
            after=["Identity"],
            opset=18,
        ),
        Example(
            "g (float[2] x) => (bool y) { y = OptionalHasElement() }",
            after=["Identity"],
            opset=18,
        ),
        Example(
            "g (float[2] x) => (bool y) { h = Optional(x)  y = OptionalHasElement(h) }",
            after=["Identity"],
            opset=18,
        ),
        NearMiss(
            "g (optional(float[2]) x) => (bool y) { y = OptionalHasElement(x) }",
            reason="whether there is an element is decided outside",
            opset=18,
        ),
    )


def _constant(b: Builder, answer: bool, made: Node | None = None) -> Site:
    """Return the site; the Optional goes along, and comes again where others need it."""
    replace = {b.node.outputs[0]: b.op("Identity", b.constant(np.array(answer)))}
    if made is None:
        return b.site(replace)
    value = made.output(0)
    if value is not None and (value.is_output or any(u is not b.node for u, _ in value.uses)):
        replace[made.outputs[0]] = b.copy(made)[0]
    return b.site(replace, (b.node, made))
