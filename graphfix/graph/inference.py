"""Shapes and dtypes without weights.

ONNX's C++ inference does the work, on a copy without the weights when they are large. What it
cannot see through (Where, Range, ConstantOfShape and other shape arithmetic) `propagation`
computes; then the inference runs again with those values as constants, as long as that tells
something new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx
import onnx.shape_inference

from graphfix.errors import UsageError, nearest
from graphfix.graph.index import Graph
from graphfix.graph.model import Model
from graphfix.graph.node import Node
from graphfix.graph.propagation import constant_node, propagate
from graphfix.graph.tensors import byte_size, is_external
from graphfix.graph.value import Shape, Value, declared_shape
from graphfix.graph.writing import node_proto

# a model with more bytes than this (or more per node) is copied without its weights for the C++
# inference, which serializes what it gets twice
_HEAVY_BYTES = 1 << 22
_HEAVY_BYTES_PER_NODE = 1024
_MAX_ROUNDS = 6
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_MANY_ELEMENTS = 1 << 16

# inputs by position whose values decide output shapes
SHAPE_INPUTS: dict[str, tuple[int, ...]] = {
    "Reshape": (1,), "Expand": (1,), "ConstantOfShape": (0,), "Tile": (1,), "Pad": (1, 3),
    "Slice": (1, 2, 3, 4), "Resize": (2, 3), "Upsample": (1,), "Range": (0, 1, 2),
    "Squeeze": (1,), "Unsqueeze": (1,), "Split": (1,), "TopK": (1,), "OneHot": (1,),
    "ReduceSum": (1,), "ReduceMean": (1,), "ReduceMax": (1,), "ReduceMin": (1,),
    "ReduceProd": (1,), "ReduceL1": (1,), "ReduceL2": (1,), "ReduceLogSum": (1,),
    "ReduceLogSumExp": (1,), "ReduceSumSquare": (1,), "CenterCropPad": (1,), "AffineGrid": (1,),
}  # fmt: skip


def infer(model: Model, shapes: Mapping[str, tuple[int, ...]] | None = None) -> bool:
    """Fill `shape`, `dtype` and `known` of the model's values as far as they can be told.

    `shapes` binds graph inputs by name to static dims; raises UsageError when a name is no input or
    the dims do not fit what the model declares. The protobuf is not changed. Returns whether ONNX's
    inference took the model; if not, only what the file itself states is known. What an earlier
    call has told is not told again.
    """
    if model.is_inferred and not shapes:
        return True
    bound = _bind(model, shapes or {})
    replaced: dict[Value, onnx.NodeProto] = {}
    symbols = False
    for _ in range(_MAX_ROUNDS):
        inferred = _inferred(model, bound, replaced, symbols)
        _read_types(model.graph, inferred)
        for name, shape in bound.items():
            model.graph.values[name].shape = shape
        propagate(model.graph)
        news = _news(model, replaced)
        replaced.update(news)
        if not news:
            if symbols or not _symbols_would_help(model.graph):
                break
            symbols = True
    _rank_recurrent(model.graph)
    # bound shapes hold for this call alone
    model.is_inferred = inferred is not None and not bound
    return inferred is not None


def contradiction(model: Model) -> str | None:
    """Return what strict inference finds wrong with the types of a model, None when nothing.

    ONNX Runtime loads no model with such an error, be it in a branch that is never taken.
    """
    try:
        onnx.shape_inference.infer_shapes(_light_copy(model, {}, {}), strict_mode=True)
    except Exception as error:  # inference errors, and whatever else the C++ side throws
        causes = [line for line in re.split(r"\[\w+Error\]|\n", str(error)) if line.strip()]
        told = [line for line in causes if "node name" not in line and "error(s)" not in line]
        return (told or causes or [type(error).__name__])[0].strip()
    return None


def refresh(model: Model) -> None:
    """After edits: keep the types where they leave nothing to infer, else forget them all.

    Nothing is left when all dtypes are known and all shapes static. Then what follows from
    constants is computed for new values; otherwise the next `infer` tells everything anew.
    """
    values = [value for graph in model.graph.graphs() for value in graph.values.values()]
    if all(value.dtype is not None and _is_static(value.shape) for value in values):
        propagate(model.graph)
        model.is_inferred = True
        return
    for value in values:
        value.forget()
    model.is_inferred = False


def _symbols_would_help(graph: Graph) -> bool:
    """Whether ONNX's own propagation, which knows symbols too, may tell more, and safely.

    It keeps every element of 1-D tensors as an object: one of 2^31 elements would take all memory.
    """
    if not any(node.op_type in ("Shape", "Size") for node in graph.nodes):
        return False
    vague = False
    for value in graph.values.values():
        shape = value.shape
        if shape is None or not _is_static(shape):
            vague = True
        elif len(shape) == 1 and isinstance(shape[0], int) and shape[0] > _MANY_ELEMENTS:
            return False
    return vague


def _bind(model: Model, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Shape]:
    declared = {i.name: i for i in model.proto.graph.input}
    data_inputs = [n for n in model.graph.inputs if n not in model.graph.initializers]
    bound: dict[str, Shape] = {}
    for name, dims in shapes.items():
        if name not in declared:
            raise UsageError(
                f"--shape {name}=...: the model has no input of that name. "
                f"{nearest(name, data_inputs)} Its inputs are {', '.join(data_inputs)}."
            )
        own = declared_shape(declared[name].type)
        text = ",".join(map(str, dims))
        if own is not None:
            fits = len(own) == len(dims) and all(
                not isinstance(o, int) or o == d for o, d in zip(own, dims, strict=False)
            )
            if not fits:
                raise UsageError(
                    f"--shape {name}={text} does not fit the input, which is declared as "
                    f"[{', '.join('?' if d is None else str(d) for d in own)}]. Give {len(own)} "
                    "dims and keep the fixed ones."
                )
        bound[name] = tuple(dims)
    return bound


def _inferred(
    model: Model,
    bound: Mapping[str, Shape],
    replaced: Mapping[Value, onnx.NodeProto],
    symbols: bool,
) -> onnx.GraphProto | None:
    proto = model.proto
    if bound or replaced or _is_heavy(model) or not model.graph.is_sorted():
        proto = _light_copy(model, bound, replaced)
    for data_prop in (True, False) if symbols else (False,):
        try:
            return onnx.shape_inference.infer_shapes(proto, data_prop=data_prop).graph
        except Exception:  # whatever the C++ side dislikes: types stay unknown, which is honest
            continue
    return None


def _is_heavy(model: Model) -> bool:
    nodes = len(model.graph.nodes)
    return bool(model.byte_size > max(_HEAVY_BYTES, _HEAVY_BYTES_PER_NODE * nodes))


def _light_copy(
    model: Model, bound: Mapping[str, Shape], replaced: Mapping[Value, onnx.NodeProto]
) -> onnx.ModelProto:
    source = model.proto
    copy = onnx.ModelProto(ir_version=source.ir_version)
    copy.opset_import.MergeFrom(source.opset_import)
    copy.functions.MergeFrom(source.functions)
    graph = copy.graph
    graph.name = source.graph.name
    graph.input.MergeFrom(source.graph.input)
    graph.output.MergeFrom(source.graph.output)
    if bound:
        _set_shapes(graph, bound)
    else:
        graph.value_info.MergeFrom(source.graph.value_info)
    for tensor in source.graph.initializer:
        if is_external(tensor) or byte_size(tensor) <= 8192:
            graph.initializer.append(tensor)
        else:
            graph.initializer.add(
                name=tensor.name,
                data_type=tensor.data_type,
                dims=tensor.dims,
                data_location=onnx.TensorProto.EXTERNAL,
            )
    for node in model.graph.ordered():
        graph.node.append(node_proto(node, replaced))
    return copy


def _set_shapes(graph: onnx.GraphProto, bound: Mapping[str, Shape]) -> None:
    for info in graph.input:
        if info.name in bound:
            shape = info.type.tensor_type.shape
            del shape.dim[:]
            for dim in bound[info.name]:
                shape.dim.add(dim_value=dim)
    for info in graph.output:
        # what was traced at other sizes would contradict the bound ones
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")


def _read_types(graph: Graph, proto: onnx.GraphProto | None) -> None:
    """Hand the types of an inferred GraphProto, and of its subgraphs, to the index."""
    if proto is None:
        proto = graph.proto
    values = graph.values
    for infos in (proto.input, proto.output, proto.value_info):
        for info in infos:
            value = values.get(info.name)
            if value is not None:
                value.set_info(info)
    inner = [node for node in graph.nodes if node.subgraphs]
    if inner:
        by_output = {o: n for n in proto.node for o in n.output if o}
        for node in inner:
            twin = next((by_output[o] for o in node.outputs if o in by_output), None)
            for name, subgraph in node.subgraphs:
                found = None
                if twin is not None:
                    found = next((a.g for a in twin.attribute if a.name == name), None)
                _read_types(subgraph, found)


def _rank_recurrent(graph: Graph) -> None:
    """Tell the ranks of what feeds a recurrent layer: behind an If of two ranks nobody knows them.

    Whatever comes, the operator takes a sequence of three dims and states of three dims alone.
    """
    layers = [n for g in graph.graphs() for n in g.nodes if n.op_type in _RECURRENT]
    for node in layers:
        if not node.is_standard:
            continue
        x, weight, recurrent = (node.input(i) for i in range(3))
        shapes = [v.shape if v is not None else None for v in (weight, recurrent)]
        known = [s for s in shapes if s is not None and len(s) == 3]
        if len(known) != 2:
            continue
        _fill(x, (None, None, known[0][2]))
        ways, size = known[0][0], known[1][2]
        is_batch_first = "layout" in node.attributes and node.attributes["layout"].i != 0
        for state in (node.input(5), node.input(6) if node.op_type == "LSTM" else None):
            _fill(state, (None, ways, size) if is_batch_first else (ways, None, size))


def _fill(value: Value | None, wanted: Shape) -> None:
    """Tell a value those dims that an operator asks for and nothing else tells."""
    if value is None or None not in (value.shape or (None,)):
        return
    shape = value.shape if value.shape is not None else (None,) * len(wanted)
    if len(shape) == len(wanted):
        value.shape = tuple(w if d is None else d for d, w in zip(shape, wanted, strict=True))


def _news(model: Model, replaced: Mapping[Value, onnx.NodeProto]) -> dict[Value, onnx.NodeProto]:
    """Return Constant nodes for computed values that would tell an unknown shape."""
    found: dict[Value, onnx.NodeProto] = {}
    deciding = (n for g in model.graph.graphs() for n in g.nodes if n.op_type in SHAPE_INPUTS)
    for node in deciding:
        for position in SHAPE_INPUTS[node.op_type]:
            value = node.input(position)
            if (
                value is not None
                and value.constant is None
                and value.known is not None
                and value not in replaced
                and value.producer is not None
                and len(value.producer.outputs) == 1
                and _is_vague(node)
            ):
                found[value] = constant_node(value.name, value.known)
    return found


def _is_vague(node: Node) -> bool:
    value = node.output(0)
    return value is not None and not _is_static(value.shape)


def _is_static(shape: Shape | None) -> bool:
    return shape is not None and all(isinstance(dim, int) for dim in shape)
