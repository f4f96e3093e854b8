"""Writing the index back: a fresh GraphProto, whatever was edited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import onnx

from graphfix.graph.index import Graph
from graphfix.graph.node import Node, constant_tensor, holds_graph
from graphfix.graph.value import Value

if TYPE_CHECKING:
    from graphfix.graph.model import Model

Constants = Mapping[Value, onnx.NodeProto]


def graph_proto(
    graph: Graph, into: onnx.GraphProto | None = None, constants: Constants | None = None
) -> onnx.GraphProto:
    """Return a fresh GraphProto: nodes sorted, dead value_info and initializers left out.

    `into` is an empty message to write it into, which saves a copy. `constants` are nodes that
    stand in for those that give the values.
    """
    result = into if into is not None else onnx.GraphProto()
    for field, content in graph.proto.ListFields():
        if field.name in ("node", "initializer", "value_info"):
            continue
        if _is_repeated(field):
            getattr(result, field.name).MergeFrom(content)
        elif field.message_type is not None:
            getattr(result, field.name).CopyFrom(content)
        else:
            setattr(result, field.name, content)
    result.node.extend([node_proto(node, constants) for node in graph.ordered()])
    initializers, values = graph.initializers, graph.values
    result.initializer.extend(
        [t for t in graph.proto.initializer if not t.name or t.name in initializers]
    )
    result.value_info.extend([info for info in graph.proto.value_info if info.name in values])
    return result


def settle(model: Model) -> None:
    """Make the message of a model what its index says, in place; the index then points into it."""
    if model.is_settled:
        return
    proto = model.to_proto()
    _point_into(model.graph, proto.graph)
    model.proto = proto
    model.byte_size = proto.ByteSize()
    model.is_settled = True


def _point_into(graph: Graph, proto: onnx.GraphProto) -> None:
    """Let an index point into the message that was written from it."""
    values = graph.values
    for node, message in zip(graph.settle_order(), proto.node, strict=True):
        node.move_to(message)
        if node.op_type == "Constant":
            for value in node.results():
                if value is not None and value.producer is node:
                    value.constant = constant_tensor(node)
        inner = iter(graph for _, graph in node.subgraphs)
        for branch in _inner_messages(message) if node.subgraphs else ():
            _point_into(next(inner), branch)
    for tensor in proto.initializer:
        name = tensor.name
        if name:
            graph.initializers[name] = tensor
            value = values[name]
            if value.producer is None or value.producer.op_type != "Constant":
                value.constant = tensor
    graph.proto = proto


def node_proto(node: Node, constants: Constants | None = None) -> onnx.NodeProto:
    """Return a node's message, with its subgraphs as they are now."""
    if constants and len(node.outputs) == 1:
        value = node.output(0)
        if value is not None and value in constants:
            return constants[value]
    if not node.subgraphs:
        return node.proto
    message = onnx.NodeProto()
    message.CopyFrom(node.proto)
    inner = iter(graph for _, graph in node.subgraphs)
    for proto in _inner_messages(message):
        proto.CopyFrom(graph_proto(next(inner), constants=constants))
    return message


def _inner_messages(message: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs of a node, in the order and under the conditions of the index."""
    for attribute in message.attribute:
        if attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
        elif holds_graph(attribute):
            yield attribute.g


def _is_repeated(field: Any) -> bool:
    flag = getattr(field, "is_repeated", None)
    if flag is not None:
        return bool(flag() if callable(flag) else flag)
    return bool(field.label == field.LABEL_REPEATED)
