"""What CANN reads past: the constraints of op_support that the parser does not refuse.

A node whose operator is not registered at the model's opset is judged as it would be after the
conversion that it needs anyway: by the rules of the nearest registered opset below.
"""

from __future__ import annotations

from typing import Any

from graphfix.analysis.context import Context
from graphfix.graph import Node
from graphfix.support.conditions import NodeView, schema_attributes
from graphfix.support.tables import Constraint


def check_silent(context: Context) -> None:
    """Add a finding for each constraint that holds and is not a refusal by the parser."""
    for graph in context.model.graph.graphs():
        for group in context.groups(graph):
            _check_group(context, group)
            if group[0].op_type in _PASS_ON and group[0].is_standard:
                for node in group:
                    _check_sequence(context, node)


def _check_group(context: Context, group: list[Node]) -> None:
    sample = group[0]
    unregistered = context.registration(sample) is None and not context.is_custom(sample)
    constraints = [c for c in context.constraints(sample) if _is_silent(c)]
    later = _after_conversion(context, sample) if unregistered else []
    for node in group if constraints or later else ():
        holding = context.holding(node) if constraints else []
        if later:
            view = NodeView(node, context.opset(node) or 0)
            holding = [*holding, *((c, view) for c in later if c.when is None or c.when(view))]
        for constraint, view in holding:
            if _is_silent(constraint):
                # a suspicion is worth a note, not an alarm
                effect = "note" if constraint.certainty == "low" else constraint.effect
                context.add_constraint(
                    constraint,
                    view,
                    node,
                    effect=effect,
                    stage="compile" if effect == "rejected" else "run",
                )
    opset = context.opset(sample)
    if not unregistered and sample.is_standard and opset is not None:
        schema = schema_attributes(sample.op_type, opset)
        if schema:
            for node in group:
                _check_kinds(context, node, schema)


# operators that hand any kind of value on, for which GE knows tensors alone
_PASS_ON = frozenset({"Identity", "If"})


def _check_sequence(context: Context, node: Node) -> None:
    """Report sequences and optional values where GE has no form for them (GF406)."""
    for index in range(len(node.outputs)):
        value = node.output(index)
        if value is not None and value.kind in ("sequence", "optional"):
            context.add(
                "sequence-value",
                f"Output {index} is a {value.kind}; GE has no {node.op_type} for that.",
                node,
                headline=f"{node.op_type} of a {value.kind}",
                evidence="ops-math similar_opp_onnx_plugin.cpp (August 2026)",
                certainty="medium",
                stage="compile",
            )
            return


def _is_silent(constraint: Constraint) -> bool:
    """Whether the parser lets it pass: it is no refusal, or one by the compiler."""
    return constraint.effect != "rejected" or constraint.stage == "compile"


def _after_conversion(context: Context, node: Node) -> list[Constraint]:
    """Return what may be computed wrongly once the node is at an opset that CANN registers."""
    operator, opset = context.operator(node), context.opset(node)
    if operator is None or opset is None:
        return []
    release = context.target.release.name
    domain = node.domain or "ai.onnx"
    below = [v for v in operator.opsets(domain, release) if v < opset]
    if not below:
        return []
    return [
        c
        for c in operator.constraints_at(domain, below[-1], release)
        if c.effect == "miscompiled" and opset not in c.opsets
    ]


def _check_kinds(context: Context, node: Node, schema: dict[str, tuple[int, Any]]) -> None:
    """Report attributes of another kind than ONNX declares: plugins skip them (GF210)."""
    for attribute in node.proto.attribute:
        declared = schema.get(attribute.name)
        if declared is not None and attribute.type != declared[0] and not attribute.ref_attr_name:
            what = "has no type" if attribute.type == 0 else "is of another kind than ONNX declares"
            context.add(
                "attribute-kind",
                f"The attribute {attribute.name} {what}: the plugin skips it and uses its default.",
                node,
                headline=f"{node.op_type}: {attribute.name} is skipped, its kind is wrong",
                evidence="ops-* framework plugins; parser oracle",
                certainty="high",
                stage="run",
            )
