"""Write ConvInteger as Conv in float32, because CANN registers it at no opset.

Why       The parser of ATC does not know ConvInteger (E19010).
Rewrites  Cast to float32, Sub of the zero points, Conv, Cast to int32. Sums that float32 does not
          hold exactly are cut along the channels into parts that it does, added as int32.
Leaves    Weights of unknown shape; groups whose sums are too large; more than 64 parts.
Exact     exact, as long as Conv runs in float32: a precision mode that lowers it to float16 rounds
          the sums.
Source    ONNX operator schema ConvInteger-10; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# the operators of the examples below, in topological order
_EXAMPLE_2 = [
    "Cast", "Cast", "Sub", "Cast", "Cast", "Sub", "Split", "Split", "Conv", "Conv", "Cast", "Cast",
    "Add",
]  # fmt: skip


class DecomposeConvInteger(Rule):
    """ConvInteger -> Cast, Sub, Conv, Cast."""

    roots = ("ConvInteger",)
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the shape of the weight is known and the sums can be made exact."""
        b = Builder(node, graph)
        parts = quantize.exact_convolutions(b, (0, 1), (2, 3))
        if isinstance(parts, No):
            return parts
        return b.site(quantize.joined(b, parts))

    examples = (
        Example(
            "g (uint8[1,1,3,3] x, uint8[1,1,2,2] w) => (int32[1,1,4,4] y) <uint8 z = {1}>"
            " { y = ConvInteger<pads = [1, 1, 1, 1]>(x, w, z) }",
            after=["Cast", "Cast", "Sub", "Cast", "Conv", "Cast"],
            opset=13,
        ),
        Example(
            "g (uint8[N,40,5,5] x, uint8[2,40,3,3] w) => (int32[N,2,3,3] y)"
            " <uint8 z = {1}, uint8 q = {3}> { y = ConvInteger(x, w, z, q) }",
            after=_EXAMPLE_2,
        ),
        NearMiss(
            "g (uint8[1,1,3,3] x, uint8[M,1,K,2] w) => (int32[1,M,P,2] y)"
            " { y = ConvInteger(x, w) }",
            reason="the shape of the weight is not known",
        ),
        NearMiss(
            "g (uint8[1,80,5,5] x, uint8[2,40,3,3] w) => (int32[1,2,3,3] y)"
            " { y = ConvInteger<group = 2>(x, w) }",
            reason="the sums of a group are beyond what float32 holds",
        ),
    )
