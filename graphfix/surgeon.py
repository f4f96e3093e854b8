"""onnx-graphsurgeon for rule authors: an island around a site, or the whole model.

    def edit(island: gs.Graph) -> None:
        island.nodes[0].op = "Relu"

    site = surgeon.island([node], graph, edit)      # inside Rule.match
    whole = surgeon.to_surgeon(model)               # existing scripts
    model = surgeon.from_surgeon(whole)

Needs the extra `graphfix[surgeon]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphfix.errors import UsageError
from graphfix.graph import Graph, Model, Node
from graphfix.rewrite.builder import Builder
from graphfix.rewrite.island import cut_out, read_back
from graphfix.rewrite.rule import No, Site


def _surgeon() -> Any:
    try:
        import onnx_graphsurgeon
    except ImportError:
        raise UsageError(
            "onnx-graphsurgeon is not installed. Install it with: pip install 'graphfix[surgeon]'."
        ) from None
    return onnx_graphsurgeon


def to_surgeon(model: Model) -> Any:
    """Return the model as a `gs.Graph`; edits there do not touch the model."""
    return _surgeon().import_onnx(model.to_proto())


def from_surgeon(graph: Any, path: Any = None) -> Model:
    """Return a `gs.Graph` as a Model, cleaned up and sorted."""
    return Model(_surgeon().export_onnx(graph.cleanup().toposort()), path)


def island(nodes: Sequence[Node], graph: Graph, edit: Callable[[Any], None]) -> Site | No:
    """Return the site that comes of editing `nodes`, cut out as a `gs.Graph`.

    The inputs and outputs of the island stand for values of the graph and must stay. The graph
    itself is not touched, so this may be called inside a matcher.
    """
    gs = _surgeon()
    builder = Builder(nodes[0], graph)
    replace: dict[str, str] = {}
    inside = set(nodes)
    for node in nodes:
        names = builder.copy(node)
        for old, new in zip(node.outputs, names, strict=True):
            value = graph.values.get(old) if old else None
            if value is not None and (
                value.is_output or any(user not in inside for user, _ in value.uses)
            ):
                replace[old] = new
    opset = graph.model.emit_opset
    cut = cut_out(builder.site(replace, drop=nodes), graph, opset, opset)
    surgery = gs.import_onnx(cut.before)
    edit(surgery)
    result = read_back(cut, tuple(nodes), gs.export_onnx(surgery.cleanup().toposort()))
    return No(result) if isinstance(result, str) else result
