"""Store the fill value of ConstantOfShape as raw data, because CANN reads few typed fields.

Why       The plugin reads value from raw_data, or from the typed fields of float32, double, int32
          and int64; a bool, float16 or int8 in its typed field is lost, and the fill is undefined.
Rewrites  value in a typed field -> the same value as raw_data.
Leaves    Values that CANN reads, strings, and data outside the file.
Exact     exact.
Source    ops-nn common/src/framework/constantofshape_onnx_plugin.cpp, August 2026.
"""

import onnx
import onnx.numpy_helper

from graphfix.graph import Graph, Node
from graphfix.rewrite import Builder, Example, NearMiss, No, Rule, Site

# element types whose typed fields the plugin reads
_READ = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.DOUBLE,
)


class ConstantOfShapeValue(Rule):
    """ConstantOfShape with its value in a typed field -> in raw_data."""

    roots = ("ConstantOfShape",)
    fixes = ("ConstantOfShape/typed-value",)

    def match(self, node: Node, graph: Graph) -> Site | No:
        """Fire on a value of one element in a field that the plugin does not read."""
        attribute = node.attributes.get("value")
        if attribute is None or not attribute.HasField("t"):
            return No("it fills with float zero")
        tensor = attribute.t
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            return No("the value lies outside the file")
        if tensor.HasField("raw_data"):
            return No("the value is raw data")
        if tensor.data_type in _READ:
            return No("CANN reads the typed field of this type")
        if tensor.data_type == onnx.TensorProto.STRING:
            return No("a string has no raw data")
        try:
            array = onnx.numpy_helper.to_array(tensor)
            raw = onnx.numpy_helper.from_array(array, tensor.name)
        except (ValueError, TypeError, KeyError):
            return No("the value cannot be read")
        if array.size != 1 or raw.data_type != tensor.data_type:
            return No("the value is not one element")
        b = Builder(node, graph)
        return b.site(b.copy(node, value=raw)[0])

    examples = (
        Example(
            "g (int64[2] s) => (float16[M,N] y) "
            "{ y = ConstantOfShape<value = float16[1] {15872}>(s) }",
            after=["ConstantOfShape"],
        ),
        Example(
            "g (bool[2,3] x) => (bool[2,3] y) <int64[2] s = {2, 3}> "
            "{ h = ConstantOfShape<value = bool[1] {1}>(s)  y = And(x, h) }",
            after=["ConstantOfShape", "And"],
            opset=13,
        ),
        Example(
            "g (int64[2] s) => (int8[M,N] y) { y = ConstantOfShape<value = int8[1] {-3}>(s) }",
            after=["ConstantOfShape"],
            opset=11,
        ),
        NearMiss(
            "g (int64[2] s) => (float[M,N] y) { y = ConstantOfShape(s) }",
            reason="it fills with float zero",
        ),
        NearMiss(
            "g (int64[2] s) => (int64[M,N] y) { y = ConstantOfShape<value = int64[1] {3}>(s) }",
            reason="CANN reads the typed field of this type",
        ),
    )
