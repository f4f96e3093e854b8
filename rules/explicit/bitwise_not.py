"""Write BitwiseNot as a subtraction, where no kernel takes its integers.

Why       CANN's Invert has kernels for int16 and uint16 only.
Rewrites  Signed integers: -1 - x. uint8 and uint16: the largest value - x as int32; uint32: the
          same as int64; each with a Cast before and back.
Leaves    uint64, whose largest value no kernel subtracts from; types that a kernel takes, as the
          gate sees.
Exact     exact: no difference leaves the range of the type.
Source    Kernel tables of CANN 8.1.RC1; ONNX operator schema BitwiseNot-18.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_SIGNED = {"int8": "int32", "int16": "int32", "int32": "int32", "int64": "int64"}
_UNSIGNED = {"uint8": ("int32", 2**8), "uint16": ("int32", 2**16), "uint32": ("int64", 2**32)}


class BitwiseNot(Rule):
    """BitwiseNot -> Sub."""

    roots = ("BitwiseNot",)
    fixes = ("GF303",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on every integer type but uint64."""
        x = node.input(0)
        if x is None or x.dtype is None:
            return No("the element type is not known")
        if x.dtype in _SIGNED:
            wide, count = _SIGNED[x.dtype], 0
        elif x.dtype in _UNSIGNED:
            wide, count = _UNSIGNED[x.dtype]
        else:
            return No(f"no kernel subtracts {x.dtype}")
        b = Builder(node, graph)
        source = x.name if wide == x.dtype else b.cast(x.name, wide)
        y = b.op("Sub", b.scalar(count - 1, wide), source)
        return b.site(y if wide == x.dtype else b.cast(y, x.dtype))

    examples = (
        Example(
            "g (int32[2,3] x) => (int32[2,3] y) { y = BitwiseNot(x) }",
            after="g (int32[2,3] x) => (int32[2,3] y) <int32 c = {-1}> { y = Sub(c, x) }",
            opset=18,
        ),
        Example(
            "g (uint8[N,3] x) => (uint8[N,3] y) { y = BitwiseNot(x) }",
            after="g (uint8[N,3] x) => (uint8[N,3] y) <int32 c = {255}>"
            " { h = Cast<to = 6>(x) i = Sub(c, h) y = Cast<to = 2>(i) }",
            opset=18,
        ),
        NearMiss(
            "g (uint64[2,3] x) => (uint64[2,3] y) { y = BitwiseNot(x) }",
            reason="no kernel subtracts uint64",
            opset=18,
        ),
        NearMiss(
            "g (int16[2,3] x) => (int16[2,3] y) { y = BitwiseNot(x) }",
            reason="it would not lower the potential",
            opset=18,
        ),
    )
