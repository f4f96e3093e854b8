"""Merge two Transposes in a row into one, or into none.

Why       Exporters that change layouts leave pairs behind; each Transpose moves the whole tensor.
Rewrites  Transpose<perm = q>(Transpose<perm = p>(x)) -> Transpose<perm = p[q]>(x); where p[q]
          leaves every axis in its place, what used the result uses x.
Leaves    A first Transpose that is used elsewhere, unless both cancel out; a perm that is left
          out on an input of unknown rank.
Exact     exact.
Source    ONNX operator schema Transpose-13.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class MergeTransposes(Rule):
    """Transpose, Transpose -> Transpose or nothing."""

    roots = ("Transpose",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Transpose of a Transpose."""
        middle, result = node.input(0), node.output(0)
        first = middle.producer if middle is not None else None
        if middle is None or result is None or first is None:
            return No("its input does not come from a Transpose")
        if first.op_type != "Transpose" or not first.is_standard:
            return No("its input does not come from a Transpose")
        if first.graph is not graph:
            return No("the first Transpose lies outside the branch")
        x = first.input(0)
        p, q = _perm(first), _perm(node)
        if x is None or p is None or q is None:
            return No("the rank is not known")
        if len(p) != len(q):
            return No("the two perms are of different length")
        b = Builder(node, graph)
        perm = [p[axis] for axis in q]
        is_output = result.is_output or any(index < 0 for _, index in result.uses)
        elsewhere = middle.is_output or len(middle.uses) > 1
        if perm == sorted(perm) and not is_output:
            # the first is written again where something else needs it, so that the proof sees both
            kept = {middle.name: b.copy(first)[0]} if elsewhere else {}
            return b.site({result.name: x.name, **kept}, drop=(node, first))
        if elsewhere:
            return No("the first Transpose is used elsewhere")
        return b.site(b.copy(node, [x.name], perm=perm)[0], drop=(node, first))

    examples = (
        Example(
            """
            g (float[2,3,4] x) => (float[4,2,3] y) {
                h = Transpose<perm = [1, 0, 2]>(x)  y = Transpose<perm = [2, 1, 0]>(h)
            }
            """,
            after="g (float[2,3,4] x) => (float[4,2,3] y) { y = Transpose<perm = [2, 0, 1]>(x) }",
        ),
        Example(
            """
            g (float[N,3,4,5] x) => (float[N,3,4,5] y) {
                a = Transpose<perm = [0, 2, 3, 1]>(x)  b = Transpose<perm = [0, 3, 1, 2]>(a)
                y = Relu(b)
            }
            """,
            after="g (float[N,3,4,5] x) => (float[N,3,4,5] y) { y = Relu(x) }",
            opset=13,
        ),
        Example(
            """
            g (float[2,3] x) => (float[2,3] y, float[3,2] z) {
                a = Transpose(x)  b = Transpose<perm = [1, 0]>(a)  y = Relu(b)  z = Relu(a)
            }
            """,
            after="""
            g (float[2,3] x) => (float[2,3] y, float[3,2] z) {
                a = Transpose(x)  y = Relu(x)  z = Relu(a)
            }
            """,
        ),
        NearMiss(
            """
            g (float[2,3,4] x) => (float[4,2,3] y, float[3,2,4] z) {
                h = Transpose<perm = [1, 0, 2]>(x)  y = Transpose<perm = [2, 1, 0]>(h)
                z = Relu(h)
            }
            """,
            reason="the first Transpose is used elsewhere",
        ),
        NearMiss(
            "g (float[] x) => (float[] y) { h = Transpose(x)  y = Transpose(h) }",
            reason="the rank is not known",
        ),
        NearMiss(
            "g (float[2,3] x) => (float[3,2] y) { h = Relu(x)  y = Transpose<perm = [1, 0]>(h) }",
            reason="its input does not come from a Transpose",
        ),
    )


def _perm(node: Node) -> list[int] | None:
    written = node.attributes.get("perm")
    x = node.input(0)
    if written is not None and len(written.ints):
        perm = list(written.ints)
        return perm if sorted(perm) == list(range(len(perm))) else None
    if x is None or x.shape is None:
        return None
    return list(range(len(x.shape) - 1, -1, -1))
