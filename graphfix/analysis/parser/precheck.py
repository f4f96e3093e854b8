"""The precheck: node names and registrations. Reports every offender of a graph at once."""

from __future__ import annotations

import re
from typing import Any

from graphfix.analysis.context import Context
from graphfix.analysis.findings import Order
from graphfix.analysis.parser import order
from graphfix.graph import Graph, Node
from graphfix.support.tables import Operator

_SOURCE = "ge parser/parser/common/pre_checker.cc (August 2026)"
_CONTROL_FLOW = {"Loop", "Scan", "SequenceMap"}
# pseudo operators that the parser itself knows, at any opset and domain
_BUILT_IN = {"Constant", "Input", "FileConstant"}


def check_precheck(context: Context, graph: Graph, rank: int, inputs: list[str]) -> None:
    """Refuse names that are used twice (E13009) and operators without a parser (E13010)."""
    _check_names(context, graph, rank, inputs)
    first = len(inputs)
    for group in context.groups(graph):
        sample = group[0]
        if (
            sample.op_type not in _BUILT_IN
            and context.opset(sample) is not None
            and context.registration(sample) is None
            and not context.is_custom(sample)
        ):
            for node in group:
                _unregistered(context, node, (rank, order.PRECHECK, first + node.position))


def _check_names(context: Context, graph: Graph, rank: int, inputs: list[str]) -> None:
    seen = {f"{name}_Initializer_{number}" for number, name in enumerate(graph.initializers)}
    names = [node.proto.name or context.name(node) for node in graph.nodes]
    data = [name for name in inputs if name not in graph.initializers]
    if len({*seen, *data, *names}) == len(seen) + len(data) + len(names):
        return
    for position, name in enumerate(data):
        if name in seen:
            _duplicate(context, graph, rank, position, name, "Input")
        seen.add(name)
    for node, name in zip(graph.nodes, names, strict=True):
        if name in seen:
            _duplicate(context, graph, rank, len(inputs) + node.position, name, node.op_type, node)
        seen.add(name)


def _duplicate(
    context: Context, graph: Graph, rank: int, position: float, name: str, op_type: str,
    node: Node | None = None,
) -> None:  # fmt: skip
    generated = "" if node is None or node.name else " (the parser made the name up)"
    context.add(
        "duplicate-node-name",
        f"The name {name!r}{generated} belongs to an earlier node, graph input or initializer too.",
        node=None,
        error_code="duplicate_name",
        evidence=f"{_SOURCE}; parser oracle",
        certainty="proved",
        order=(rank, order.PRECHECK, position),
        scope=context.scope(graph),
    )
    context.findings[-1].node, context.findings[-1].op_type = name, op_type


def _unregistered(context: Context, node: Node, where: Order) -> None:
    release, opset = context.target.release, context.opset(node)
    domain, op = node.domain or "ai.onnx", node.op_type
    operator = context.operator(node)
    opsets = operator.opsets(domain, release.name) if operator is not None else []
    details: dict[str, Any] = {
        "error_code": "not_registered",
        "order": where,
        "certainty": "high",
        "evidence": f"registrations of the ONNX plugins, op_support ({domain}::{opset}::{op})",
    }
    if (domain, op) in context.model.functions:
        context.add(
            "function-call",
            f"{domain}::{op} is a function of the model itself; the parser knows no functions.",
            node,
            headline="calls of model-local functions",
            fix="inline",
            **details,
        )
    elif opsets:
        near = opset is not None and opset > max(opsets)
        context.add(
            "opset-not-registered",
            f"{op} at opset {opset}: CANN registers it at {_ranges(opsets)} only.",
            node,
            headline=f"opset {opset}: "
            + (
                "CANN registers 8-18 only"
                if near and max(opsets) == 18 and domain == "ai.onnx"
                else f"{op} is registered at {_ranges(opsets)} only"
            ),
            facts={"opsets": opsets},
            fix="opset",
            **details,
        )
    elif op in _CONTROL_FLOW and domain == "ai.onnx":
        context.add(
            "control-flow",
            f"{op} has neither an adapter nor a plugin.",
            node,
            headline=f"{op}: no adapter, no plugin",
            **details,
        )
    elif domain != "ai.onnx":
        _foreign(context, node, domain, operator, details)
    else:
        instead = operator.instead if operator is not None else ""
        known = operator is not None and operator.standard
        context.add(
            "op-not-registered",
            f"{op} is registered at no opset."
            if known
            else f"{op} is no operator that ONNX or CANN knows.",
            node,
            headline=f"{op} is registered at no opset",
            remedy=f"instead: {instead}"
            if instead
            else "write it out, cut it off, or add a custom operator",
            fix=_rule_for(context, op, operator.fix if operator is not None else ""),
            **details,
        )


def _rule_for(context: Context, op_type: str, named: str) -> str | None:
    """Return the rule that writes an operator out: the table's, or `decompose/` its snake case."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", op_type).lower()
    name = named or f"decompose/{snake}"
    return name if name in context.known_rules else None


def _foreign(
    context: Context, node: Node, domain: str, operator: Operator | None, details: dict[str, Any]
) -> None:
    remedy = "export without this domain, or write the operator out"
    if operator is not None and operator.registration("ai.onnx", 13, context.target.release.name):
        remedy = f"CANN knows {node.op_type} in the domain ai.onnx"
    context.add(
        "domain-not-registered",
        f"No plugin registers {domain}::{node.op_type}.",
        node,
        headline=f"{domain}: no plugin for {node.op_type}",
        remedy=remedy,
        **details,
    )


def _ranges(versions: list[int]) -> str:
    parts: list[list[int]] = []
    for version in versions:
        if parts and version == parts[-1][-1] + 1:
            parts[-1].append(version)
        else:
            parts.append([version])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
