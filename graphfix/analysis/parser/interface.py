"""Opset imports, graph inputs and outputs, and the domains of the nodes."""

from __future__ import annotations

from typing import Any

from graphfix.analysis.context import Context
from graphfix.analysis.parser import order
from graphfix.graph import Graph, Node

_SOURCE = "ge parser/parser/onnx/onnx_parser.cc (August 2026)"
_HISTORY = "history of ge parser/parser/onnx/onnx_parser.cc, tags 8.5.0 to 9.2.0-beta.1"


def check_imports(context: Context) -> None:
    """Refuse several opset_import entries where the release wants one (E16005)."""
    entries = context.model.proto.opset_import
    if context.target.release.parser["opset_imports"] == "several" or len(entries) == 1:
        return
    if any(not node.domain for node in _parsed_nodes(context.model.graph)):
        listed = ", ".join(f"{e.domain or '(empty)'} {e.version}" for e in entries) or "none"
        used = {node.domain or "ai.onnx" for node in context.model.graph.walk()}
        unused = [e.domain for e in entries if (e.domain or "ai.onnx") not in used]
        remedy = (
            f"remove the unused entries {', '.join(unused)}"
            if unused
            else "use the empty domain alone: ai.onnx twins exist for most npu operators"
        )
        context.add(
            "several-opset-imports",
            f"The model has {len(entries)} opset_import entries "
            f"({listed}); with a node of empty domain exactly one is allowed.",
            error_code="several_imports",
            evidence=_HISTORY,
            certainty="high",
            remedy=remedy,
            order=(0, order.IMPORTS, 0),
        )


def _parsed_nodes(graph: Graph) -> list[Node]:
    return [n for n in graph.walk() if n.op_type != "Constant"]


def check_interface(context: Context, graph: Graph, rank: int, inputs: list[str]) -> None:
    """Refuse a graph without inputs or outputs, and nodes of a domain that is not imported."""
    proof: dict[str, Any] = {"evidence": f"{_SOURCE}; parser oracle", "certainty": "proved"}
    scope = context.scope(graph)
    if graph.owner is None and not graph.inputs:
        context.add(
            "no-graph-input",
            "The main graph has no input.",
            scope=scope,
            error_code="no_input_output",
            order=(rank, order.INTERFACE, 0),
            **proof,
        )
    if not graph.outputs:
        what = f"The branch {scope}" if scope else "The main graph"
        context.add(
            "no-graph-output",
            f"{what} has no output.",
            scope=scope,
            error_code="no_input_output",
            order=(rank, order.INTERFACE, 1),
            **proof,
        )
    _check_domains(context, graph, rank, proof)
    _check_names(context, graph, rank, inputs, proof)


def _check_domains(context: Context, graph: Graph, rank: int, proof: dict[str, Any]) -> None:
    imported = set(context.opsets)
    samples = [group[0] for group in context.groups(graph) if group[0].op_type != "Constant"]
    if context.target.release.parser["opset_imports"] == "one":
        # the empty domain and ai.onnx are different keys there
        raw = {e.domain for e in context.model.proto.opset_import}
        missing = [n for n in samples if n.domain not in raw]
    else:
        missing = [n for n in samples if (n.domain or "ai.onnx") not in imported]
    seen: set[str] = set()
    for node in missing:
        if node.domain in seen:
            continue
        seen.add(node.domain)
        domain = node.domain or "ai.onnx"
        context.add(
            "domain-not-imported",
            f"No opset_import for domain {domain}, which "
            f"{context.name(node)} ({node.op_type}) belongs to.",
            scope=context.scope(graph),
            error_code="graph",
            order=(rank, order.INTERFACE, 2 + node.position),
            facts={"domain": domain},
            **proof,
        )


def _check_names(
    context: Context, graph: Graph, rank: int, inputs: list[str], proof: dict[str, Any]
) -> None:
    scope = context.scope(graph)
    where = (rank, order.OUTPUTS, 0)
    if "" in inputs:
        if graph.owner is None:
            context.add(
                "output-not-produced",
                "A graph input has an empty name.",
                scope=scope,
                error_code="graph",
                order=where,
                headline="a graph input without a name",
                remedy="name or remove the input",
                **proof,
            )
        else:
            context.add(
                "if-refused",
                f"A node in {scope} leaves an optional input empty: the adapter "
                "hands the empty name in as a captured tensor, which is not found.",
                scope=scope,
                error_code="graph",
                order=where,
                remedy="graphfix fix, or remove the empty optional input or give it a value",
                **proof,
            )
    given = set(inputs) - {""}
    for position, name in enumerate(graph.outputs):
        value = graph.values.get(name) if name else None
        if name in given or (value is not None and value.exists):
            continue
        outer = graph.parent is not None and graph.lookup(name) is not None
        why = (
            "is an outer tensor that no node of the branches uses"
            if outer
            else "is produced by no node, input or initializer"
        )
        remedy = "insert an Identity in the branch" if outer else "remove the output or correct it"
        context.add(
            "output-not-produced",
            f"The output {name!r} {why}.",
            scope=scope,
            error_code="graph",
            order=(rank, order.OUTPUTS, 1 + position),
            remedy=remedy,
            **proof,
        )
