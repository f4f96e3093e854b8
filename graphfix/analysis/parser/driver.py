"""Runs the stages over the main graph and the branches, and finds what ATC prints first."""

from __future__ import annotations

from graphfix.analysis.context import Context
from graphfix.analysis.findings import Finding
from graphfix.analysis.parser import order
from graphfix.analysis.parser.branches import branch_inputs, check_branches
from graphfix.analysis.parser.edges import check_edges
from graphfix.analysis.parser.interface import check_imports, check_interface
from graphfix.analysis.parser.nodes import check_nodes
from graphfix.analysis.parser.precheck import check_precheck
from graphfix.graph import Graph

PARSER_SOURCE = "ge parser/parser/onnx (August 2026)"


def check_parser(context: Context) -> None:
    """Add a finding for everything that the parser refuses, and set what ATC prints.

    A finding that the parser would not reach, because it stops before, keeps `error_code` None.
    """
    start = len(context.findings)
    if not context.model.proto.HasField("graph"):
        context.add(
            "no-graph",
            "The file has an opset_import but no graph.",
            error_code="no_graph",
            evidence=PARSER_SOURCE,
            certainty="proved",
            order=(0, order.BRANCHES, 0),
        )
    else:
        check_branches(context)
        check_imports(context)
        for rank, graph in enumerate(_parse_order(context.model.graph), start=1):
            inputs = branch_inputs(graph)
            check_interface(context, graph, rank, inputs)
            check_precheck(context, graph, rank, inputs)
            check_nodes(context, graph, rank)
            check_edges(context, graph, rank, inputs)
    _tell_codes(context, context.findings[start:])


def _parse_order(root: Graph) -> list[Graph]:
    """Return the graphs in the order of parsing: the main one, then else before then branches.

    GE numbers then_branch 0 and else_branch 1, and takes the last one from a stack.
    """
    result: list[Graph] = []
    stack = [root]
    while stack:
        graph = stack.pop()
        result.append(graph)
        for node in graph.nodes:
            if node.op_type == "If":
                stack.extend(
                    inner
                    for _, inner in sorted(node.subgraphs, key=lambda pair: pair[0], reverse=True)
                )
    return result


def _tell_codes(context: Context, found: list[Finding]) -> None:
    refusals = [f for f in found if f.effect == "rejected" and f.error_code is not None]
    if not refusals:
        return
    first = min(refusals, key=lambda f: f.order)
    rank, stage, _ = first.order
    for f in refusals:
        reached = f is first or (stage == order.PRECHECK and f.order[:2] == (rank, stage))
        cause = f.error_code
        f.error_code = context.target.release.code(cause) if reached and cause else None


def first_refusal(found: list[Finding]) -> Finding | None:
    """Return the finding whose code ATC prints first."""
    printed = [
        f
        for f in found
        if f.effect == "rejected" and f.error_code is not None and f.stage == "parse"
    ]
    return min(printed, key=lambda f: f.order, default=None)
