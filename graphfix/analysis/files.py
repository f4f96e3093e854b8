"""The file itself: external data and sparse initializers. No path is followed out of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from graphfix.analysis.context import Context
from graphfix.graph import Graph
from graphfix.graph.tensors import byte_size, external_reference, is_external

# the standard operators with tensor attributes
_WITH_TENSORS = frozenset({"Constant", "ConstantOfShape"})


def check_files(context: Context) -> None:
    """Add findings about external data that is missing, short or outside, and sparse tensors."""
    missing: dict[str, int] = {}
    folder = context.model.folder
    for owner, tensor in _external_tensors(context):
        reference = external_reference(tensor)
        if reference is None or not reference.location:
            continue  # the parser's findings tell
        what = f"The tensor {tensor.name or owner!r}"
        if not reference.is_inside:
            context.add(
                "external-data-outside",
                f"{what} lies at {reference.location!r}, outside the "
                "model's folder; the path was not followed.",
                stage="compile",
                evidence="ONNX external data specification",
                certainty="high",
            )
            continue
        if folder is None:
            continue
        path = folder / reference.location
        if not _is_file(path):
            missing[reference.location] = missing.get(reference.location, 0) + 1
            continue
        need = reference.offset + byte_size(tensor)
        have = path.stat().st_size
        if have < need:
            context.add(
                "external-data-short",
                f"{what} needs {need:,} bytes of {reference.location}, which has {have:,}.",
                stage="compile",
                headline=f"{reference.location} ends too early",
                evidence="size of the file",
                certainty="proved",
            )
    for location, count in missing.items():
        context.add(
            "external-data-missing",
            f"{count} tensors lie in {location!r}, which is not in {folder}.",
            stage="compile",
            headline=f"{location} is missing",
            evidence="the folder of the model",
            certainty="proved",
            facts={"location": location, "tensors": count},
        )
    for graph in context.model.graph.graphs():
        for sparse in graph.proto.sparse_initializer:
            context.add(
                "sparse-initializer",
                f"The sparse initializer {sparse.values.name!r} is never read.",
                scope=context.scope(graph),
                stage="parse",
                evidence="ge parser/parser/onnx (August 2026); parser oracle",
                certainty="proved",
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return False


def _external_tensors(context: Context) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield (owner, external tensor); report those in places where GE does not resolve the path."""
    for graph in context.model.graph.graphs():
        for tensor in graph.proto.initializer:
            if is_external(tensor):
                if graph.parent is not None:
                    _report_nested(context, graph, tensor.name)
                yield "initializer", tensor
        for group in context.groups(graph):
            if group[0].op_type not in _WITH_TENSORS and group[0].is_standard:
                continue
            for node in group:
                for attribute in node.proto.attribute:
                    if attribute.HasField("t") and is_external(attribute.t):
                        if graph.parent is not None or node.op_type != "Constant":
                            _report_nested(context, graph, context.name(node))
                        yield context.name(node), attribute.t


def _report_nested(context: Context, graph: Graph, name: str) -> None:
    context.add(
        "external-data-in-subgraph",
        f"The external data of {name!r} is looked up relative to "
        "the working folder, or not at all.",
        scope=context.scope(graph),
        stage="parse",
        evidence="ge parser/parser/onnx/onnx_parser.cc (August 2026)",
        certainty="high",
    )
