"""Shapes and signs of values."""

from __future__ import annotations

from graphfix.graph import Node, Value
from graphfix.support.conditions import NodeView


def broadcast_needed(view: NodeView) -> bool:
    """The known shapes of the inputs differ."""
    shapes = set()
    for position in range(len(view.node.inputs)):
        value = view.node.input(position)
        if value is None or value.shape is None:
            return False
        if any(not isinstance(d, int) for d in value.shape):
            return False
        shapes.add(value.shape)
    return len(shapes) > 1


def softmax_flattens(view: NodeView) -> bool:
    """The rank is known and a dim behind the axis is not 1; a dynamic dim counts as such.

    Then the rule of opsets below 13, which flattens to 2-D at the axis, differs from one axis.
    """
    value, axis = view.node.input(0), view.attribute("axis")
    if value is None or value.shape is None or not isinstance(axis, int):
        return False
    rank = len(value.shape)
    if not -rank <= axis < rank:
        return False
    return any(dim != 1 for dim in value.shape[axis % rank + 1 :])


def eyelike_diagonal_length(view: NodeView) -> bool:
    """rows + k is not the length of the diagonal."""
    k, value = view.attribute("k"), view.node.input(0)
    if not isinstance(k, int):
        return False
    if k > 0:
        return True
    if value is None or value.shape is None or len(value.shape) != 2:
        return False
    rows, columns = value.shape
    if not isinstance(rows, int) or not isinstance(columns, int):
        return False
    return rows + k != max(0, min(rows + k, columns))


def negative_quotient_possible(view: NodeView) -> bool:
    """Not both operands can be shown to be non-negative; the unknown keeps the risk open."""
    return not all(_non_negative(view.node.input(i), 8) for i in (0, 1))


_KEEP_SIGN = {
    "Gather",
    "Slice",
    "Concat",
    "Squeeze",
    "Unsqueeze",
    "Cast",
    "Add",
    "Mul",
    "Div",
    "Identity",
    "Reshape",
    "ReduceProd",
    "ReduceSum",
    "Min",
    "Max",
}


def _non_negative(value: Value | None, depth: int) -> bool:
    if value is None or depth == 0:
        return False
    if value.known is not None:
        return value.known.dtype.kind in "biuf" and bool((value.known >= 0).all())
    node: Node | None = value.producer
    if node is None:
        return value.dtype is not None and value.dtype.startswith("uint")
    if node.op_type in ("Shape", "Size", "Abs", "NonZero"):
        return True
    if node.op_type not in _KEEP_SIGN:
        return False
    positions = range(len(node.inputs))
    if node.op_type in (
        "Gather",
        "Slice",
        "Squeeze",
        "Unsqueeze",
        "Reshape",
        "ReduceProd",
        "ReduceSum",
    ):
        positions = range(1)
    return all(_non_negative(node.input(i), depth - 1) for i in positions)


PREDICATES = (
    broadcast_needed, softmax_flattens, eyelike_diagonal_length, negative_quotient_possible,
)  # fmt: skip
