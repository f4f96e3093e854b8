"""Write the permutation of Transpose out, because CANN wants perm.

Why       ONNX reverses the axes when perm is left out; the plugin refuses such a node (EZ9999).
Rewrites  Transpose(x) -> Transpose<perm = [n-1, ..., 0]>(x).
Leaves    Inputs of unknown rank and scalars; a Transpose that has its perm.
Exact     exact.
Source    ops-math conversion/transpose/framework/transpose_onnx_plugin.cpp, August 2026.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class TransposePerm(Rule):
    """Transpose without perm -> with perm."""

    roots = ("Transpose",)
    fixes = ("Transpose/perm",)
    is_local = True

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Transpose without perm whose rank is known."""
        x = node.input(0)
        if "perm" in node.attributes and len(node.attributes["perm"].ints):
            return No("perm is written out")
        if x is None or x.shape is None:
            return No("the rank is not known")
        if not x.shape:
            return No("a scalar has no axes")
        b = Builder(node, graph)
        return b.site(b.copy(node, perm=list(range(len(x.shape) - 1, -1, -1)))[0])

    examples = (
        Example(
            "g (float[2,3] x) => (float[3,2] y) { y = Transpose(x) }",
            after="g (float[2,3] x) => (float[3,2] y) { y = Transpose<perm = [1, 0]>(x) }",
        ),
        NearMiss(
            "g (float[2,3] x) => (float[3,2] y) { y = Transpose<perm = [1, 0]>(x) }",
            reason="perm is written out",
        ),
        NearMiss(
            "g (float[] x) => (float[] y) { y = Transpose(x) }",
            reason="the rank is not known",
        ),
    )
