"""Wiring: edges by tensor name, expansion of one-to-many nodes, topological sort."""

from __future__ import annotations

from typing import Any

from graphfix.analysis.context import Context
from graphfix.analysis.findings import Order
from graphfix.analysis.parser import order
from graphfix.graph import Graph, Node
from graphfix.support import Registration

_SOURCE = "ge parser/parser/onnx/onnx_parser.cc (August 2026); parser oracle"
_HISTORY = "history of ge onnx_parser.cc, tags 8.5.0 to 9.2.0-beta.1"
_PROOF: dict[str, Any] = {"evidence": _SOURCE, "certainty": "proved"}


def check_edges(context: Context, graph: Graph, rank: int, inputs: list[str]) -> None:
    """Refuse surplus edges, second producers, unconnected inputs of expansions, and cycles."""
    available = _Available(graph, inputs)
    dropped = context.target.release.parser["surplus_edge"] == "dropped"
    for group in context.groups(graph):
        registration = context.registration(group[0])
        if registration is None:
            continue
        most_in, most_out = registration.inputs, registration.outputs
        for node in group:
            where = (rank, order.EDGES, node.position)
            if most_in is not None and len(node.inputs) > most_in:
                for index in range(most_in, len(node.inputs)):
                    if node.inputs[index] in available:
                        _surplus_input(context, node, index, where, dropped)
            if most_out is not None and len(node.outputs) > most_out:
                for index in range(most_out, len(node.outputs)):
                    _surplus_output(context, node, index, where, dropped)
            if registration.form == "subgraph":
                _check_expansion(
                    context, node, registration, available, (rank, order.EXPANSION, node.position)
                )
            elif available.doubtful:
                _check_open(context, node, available)
    _check_rivals(context, graph, rank, inputs)
    _check_cycle(context, graph, rank)
    if graph.has_empty_inputs:
        _check_empty_names(context, graph, rank)


class _Available:
    """The names that edges can start from: of this graph's nodes, inputs and initializers.

    `doubtful` is False when every name that nodes use is among them, the common case.
    """

    def __init__(self, graph: Graph, inputs: list[str]) -> None:
        self._graph = graph
        self._inputs = set(inputs)
        self._empty = graph.has_empty_inputs and any("" in node.outputs for node in graph.nodes)
        self.doubtful = graph.has_empty_inputs or bool(graph.missing())

    def __contains__(self, name: str) -> bool:
        if not name:
            return self._empty or "" in self._inputs
        value = self._graph.values.get(name)
        return name in self._inputs or (value is not None and value.exists)


def _surplus_input(context: Context, node: Node, index: int, where: Order, dropped: bool) -> None:
    name = node.inputs[index]
    what = f"Input {index} ({name!r}) does not exist in the GE operator"
    if not dropped:
        context.add(
            "input-beyond-operator",
            f"{what}; the edge cannot be resolved.",
            node,
            headline=f"{node.op_type}: GE has no input {index}",
            error_code="graph",
            order=where,
            **_PROOF,
        )
    elif node.op_type == "Dropout":
        context.add(
            "harmless-difference",
            f"{what}; the edge is dropped, which changes nothing at inference.",
            node,
            headline="Dropout: ratio and training_mode are dropped",
            evidence=_HISTORY,
            certainty="high",
        )
    else:
        context.add(
            "input-dropped",
            f"{what}; the edge is dropped silently.",
            node,
            headline=f"{node.op_type}: input {index} is dropped",
            evidence=_HISTORY,
            certainty="high",
        )


def _surplus_output(context: Context, node: Node, index: int, where: Order, dropped: bool) -> None:
    value = node.output(index)
    if value is None:
        return
    what = f"Output {index} ({value.name!r}) does not exist in the GE operator"
    if any(position >= 0 and user.graph is node.graph for user, position in value.uses):
        if dropped:
            context.add(
                "input-left-open",
                f"{what}; what consumes it is left open.",
                node,
                headline=f"{node.op_type}: output {index} is not computed",
                evidence=_HISTORY,
                certainty="high",
            )
        else:
            context.add(
                "input-beyond-operator",
                f"{what} but is consumed.",
                node,
                headline=f"{node.op_type}: GE has no output {index}",
                error_code="graph",
                order=where,
                **_PROOF,
            )
    elif value.is_output:
        context.add(
            "output-lost",
            f"{what}; as a graph output it is lost, with an error in the log only.",
            node,
            headline=f"{node.op_type}: output {index} is lost",
            **_PROOF,
        )


def _check_expansion(
    context: Context, node: Node, registration: Registration, available: _Available,
    where: Order,
) -> None:  # fmt: skip
    listed = len(node.inputs)
    if not available.doubtful and (
        registration.connected is None or all(i < listed for i in registration.connected)
    ):
        return
    if registration.connected is None:
        wanted = list(range(listed))
    else:
        wanted = [
            *registration.connected,
            *(i for i in registration.connected_if_listed if i < listed),
        ]
    for index in wanted:
        name = node.inputs[index] if index < len(node.inputs) else None
        if name is not None and name in available:
            continue
        if name is None:
            what = f"Input {index} is missing"
        elif name == "":
            what = f"Input {index} is left empty"
        else:
            what = f"Input {index} ({name!r}) is produced by nothing"
        fix = "clean/empty_optional_inputs"
        context.add(
            "input-not-connected",
            f"{what}; the plugin's expansion needs it.",
            node,
            headline=f"{node.op_type}: input {index} is not connected",
            fix=fix if fix in context.known_rules and name == "" else None,
            error_code="graph",
            order=where,
            **_PROOF,
        )
        return


def _check_open(context: Context, node: Node, available: _Available) -> None:
    for index, name in enumerate(node.inputs):
        if name and name not in available:
            context.add(
                "input-left-open",
                f"Input {index} ({name!r}) is produced by nothing; it is "
                "left open with a warning in the log.",
                node,
                headline=f"{node.op_type}: input {index} is left open",
                **_PROOF,
            )


def _check_rivals(context: Context, graph: Graph, rank: int, inputs: list[str]) -> None:
    given = {n for n in inputs if n not in graph.initializers}
    names = {*graph.contested, *(n for n in given if (v := graph.values.get(n)) and v.producer)}
    for value in (graph.values[name] for name in sorted(names)):
        rivals = len(graph.contested.get(value.name, ()))
        count = rivals + (value.producer is not None) + (value.name in given)
        consumed = any(index >= 0 for _, index in value.uses)
        if count > 1 and consumed:
            context.add(
                "two-producers",
                f"The tensor {value.name!r} is produced {count} times.",
                scope=context.scope(graph),
                error_code="link",
                order=(rank, order.EDGES, len(graph.nodes)),
                **_PROOF,
            )


def _check_cycle(context: Context, graph: Graph, rank: int) -> None:
    if graph.is_sorted():
        return
    _, stuck = graph.sorted_nodes()
    if graph.owner is None and not stuck:
        context.add(
            "not-sorted",
            "Some nodes come before the nodes that feed them.",
            evidence="ONNX IR specification",
            certainty="proved",
        )
    if not stuck:
        return
    on_the_way = _ancestors_of_outputs(graph)
    bad = [n for n in stuck if id(n) in on_the_way]
    if bad:
        names = ", ".join(context.name(n) for n in bad[:5])
        context.add(
            "cycle",
            f"The graph has a cycle through or before {names}.",
            scope=context.scope(graph),
            error_code="link",
            order=(rank, order.SORT, 0),
            facts={"nodes": [context.name(n) for n in bad]},
            **_PROOF,
        )


def _ancestors_of_outputs(graph: Graph) -> set[int]:
    found: set[int] = set()
    stack = [
        v.producer
        for name in graph.outputs
        if (v := graph.values.get(name)) is not None and v.producer is not None
    ]
    while stack:
        node = stack.pop()
        if id(node) in found:
            continue
        found.add(id(node))
        stack.extend(graph.predecessors(node))
    return found


def _check_empty_names(context: Context, graph: Graph, rank: int) -> None:
    """Follow the empty name as the ordinary tensor that it is for the parser."""
    makers = [n for n in graph.nodes for name in n.outputs if not name]
    takers = [n for n in graph.nodes for name in n.inputs if not name]
    if not makers or not takers:
        return
    maker, taker = makers[0], takers[0]
    where = (rank, order.EDGES, len(graph.nodes) + 1)
    if len(makers) > 1 or maker in takers:
        context.add(
            "empty-name-linked",
            f"Outputs left empty ({context.name(maker)} ...) and inputs "
            f"left empty ({context.name(taker)} ...) are linked with each other, which fails.",
            scope=context.scope(graph),
            error_code="link",
            order=where,
            **_PROOF,
        )
    else:
        context.add(
            "empty-name-fed",
            f"The empty input is fed from the empty output of {context.name(maker)}.",
            taker,
            headline=f"{taker.op_type}: an empty input gets another node's empty output",
            **_PROOF,
        )
