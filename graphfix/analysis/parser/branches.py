"""The If adapter: which attributes it wants, and which outer tensors it hands in."""

from __future__ import annotations

from graphfix.analysis.context import Context
from graphfix.analysis.parser import order
from graphfix.graph import Graph, Node

_SOURCE = "ge parser/parser/onnx/subgraph_adapter/if_subgraph_adapter.cc (August 2026)"
_BRANCHES = {"then_branch", "else_branch"}


def check_branches(context: Context) -> None:
    """Refuse an If without exactly then_branch and else_branch; report lost nested captures."""
    owners = [node for graph in context.model.graph.graphs() for node in graph.owners]
    lone = [
        node
        for graph in context.model.graph.graphs()
        for node in context.of_type(graph, "If")
        if not node.subgraphs
    ]
    for position, node in enumerate([*owners, *lone]):
        if node.op_type != "If" or not node.is_standard or context.registration(node) is None:
            continue
        written = [a.name for a in node.proto.attribute]
        where = (0, order.BRANCHES, position)
        if len(written) != 2:
            context.add(
                "if-refused",
                f"The If has {len(written)} attributes "
                f"({', '.join(written) or 'none'}); exactly then_branch and else_branch are "
                "allowed.",
                node,
                error_code="graph",
                evidence=_SOURCE,
                certainty="proved",
                order=where,
            )
        elif not set(written) <= _BRANCHES:
            odd = sorted(set(written) - _BRANCHES)
            context.add(
                "if-refused",
                f"The If has an attribute {odd[0]!r}; only then_branch and "
                "else_branch are allowed.",
                node,
                error_code="graph",
                evidence=_SOURCE,
                certainty="proved",
                order=where,
            )
        _check_nested(context, node)


def branch_inputs(graph: Graph) -> list[str]:
    """Return the input names of a graph as the parser sees them: a branch also gets its captures.

    Both branches of an If get what either of them uses, in direct nodes, from outside.
    """
    if graph.owner is None:
        return list(graph.inputs)
    captured: set[str] = set()
    for _, branch in graph.owner.subgraphs:
        captured |= _direct_captures(branch)
    return [*graph.inputs, *sorted(captured)]


def _direct_captures(branch: Graph) -> set[str]:
    produced = {name for node in branch.nodes for name in node.outputs}
    produced.update(branch.initializers, branch.inputs)
    return {name for node in branch.nodes for name in node.inputs if name not in produced}


def _check_nested(context: Context, node: Node) -> None:
    """Report tensors that only an inner If uses although they come from two levels up."""
    for _, branch in node.subgraphs:
        available = {name for other in branch.nodes for name in other.outputs}
        available.update(branch_inputs(branch), branch.initializers)
        for inner in branch.nodes:
            if inner.op_type != "If":
                continue
            wanted = set().union(*(_direct_captures(g) for _, g in inner.subgraphs), set())
            lost = sorted(n for n in wanted if n and n not in available and branch.lookup(n))
            if lost:
                context.add(
                    "nested-capture",
                    f"The inner If uses {', '.join(lost)} from two levels "
                    "up, which no node of the outer branch uses: it stays unconnected.",
                    inner,
                    evidence=_SOURCE,
                    certainty="medium",
                )
