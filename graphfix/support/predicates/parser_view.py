"""What the parser of GE can see: the shapes that the file states, never inferred ones."""

from __future__ import annotations

from graphfix.graph import Node, Value
from graphfix.support.conditions import NodeView


def declared_shape(value: Value | None) -> tuple[int | None, ...] | None:
    """Return the shape that the file states for a graph input or initializer, None for others."""
    if value is None or value.name in value.graph.model.inner_inputs:
        return None
    if value.name in value.graph.initializers:
        return tuple(value.graph.initializers[value.name].dims)
    if value.is_input:
        for info in value.graph.proto.input:
            if info.name == value.name and info.type.tensor_type.HasField("shape"):
                return tuple(
                    d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
                    for d in info.type.tensor_type.shape.dim
                )
    return None


def split_rank_unseen(view: NodeView) -> bool:
    """Input 0 is neither an initializer nor a graph input with a stated, non-scalar shape."""
    return not declared_shape(view.node.input(0))


def _split_dim(view: NodeView) -> tuple[bool, int | None]:
    """Return (the axis lies within the stated rank, the dim there)."""
    shape, axis = declared_shape(view.node.input(0)), view.attribute("axis")
    if shape is None or not isinstance(axis, int) or not 0 <= axis < len(shape):
        return False, None
    return True, shape[axis]


def split_dim_unknown(view: NodeView) -> bool:
    """The stated shape has no number at the axis."""
    within, dim = _split_dim(view)
    return within and dim is None


def split_uneven(view: NodeView) -> bool:
    """The stated dim at the axis is no multiple of num_outputs."""
    count, (_, dim) = view.attribute("num_outputs"), _split_dim(view)
    return isinstance(count, int) and count > 0 and dim is not None and dim % count != 0


def split_count_differs(view: NodeView) -> bool:
    """The attribute split has another length than there are outputs."""
    sizes = view.attribute("split")
    return isinstance(sizes, (list, tuple)) and len(sizes) != len(view.node.outputs)


def split_num_outputs_differs(view: NodeView) -> bool:
    """The attribute num_outputs is not the number of outputs."""
    count = view.attribute("num_outputs")
    return isinstance(count, int) and count != len(view.node.outputs)


def first_input_stored(view: NodeView) -> bool:
    """Input 0 is a graph input or an initializer; of an inner tensor the parser knows no type."""
    value = view.node.input(0)
    if value is None or value.name in value.graph.model.inner_inputs:
        return False
    return value.is_input or value.name in value.graph.initializers


def input0_shape_unknown_to_parser(view: NodeView) -> bool:
    """Input 0 comes out of a node other than Constant, or is an input without a stated rank."""
    value = view.node.input(0)
    if value is None:
        return False
    if value.name in value.graph.model.inner_inputs:
        return True
    if value.producer is not None:
        return value.producer.op_type != "Constant"
    return declared_shape(value) is None


def leaves_graph(view: NodeView) -> bool:
    """Output 0 is an output of the main graph."""
    value = view.node.output(0)
    return value is not None and value.is_output and view.node.graph.parent is None


def attribute_unknown_to_schema(view: NodeView) -> bool:
    """The node carries an attribute that ONNX's schema does not have at this opset."""
    return any(not view.declares(name) for name in view.node.attributes)


def constant_of_shape_value_lost(view: NodeView) -> bool:
    """`value` is stored in a typed field that the plugin does not read, or outside the file."""
    attribute = view.node.attributes.get("value")
    if attribute is None or not attribute.HasField("t") or attribute.t.raw_data:
        return False
    field = {1: "float_data", 6: "int32_data", 7: "int64_data", 11: "double_data"}.get(
        attribute.t.data_type
    )
    return field is None or not len(getattr(attribute.t, field))


def int8_conv_scales_missing(view: NodeView) -> bool:
    """Fewer than three attributes beside Y_scale have `scale` in their name."""
    return sum("scale" in name and name != "Y_scale" for name in view.node.attributes) < 3


def conv_transpose_auto_pad_leaks(view: NodeView) -> bool:
    """An earlier ConvTranspose has output_shape, and none up to this one writes auto_pad.

    The plugin keeps the flag for the whole process: every later node without auto_pad gets it.
    """
    triggered = False
    for node in _conv_transposes(view.node):
        if "auto_pad" in node.attributes:
            triggered = False
        elif node is not view.node and "output_shape" in node.attributes:
            triggered = True
        if node is view.node:
            return triggered and "auto_pad" not in node.attributes
    return False


def _conv_transposes(node: Node) -> list[Node]:
    root = node.graph
    while root.parent is not None:
        root = root.parent
    return [n for n in root.walk() if n.op_type == "ConvTranspose"]


PREDICATES = (
    split_rank_unseen, split_dim_unknown, split_uneven, split_count_differs,
    split_num_outputs_differs, first_input_stored, input0_shape_unknown_to_parser, leaves_graph,
    attribute_unknown_to_schema, constant_of_shape_value_lost, int8_conv_scales_missing,
    conv_transpose_auto_pad_leaks,
)  # fmt: skip
