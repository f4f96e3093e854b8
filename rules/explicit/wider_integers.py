"""Compute with a wider integer type, where no kernel takes the one that the model has.

Why       CANN has no kernel of these operators for some of the integer types that ONNX allows:
          int16 or uint32 for Max and Mod, uint8 for BitwiseAnd or MaxPool.
Rewrites  8 and 16 bits: Cast to int32 (MaxPool: float32), the operator, Cast back; uint32: the
          same with int64. The results lie in the range of the narrow type.
Leaves    uint64, which no wider type holds; signed division and whatever can overflow; MaxPool
          with Indices; types that a kernel takes, as the gate sees.
Exact     exact.
Source    Kernel tables of CANN 8.1.RC1; ONNX operator schemas Max-13, Mod-13, BitwiseAnd-18,
          Equal-13, MaxPool-12.
"""

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

_WIDER = {
    "bool": "int32",
    "int8": "int32",
    "uint8": "int32",
    "int16": "int32",
    "uint16": "int32",
    "uint32": "int64",
}
_COMPARE = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")


class WiderIntegers(Rule):
    """An operator over narrow integers -> the same over wider ones."""

    roots = (
        "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Max", "MaxPool", "Min", "Mod", *_COMPARE,
    )  # fmt: skip
    fixes = ("Max/type", "GF303")

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on inputs that all have one integer type that a wider one holds."""
        types = {v.dtype if v is not None else None for v in node.values}
        if len(types) != 1 or None in types:
            return No("the element type is not known")
        dtype = str(types.pop())
        if dtype not in _WIDER:
            return No(f"no wider type holds all of {dtype}")
        if dtype == "bool" and node.op_type != "Equal":
            return No("bool is no number here")
        if node.op_type == "Div" and not dtype.startswith("u"):
            return No("a signed quotient can overflow")
        wide = _WIDER[dtype]
        if node.op_type == "MaxPool":
            if len([name for name in node.outputs if name]) > 1:
                return No("Indices are asked for")
            if dtype not in ("int8", "uint8"):
                return No("MaxPool takes no such integers")
            wide = "float32"
        b = Builder(node, graph)
        inputs = [b.cast(name, wide) for name in node.inputs]
        y = b.copy(node, inputs)[0]
        return b.site(y if node.op_type in _COMPARE else b.cast(y, dtype))

    examples = (
        Example(
            "g (int16[2,3] x, int16[3] y) => (int16[2,3] z) { z = Max(x, y) }",
            after=["Cast", "Cast", "Max", "Cast"],
            opset=13,
        ),
        Example(
            "g (uint32[N,3] x) => (uint32[N,3] z) <uint32 c = {7}> { z = Mod(x, c) }",
            after=["Cast", "Cast", "Mod", "Cast"],
        ),
        Example(
            "g (uint8[1,2,4,4] x) => (uint8[1,2,3,3] z) { z = MaxPool<kernel_shape = [2, 2]>(x) }",
            after=["Cast", "MaxPool", "Cast"],
        ),
        Example(
            "g (uint16[2,3] x, uint16[2,3] y) => (bool[2,3] z) { z = Equal(x, y) }",
            after=["Cast", "Cast", "Equal"],
            opset=13,
        ),
        Example(
            "g (uint8[2,3] x, uint8[2,3] y) => (uint8[2,3] z) { z = BitwiseXor(x, y) }",
            after=["Cast", "Cast", "BitwiseXor", "Cast"],
            opset=18,
        ),
        NearMiss(
            "g (uint64[2,3] x, uint64[2,3] y) => (uint64[2,3] z) { z = Max(x, y) }",
            reason="no wider type holds all of uint64",
            opset=13,
        ),
        NearMiss(
            "g (int8[2,3] x, int8[2,3] y) => (int8[2,3] z) { z = Max(x, y) }",
            reason="it would not lower the potential",
            opset=13,
        ),
        NearMiss(
            "g (uint8[1,1,4,4] x) => (uint8[1,1,3,3] z, int64[1,1,3,3] i)"
            " { z, i = MaxPool<kernel_shape = [2, 2]>(x) }",
            reason="Indices are asked for",
        ),
    )
