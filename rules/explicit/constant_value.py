"""Store the number of a Constant as a tensor, because CANN reads the attribute value only.

Why       A Constant with value_int, value_floats or the like becomes an empty tensor.
Rewrites  value_int, value_ints -> int64; value_float, value_floats -> float32. The constant
          becomes an initializer.
Leaves    A Constant with value; strings; sparse_value, which is written out beforehand.
Exact     exact.
Source    ge: parser/parser/onnx/onnx_constant_parser.cc; ONNX operator schema Constant-13.
"""

import numpy as np

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site


class ConstantValue(Rule):
    """Constant with value_int, value_ints, value_float or value_floats -> tensor."""

    roots = ("Constant",)
    fixes = ("GF205",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a Constant that holds its numbers in anything but `value`."""
        if "value" in node.attributes:
            return No("its value is a tensor")
        if len(node.attributes) != 1 or node.output(0) is None:
            return No("it has not exactly one attribute and one output")
        ((name, attribute),) = node.attributes.items()
        array: np.ndarray | None = None
        if name == "value_int":
            array = np.array(attribute.i, np.int64)
        elif name == "value_ints":
            array = np.array(list(attribute.ints), np.int64)
        elif name == "value_float":
            array = np.array(attribute.f, np.float32)
        elif name == "value_floats":
            array = np.array(list(attribute.floats), np.float32)
        if array is None:
            return No(f"{name} is not a number or a list of numbers")
        b = Builder(node, graph)
        return b.site(b.constant(array))

    examples = (
        Example(
            "g (int64[2] x) => (int64[2] y) { c = Constant<value_int = 3>()  y = Add(x, c) }",
            after="g (int64[2] x) => (int64[2] y) <int64 c = {3}> { y = Add(x, c) }",
            opset=13,
        ),
        Example(
            "g (float[N,6] x) => (float[M,2,3] y) "
            "{ c = Constant<value_ints = [-1, 2, 3]>()  y = Reshape(x, c) }",
            after="g (float[N,6] x) => (float[M,2,3] y) <int64[3] c = {-1, 2, 3}> "
            "{ y = Reshape(x, c) }",
        ),
        Example(
            "g (float[2] x) => (float[2] y) "
            "{ c = Constant<value_float = 0.5>()  d = Constant<value_floats = [1.5, 2.0]>()"
            "  h = Mul(x, c)  y = Add(h, d) }",
            after=["Mul", "Add"],
            opset=18,
        ),
        NearMiss(
            "g (float[2] x) => (float[2] y) "
            "{ c = Constant<value = float[2] {1.0, 2.0}>()  y = Add(x, c) }",
            reason="its value is a tensor",
        ),
        NearMiss(
            'g (float[2] x) => (string y) { y = Constant<value_string = "a">() }',
            reason="value_string is not a number or a list of numbers",
        ),
    )
