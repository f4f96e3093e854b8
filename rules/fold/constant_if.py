"""Put the branch that is taken in the place of an If whose condition is constant.

Why       Exporters leave If around code for shapes that the model never has; ATC parses and
          compiles both branches, and refuses branches that return outer tensors.
Rewrites  If(true) -> the nodes of then_branch; If(false) -> those of else_branch.
Leaves    A condition that is computed; branches whose nodes hold branches of their own.
Exact     exact.
Source    ONNX operator schema If-16; GE parser, subgraphs of If, August 2026.
"""

from dataclasses import replace

import onnx

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site
from graphfix.rewrite.builder import MARK


class FoldConstantIf(Rule):
    """If with a constant condition -> the nodes of one branch."""

    roots = ("If",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the condition is a constant of one element."""
        condition = node.input(0)
        if condition is None or condition.constant is None or condition.known is None:
            return No("the condition is no constant")
        if condition.known.size != 1:
            return No("the condition is no single value")
        taken = "then_branch" if bool(condition.known.reshape(-1)[0]) else "else_branch"
        branch = next((inner for name, inner in node.subgraphs if name == taken), None)
        if branch is None or len(branch.outputs) != len(node.outputs):
            return No(f"{taken} does not give what If gives")
        if any(inner.subgraphs for inner in branch.nodes):
            return No("a node of the branch holds branches of its own")
        if branch.contested or len(branch.proto.sparse_initializer):
            return No("the branch gives one name twice or holds sparse constants")

        b = Builder(node, graph)
        names: dict[str, str] = {}  # of the branch -> of the site
        constants: list[onnx.TensorProto] = []
        for number, (name, tensor) in enumerate(branch.initializers.items()):
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = names[name] = f"{MARK}branch{number}"
            constants.append(copy)
        for inner in branch.ordered():
            made = b.copy(inner, [names.get(name, name) for name in inner.inputs])
            names.update((o, n) for o, n in zip(inner.outputs, made, strict=True) if o)
        replaced: dict[str, str] = {}
        for old, given in zip(node.outputs, branch.outputs, strict=True):
            value = node.graph.values.get(old) if old else None
            if value is None:
                continue
            new = names.get(given, given)
            is_output = value.is_output or any(index < 0 for _, index in value.uses)
            # an outer tensor, a constant or a value that stands in already cannot be an output
            computed = given in branch.values and branch.values[given].producer is not None
            if is_output and (not computed or new in replaced.values()):
                new = b.op("Identity", new)
            replaced[old] = new
        site = b.site(replaced)
        return replace(site, constants=(*site.constants, *constants))

    examples = (
        Example(
            """
            g (float[N,3] x) => (float[N,3] y) <bool c = {1}> {
                h = Relu(x)
                p = If (c) <
                    then_branch = t () => (h) {},
                    else_branch = e () => (float[N,3] b) { b = Abs(h) }
                >
                y = Exp(p)
            }
            """,
            after="g (float[N,3] x) => (float[N,3] y) { h = Relu(x)  y = Exp(h) }",
        ),
        Example(
            """
            g (float[2] x) => (float[2] y) <bool[1] c = {0}> {
                p, q = If (c) <
                    then_branch = t () => (float[2] a, float[2] b) { a = Neg(x)  b = Abs(x) },
                    else_branch = e () => (float[2] v, float[2] w)
                        <float[2] v = {1.0, 2.0}, float[2] w = {3.0, 4.0}> {}
                >
                r = Mul(x, p)  y = Add(r, q)
            }
            """,
            after="""
            g (float[2] x) => (float[2] y) <float[2] v = {1.0, 2.0}, float[2] w = {3.0, 4.0}> {
                r = Mul(x, v)  y = Add(r, w)
            }
            """,
            opset=13,
        ),
        NearMiss(
            """
            g (float[2] x, bool c) => (float[2] y) {
                y = If (c) <
                    then_branch = t () => (float[2] a) { a = Neg(x) },
                    else_branch = e () => (float[2] b) { b = Abs(x) }
                >
            }
            """,
            reason="the condition is no constant",
        ),
        NearMiss(
            """
            g (float[2] x, bool d) => (float[2] y) <bool c = {1}> {
                y = If (c) <
                    then_branch = t () => (float[2] a) {
                        a = If (d) <
                            then_branch = tt () => (float[2] p) { p = Neg(x) },
                            else_branch = te () => (float[2] q) { q = Abs(x) }
                        >
                    },
                    else_branch = e () => (float[2] b) { b = Abs(x) }
                >
            }
            """,
            reason="a node of the branch holds branches of its own",
        ),
    )
