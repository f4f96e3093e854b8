"""Writing the index back: a fresh GraphProto, whatever was edited."""

from __future__ import annotations

from typing import Any

import onnx

from graphfix.graph.index import Graph
from graphfix.graph.node import Node, holds_graph


def graph_proto(graph: Graph) -> onnx.GraphProto:
    """Return a fresh GraphProto: nodes sorted, dead value_info and initializers left out."""
    result = onnx.GraphProto()
    for field, content in graph.proto.ListFields():
        if field.name in ("node", "initializer", "value_info"):
            continue
        if _is_repeated(field):
            getattr(result, field.name).MergeFrom(content)
        elif field.message_type is not None:
            getattr(result, field.name).CopyFrom(content)
        else:
            setattr(result, field.name, content)
    for node in graph.ordered():
        result.node.append(node_proto(node))
    for tensor in graph.proto.initializer:
        if not tensor.name or tensor.name in graph.initializers:
            result.initializer.append(tensor)
    for info in graph.proto.value_info:
        if info.name in graph.values:
            result.value_info.append(info)
    return result


def node_proto(node: Node) -> onnx.NodeProto:
    """Return a node's message, with its subgraphs as they are now."""
    if not node.subgraphs:
        return node.proto
    message = onnx.NodeProto()
    message.CopyFrom(node.proto)
    inner = iter(graph for _, graph in node.subgraphs)
    for attribute in message.attribute:
        # the same order and conditions as in the index
        if attribute.type == onnx.AttributeProto.GRAPHS:
            for proto in attribute.graphs:
                proto.CopyFrom(graph_proto(next(inner)))
        elif holds_graph(attribute):
            attribute.g.CopyFrom(graph_proto(next(inner)))
    return message


def _is_repeated(field: Any) -> bool:
    flag = getattr(field, "is_repeated", None)
    if flag is not None:
        return bool(flag() if callable(flag) else flag)
    return bool(field.label == field.LABEL_REPEATED)
