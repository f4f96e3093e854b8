"""Write a one-sided IsInf as IsInf and a comparison, because CANN looks for both infinities.

Why       The plugin refuses detect_negative 0 and detect_positive 0 (EZ9999).
Rewrites  only positive: And(IsInf(x), x > 0); only negative: And(IsInf(x), x < 0); neither: x < x,
          which never holds; from opset 20 down, half types are cast to float32 first.
Leaves    An IsInf that looks for both; unknown types.
Exact     exact.
Source    ops-math math/is_inf/framework/isinf_onnx_plugin.cpp, August 2026; ONNX operator schema
          IsInf-10.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class IsInfOneSided(Rule):
    """IsInf of one sign -> IsInf And comparison."""

    roots = ("IsInf",)
    fixes = ("IsInf/one-sided",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on an IsInf that leaves out a sign."""
        negative, positive = (
            node.attributes[name].i != 0 if name in node.attributes else True
            for name in ("detect_negative", "detect_positive")
        )
        if negative and positive:
            return No("it looks for both signs")
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        b = Builder(node, graph)
        source = x.name
        if x.dtype in ("float16", "bfloat16") and b.opset < 20:
            source = b.cast(source, "float32")
        elif x.dtype not in ("float16", "bfloat16", "float32", "double"):
            return No(f"{x.dtype} cannot be infinite or is not comparable")
        if not negative and not positive:
            return b.site(b.op("Less", source, source))
        zero = b.scalar(0.0, x if source == x.name else "float32")
        sided = b.op("Greater" if positive else "Less", source, zero)
        return b.site(b.op("And", b.op("IsInf", source), sided))

    examples = (
        Example(
            "g (float[2,3] x) => (bool[2,3] y) { y = IsInf<detect_negative = 0>(x) }",
            after="g (float[2,3] x) => (bool[2,3] y) <float z = {0.0}>"
            " { s = Greater(x, z) i = IsInf(x) y = And(i, s) }",
        ),
        Example(
            "g (float[N,3] x) => (bool[N,3] y) { y = IsInf<detect_positive = 0>(x) }",
            after=["Less", "IsInf", "And"],
            opset=11,
        ),
        Example(
            "g (float[3] x) => (bool[3] y)"
            " { y = IsInf<detect_negative = 0, detect_positive = 0>(x) }",
            after="g (float[3] x) => (bool[3] y) { y = Less(x, x) }",
        ),
        NearMiss(
            "g (float[2] x) => (bool[2] y) { y = IsInf<detect_negative = 1>(x) }",
            reason="it looks for both signs",
        ),
        NearMiss(
            "g (float[2] x) => (bool[2] y) { h = UnknownOp(x) y = IsInf<detect_negative = 0>(h) }",
            reason="the element type is not known",
        ),
    )
