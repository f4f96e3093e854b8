"""The file itself: external data, sparse initializers. Nothing is opened, nothing is followed out."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from graphfix.analysis.context import Context
from graphfix.graph import Graph
from graphfix.graph.tensors import byte_size, external_reference, is_external


def check_files(context: Context) -> None:
    """Add findings about external data that is missing, short or outside, and sparse tensors."""
    missing: dict[str, int] = {}
    folder = context.model.folder
    for owner, tensor in _tensors(context.model.graph):
        if not is_external(tensor):
            continue
        reference = external_reference(tensor)
        if reference is None or not reference.location:
            continue  # the parser's findings tell
        what = f"The tensor {tensor.name or owner!r}"
        if not reference.is_inside:
            context.add("external-data-outside", f"{what} lies at {reference.location!r}, outside the "
                        "model's folder; the path was not followed.", stage="compile",
                        evidence="ONNX external data specification", certainty="high")
            continue
        if folder is None:
            continue
        path = folder / reference.location
        if not path.is_file():
            missing[reference.location] = missing.get(reference.location, 0) + 1
            continue
        need = reference.offset + byte_size(tensor)
        have = path.stat().st_size
        if have < need:
            context.add("external-data-short", f"{what} needs {need:,} bytes of {reference.location}, "
                        f"which has {have:,}.", stage="compile",
                        headline=f"{reference.location} ends too early",
                        evidence="size of the file", certainty="proved")
    for location, count in missing.items():
        context.add("external-data-missing", f"{count} tensors lie in {location!r}, which is not in "
                    f"{folder}.", stage="compile", headline=f"{location} is missing",
                    evidence="the folder of the model", certainty="proved",
                    facts={"location": location, "tensors": count})
    _check_nested(context)
    for graph in context.model.graph.graphs():
        for sparse in graph.proto.sparse_initializer:
            context.add("sparse-initializer", f"The sparse initializer {sparse.values.name!r} is never "
                        "read.", scope=context.scope(graph), stage="parse",
                        evidence="ge parser/parser/onnx (August 2026); parser oracle",
                        certainty="proved")


def _tensors(graph: Graph) -> Iterator[tuple[str, onnx.TensorProto]]:
    for inner in graph.graphs():
        for tensor in inner.proto.initializer:
            yield "initializer", tensor
        for node in inner.nodes:
            for attribute in node.proto.attribute:
                if attribute.HasField("t"):
                    yield node.name or node.op_type, attribute.t


def _check_nested(context: Context) -> None:
    """Report external tensors in places where GE does not resolve the path (GF007)."""
    for graph in context.model.graph.graphs():
        inside = graph.parent is not None
        if inside:
            for tensor in graph.proto.initializer:
                if is_external(tensor):
                    _report_nested(context, graph, tensor.name)
        for node in graph.nodes:
            for attribute in node.proto.attribute:
                if attribute.HasField("t") and is_external(attribute.t) and (
                        inside or node.op_type != "Constant"):
                    _report_nested(context, graph, context.name(node))


def _report_nested(context: Context, graph: Graph, name: str) -> None:
    context.add("external-data-in-subgraph", f"The external data of {name!r} is looked up relative to "
                "the working folder, or not at all.", scope=context.scope(graph), stage="parse",
                evidence="ge parser/parser/onnx/onnx_parser.cc (August 2026)", certainty="high")
