"""The precheck: node names and registrations. Reports every offender of a graph at once."""

from __future__ import annotations

import re
from typing import Any

from graphfix.analysis.context import Context
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
            said = _unregistered(context, sample)
            for node in group:
                context.add(node=node, order=(rank, order.PRECHECK, first + node.position), **said)


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


def _unregistered(context: Context, node: Node) -> dict[str, Any]:
    """Return what is found of every node of an operator that the parser does not know."""
    release, opset = context.target.release, context.opset(node)
    domain, op = node.domain or "ai.onnx", node.op_type
    operator = context.operator(node)
    opsets = operator.opsets(domain, release.name) if operator is not None else []
    found: dict[str, Any] = {
        "error_code": "not_registered",
        "certainty": "high",
        "evidence": f"registrations of the ONNX plugins, op_support ({domain}::{opset}::{op})",
    }
    if (domain, op) in context.model.functions:
        return found | {
            "slug": "function-call",
            "message": f"{domain}::{op} is a function of the model itself; the parser knows no "
            "functions.",
            "headline": "calls of model-local functions",
            "fix": "inline",
        }
    if opsets:
        ranges = _ranges(opsets)
        is_beyond = opset is not None and opset > max(opsets) == 18 and domain == "ai.onnx"
        only = "CANN registers 8-18 only" if is_beyond else f"{op} is registered at {ranges} only"
        return found | {
            "slug": "opset-not-registered",
            "message": f"{op} at opset {opset}: CANN registers it at {ranges} only.",
            "headline": f"opset {opset}: {only}",
            "facts": {"opsets": opsets},
            "fix": "opset",
        }
    if op in _CONTROL_FLOW and domain == "ai.onnx":
        return found | {
            "slug": "control-flow",
            "message": f"{op} has neither an adapter nor a plugin.",
            "headline": f"{op}: no adapter, no plugin",
        }
    if domain != "ai.onnx":
        return found | _foreign(context, node, domain, operator)
    instead = operator.instead if operator is not None else ""
    known = operator is not None and operator.standard
    return found | {
        "slug": "op-not-registered",
        "message": f"{op} is registered at no opset."
        if known
        else f"{op} is no operator that ONNX or CANN knows.",
        "headline": f"{op} is registered at no opset",
        "remedy": f"instead: {instead}"
        if instead
        else "write it out, cut it off, or add a custom operator",
        "fix": _rule_for(context, op, operator.fix if operator is not None else ""),
    }


def _rule_for(context: Context, op_type: str, named: str) -> str | None:
    """Return the rule that writes an operator out: the table's, or `decompose/` its snake case."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", op_type).lower()
    name = named or f"decompose/{snake}"
    return name if name in context.known_rules else None


def _foreign(
    context: Context, node: Node, domain: str, operator: Operator | None
) -> dict[str, Any]:
    remedy = "export without it, write the operator out, or implement it: graphfix atc custom-op"
    if operator is not None and operator.registration("ai.onnx", 13, context.target.release.name):
        remedy = f"CANN knows {node.op_type} in the domain ai.onnx"
    return {
        "slug": "domain-not-registered",
        "message": f"No plugin registers {domain}::{node.op_type}.",
        "headline": f"{domain}: no plugin for {node.op_type}",
        "remedy": remedy,
    }


def _ranges(versions: list[int]) -> str:
    parts: list[list[int]] = []
    for version in versions:
        if parts and version == parts[-1][-1] + 1:
            parts[-1].append(version)
        else:
            parts.append([version])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)
