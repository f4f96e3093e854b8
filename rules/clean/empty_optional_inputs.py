"""Drop the empty names at the end of a node's inputs.

Why       ONNX reads an empty name as "left out". Some of CANN's expansions count the listed inputs
          and wire the empty one to a tensor that does not exist (E19999).
Rewrites  Conv(x, w, "") -> Conv(x, w).
Leaves    Empty names before a given input, since positions have a meaning.
Exact     exact.
Source    GE parser's graph building and the plugins that ask for the number of inputs, August 2026;
          ONNX IR, "optional inputs".
"""

import onnx.defs

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_OPTIONAL = onnx.defs.OpSchema.FormalParameterOption.Optional


class DropEmptyInputs(Rule):
    """Trailing empty inputs -> none."""

    roots = tuple(
        sorted(
            {
                schema.name
                for schema in onnx.defs.get_all_schemas_with_history()
                if schema.domain == "" and any(i.option == _OPTIONAL for i in schema.inputs)
            }
        )
    )

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a node whose last input has an empty name."""
        kept = list(node.inputs)
        while kept and not kept[-1]:
            kept.pop()
        if len(kept) == len(node.inputs):
            return No("its last input is given")
        b = Builder(node, graph)
        names = b.copy(node, kept)
        return b.site({old: new for old, new in zip(node.outputs, names, strict=True) if old})

    examples = (
        Example(
            """
            g (float[1,2,5,5] x, float[2,2,3,3] w) => (float[1,2,3,3] y) {
                y = Conv<kernel_shape = [3, 3]>(x, w, "")
            }
            """,
            after="""
            g (float[1,2,5,5] x, float[2,2,3,3] w) => (float[1,2,3,3] y) {
                y = Conv<kernel_shape = [3, 3]>(x, w)
            }
            """,
        ),
        Example(
            'g (float[N,3] x) => (float[1,1] y) { y = ReduceSum(x, "") }',
            after="g (float[N,3] x) => (float[1,1] y) { y = ReduceSum(x) }",
            opset=13,
        ),
        NearMiss(
            'g (float[2] x, float hi) => (float[2] y) { y = Clip(x, "", hi) }',
            reason="its last input is given",
        ),
        NearMiss(
            "g (float[2,3] x) => (float[1,1] y) { y = ReduceSum(x) }",
            reason="its last input is given",
        ),
        NearMiss(
            'g (float[2] x, float lo) => (float[2] y) { y = Clip(x, lo, "") }',
            reason="it would not lower the potential",
        ),
    )
