"""Write MatMulInteger as MatMul in float32, because CANN registers it at no opset.

Why       The parser of ATC does not know MatMulInteger (E19010).
Rewrites  Cast to float32, Sub of the zero points, MatMul, Cast to int32. Sums that float32 does not
          hold exactly are cut along the inner axis into parts that it does, added as int32.
Leaves    An inner axis of unknown length; more than 64 parts; unknown types.
Exact     exact, as long as MatMul runs in float32: a precision mode that lowers it to float16
          rounds the sums.
Source    ONNX operator schema MatMulInteger-10; registrations of the ops-* plugins, August 2026.
"""

from graphfix_rules.decompose import _quantize as quantize

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class DecomposeMatMulInteger(Rule):
    """MatMulInteger -> Cast, Sub, MatMul, Cast."""

    roots = ("MatMulInteger",)
    fixes = ("GF101",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire where the inner axis is known and its sums can be made exact."""
        b = Builder(node, graph)
        parts = quantize.exact_products(b, (0, 1), (2, 3))
        if isinstance(parts, No):
            return parts
        return b.site(quantize.joined(b, parts))

    examples = (
        Example(
            "g (uint8[4,3] a, uint8[3,2] b) => (int32[4,2] y) <uint8 z = {12}>"
            " { y = MatMulInteger(a, b, z) }",
            after=["Cast", "Cast", "Sub", "Cast", "MatMul", "Cast"],
            opset=13,
        ),
        Example(
            "g (int8[N,4,300] a, uint8[300,2] b, uint8[2] z) => (int32[N,4,2] y)"
            " { y = MatMulInteger(a, b, , z) }",
            after=["Cast", "Cast", "Cast", "Sub", "MatMul", "Cast"],
        ),
        NearMiss(
            "g (uint8[4,0] a, uint8[0,2] b) => (int32[4,2] y) { y = MatMulInteger(a, b) }",
            reason="the sum has no products",
        ),
        NearMiss(
            "g (uint8[4,K] a, uint8[K,2] b) => (int32[4,2] y) { y = MatMulInteger(a, b) }",
            reason="the length of the inner axis is not known",
        ),
        NearMiss(
            "g (uint8[1,20000] a, uint8[20000,1] b) => (int32[1,1] y) { y = MatMulInteger(a, b) }",
            reason="needs more than 64 exact parts",
        ),
    )
