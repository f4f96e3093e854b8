"""Constant propagation through shape arithmetic.

Computes the small tensors that follow from constants and static shapes alone, as GE folds them
before it looks for kernels. Only operators whose numpy form is beyond doubt are here; a value that
cannot be computed stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from graphfix.graph import dtypes
from graphfix.graph.index import Graph
from graphfix.graph.node import Node
from graphfix.graph.tensors import SMALL_ELEMENTS, small_array

Array = np.ndarray
_Compute = Callable[[Node, list[Array | None]], Any]


def propagate(graph: Graph) -> None:
    """Set `known` and `is_folded` of the values of `graph` and its subgraphs that follow.

    A value is folded when it follows from constants and static shapes alone; its array is known
    when it is small and its operator is one of those that can be computed here.
    """
    for node in graph.ordered():
        if node.subgraphs:
            for _, subgraph in node.subgraphs:
                propagate(subgraph)
        else:
            propagate_node(node)


def propagate_node(node: Node) -> None:
    """Set `known` and `is_folded` of the results of one node without subgraphs."""
    op_type = node.op_type
    if op_type not in _FROM_SHAPE:
        constant = bool(node.inputs)
        for value in node.values:
            if value is not None and value.constant is None and not value.is_folded:
                constant = False
                break
        if not constant or op_type.startswith("Random"):
            return
        for index in range(len(node.outputs)):
            output = node.output(index)
            if output is not None:
                output.is_folded = True
    compute = _COMPUTE.get(op_type)
    output = node.output(0)
    if compute is None or output is None or not node.is_standard or output.known is not None:
        return
    result = _try(compute, node)
    if result is not None and result.size <= SMALL_ELEMENTS:
        output.known = result
        output.is_folded = True
        output.shape = tuple(int(d) for d in result.shape)


# computed from a shape, or from attributes, not from the values of inputs
_FROM_SHAPE = frozenset({"Shape", "Size", "Constant"})


def constant_node(name: str, array: Array) -> onnx.NodeProto:
    """Return a Constant node that gives `array` under `name`."""
    node = onnx.NodeProto(op_type="Constant", output=[name])
    tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=tensor)
    return node


def _try(compute: _Compute, node: Node) -> Array | None:
    inputs: list[Array | None] = []
    if node.op_type not in ("Shape", "Size"):
        for position, name in enumerate(node.inputs):
            value = node.input(position)
            if name and (value is None or value.known is None):
                return None
            inputs.append(value.known if value is not None else None)
    try:
        with np.errstate(all="ignore"):
            result = compute(node, inputs)
        return None if result is None else np.asarray(result)
    except (
        ValueError,
        IndexError,
        TypeError,
        KeyError,
        ZeroDivisionError,
        OverflowError,
        MemoryError,
    ):
        return None


def _attribute(node: Node, name: str, default: Any = None) -> Any:
    attribute = node.attributes.get(name)
    return default if attribute is None else onnx.helper.get_attribute_value(attribute)


def _shape(node: Node, _: list[Array | None]) -> Array | None:
    value = node.input(0)
    if value is None or value.shape is None or any(not isinstance(d, int) for d in value.shape):
        return None
    start = _attribute(node, "start", 0)
    end = _attribute(node, "end", len(value.shape))
    return np.array(value.shape[start:end], np.int64)


def _size(node: Node, _: list[Array | None]) -> Array | None:
    dims = _shape(node, [])
    return None if dims is None else np.array(np.prod(dims, dtype=np.int64), np.int64)


def _axes(node: Node, inputs: list[Array | None]) -> tuple[int, ...] | None:
    axes = _attribute(node, "axes")
    if axes is None and len(inputs) > 1 and inputs[1] is not None:
        axes = inputs[1].tolist()
    return None if axes is None else tuple(int(a) for a in axes)


def _unsqueeze(node: Node, inputs: list[Array | None]) -> Array:
    data, axes = _need(inputs[0]), _axes(node, inputs)
    if axes is None:
        raise ValueError("axes")
    rank = data.ndim + len(axes)
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError("axis out of range")
    for axis in sorted(a % rank for a in axes):
        data = np.expand_dims(data, axis)
    return data


def _squeeze(node: Node, inputs: list[Array | None]) -> Array:
    return np.squeeze(_need(inputs[0]), _axes(node, inputs))


def _slice(node: Node, inputs: list[Array | None]) -> Array:
    data = _need(inputs[0])
    if len(inputs) > 1:
        starts, ends = _need(inputs[1]).tolist(), _need(inputs[2]).tolist()
        axes = inputs[3].tolist() if len(inputs) > 3 and inputs[3] is not None else None
        steps = inputs[4].tolist() if len(inputs) > 4 and inputs[4] is not None else None
    else:
        starts, ends = _attribute(node, "starts"), _attribute(node, "ends")
        axes, steps = _attribute(node, "axes"), None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = data.shape[axis]
        if step < 0:
            # ONNX clamps the start to the first element; an end below -size includes it
            start = max(start, -size)
            end = None if end < -size else end
        index[axis] = slice(start, end, step)
    return np.asarray(data[tuple(index)])


def _reshape(node: Node, inputs: list[Array | None]) -> Array:
    data, dims = _need(inputs[0]), _need(inputs[1]).tolist()
    if not _attribute(node, "allowzero", 0):
        dims = [data.shape[i] if d == 0 else d for i, d in enumerate(dims)]
    return np.asarray(data.reshape(dims))


def _cast(node: Node, inputs: list[Array | None]) -> Array | None:
    dtype = dtypes.numpy_dtype(_attribute(node, "to", 0))
    data = _need(inputs[0])
    if dtype is None or data.dtype.kind not in "biuf":
        return None
    return data.astype(dtype)


def _div(_: Node, inputs: list[Array | None]) -> Array:
    a, b = _need(inputs[0]), _need(inputs[1])
    if a.dtype.kind in "iu":
        if not np.all(b):
            raise ValueError("division by zero")
        floor = a // b
        # ONNX truncates: one more where the floor lies below a negative quotient
        short = (floor * b != a) & ((a < 0) != (b < 0))
        return np.asarray((floor + short).astype(a.dtype))
    return np.asarray(np.divide(a, b).astype(a.dtype))


def _mod(node: Node, inputs: list[Array | None]) -> Array:
    a, b = _need(inputs[0]), _need(inputs[1])
    if a.dtype.kind in "iu" and not np.all(b):
        raise ValueError("division by zero")
    return np.asarray(np.fmod(a, b) if _attribute(node, "fmod", 0) else np.mod(a, b))


def _gather(node: Node, inputs: list[Array | None]) -> Array:
    return np.take(_need(inputs[0]), _need(inputs[1]), axis=_attribute(node, "axis", 0))


def _concat(node: Node, inputs: list[Array | None]) -> Array:
    return np.concatenate([_need(i) for i in inputs], axis=_attribute(node, "axis", 1))


def _constant_of_shape(node: Node, inputs: list[Array | None]) -> Array | None:
    dims = _need(inputs[0]).tolist()
    if any(d < 0 for d in dims) or int(np.prod(dims, dtype=np.int64)) > SMALL_ELEMENTS:
        return None
    tensor = node.attributes.get("value")
    fill = small_array(tensor.t) if tensor is not None else np.zeros(1, np.float32)
    return None if fill is None else np.full(dims, fill.reshape(-1)[0], fill.dtype)


def _expand(_: Node, inputs: list[Array | None]) -> Array | None:
    data, dims = _need(inputs[0]), _need(inputs[1]).tolist()
    shape = np.broadcast_shapes(data.shape, tuple(dims))
    return np.broadcast_to(data, shape) if np.prod(shape) <= SMALL_ELEMENTS else None


def _range(_: Node, inputs: list[Array | None]) -> Array | None:
    start, limit, delta = (_need(i).item() for i in inputs)
    if delta == 0 or abs((limit - start) / delta) > SMALL_ELEMENTS:
        return None
    return np.arange(start, limit, delta, dtype=_need(inputs[0]).dtype)


def _reduce(function: Callable[..., Any]) -> _Compute:
    def compute(node: Node, inputs: list[Array | None]) -> Array:
        data, axes = _need(inputs[0]), _axes(node, inputs)
        if not axes:
            if _attribute(node, "noop_with_empty_axes", 0):
                return data
            axes = None
        keep = bool(_attribute(node, "keepdims", 1))
        return np.asarray(function(data, axis=axes, keepdims=keep)).astype(data.dtype)

    return compute


def _constant(node: Node, _: list[Array | None]) -> Array | None:
    for name, dtype in (
        ("value_int", np.int64),
        ("value_ints", np.int64),
        ("value_float", np.float32),
        ("value_floats", np.float32),
    ):
        if name in node.attributes:
            return np.array(_attribute(node, name), dtype)
    return None


def _transpose(node: Node, inputs: list[Array | None]) -> Array:
    return np.transpose(_need(inputs[0]), _attribute(node, "perm"))


def _tile(_: Node, inputs: list[Array | None]) -> Array | None:
    data, repeats = _need(inputs[0]), _need(inputs[1])
    if data.size * int(np.prod(repeats)) > SMALL_ELEMENTS:
        return None
    return np.tile(data, repeats.tolist())


def _need(array: Array | None) -> Array:
    if array is None:
        raise ValueError("a required input is missing")
    return array


def _elementwise(function: Callable[..., Any]) -> _Compute:
    def compute(_: Node, inputs: list[Array | None]) -> Any:
        arrays = [_need(i) for i in inputs]
        result = np.asarray(function(*arrays))
        return result if result.dtype == bool else result.astype(arrays[-1].dtype)

    return compute


def _variadic(function: np.ufunc) -> _Compute:
    def compute(_: Node, inputs: list[Array | None]) -> Array:
        result = _need(inputs[0])
        for other in inputs[1:]:
            result = function(result, _need(other))
        return result

    return compute


_COMPUTE: dict[str, _Compute] = {
    "Constant": _constant,
    "Shape": _shape,
    "Size": _size,
    "Identity": _elementwise(lambda a: a),
    "Cast": _cast,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _div,
    "Mod": _mod,
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Floor": _elementwise(np.floor),
    "Ceil": _elementwise(np.ceil),
    "Sqrt": _elementwise(np.sqrt),
    "Min": _variadic(np.minimum),
    "Max": _variadic(np.maximum),
    "Equal": _elementwise(np.equal),
    "Greater": _elementwise(np.greater),
    "Less": _elementwise(np.less),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "LessOrEqual": _elementwise(np.less_equal),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "Not": _elementwise(np.logical_not),
    "Where": _elementwise(np.where),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
}
